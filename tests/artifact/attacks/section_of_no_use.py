"""One more section, where something could hide."""

from __future__ import annotations

from forge import edit_header

REASON = "section-order"
SAYS = "section 16 is 'extra', the network needs nothing there"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["sections"].append({**content["sections"][-1], "name": "extra"}))

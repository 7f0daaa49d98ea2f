"""Planes before the tables they need: a prefix would be no network."""

from __future__ import annotations

from forge import edit_header

REASON = "section-order"
SAYS = "section 2 is 'plane 1', the network needs 'tables 1' there"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content["sections"].insert(2, content["sections"].pop(3)))

"""Half of a surrogate pair, escaped: parsers take it, encoders fall over it later."""

from __future__ import annotations

from forge import edit_text

REASON = "utf-8"
SAYS = "holds '\\udfff', which is no character"


def build(honest: bytes) -> bytes:
    return edit_text(honest, b'"name":"small"', b'"name":"\\udfff"')

"""Shapes, lengths and offsets agree on a terabyte; the file has five kilobytes."""

from __future__ import annotations

from forge import edit_header

REASON = "truncated"
SAYS = "section 'plane 1' has"


def build(honest: bytes) -> bytes:
    def edit(content):
        content["weights"][1]["shape"] = [2**40, 4, 3, 3]
        moved = 0
        for section in content["sections"]:
            section["offset"] += moved
            if section["name"].startswith("plane"):
                grown = (2**40 * 36 // 8 + 5 + 63) // 64 * 64
                moved += grown - section["length"]
                section["length"] = grown
            if section["name"] == "float":
                grown = (4 * (2**40 * 36 + 72 + 36 + 12) + 63) // 64 * 64
                section["length"] = grown

    return edit_header(honest, edit)

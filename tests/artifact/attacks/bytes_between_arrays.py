"""A message behind the last array of a section."""

from __future__ import annotations

from forge import edit_sections

REASON = "padding"
SAYS = "section 'constants' has a byte other than 0 between its contents"


def build(honest: bytes) -> bytes:
    def edit(content, sections):
        sections["constants"][-1] = 1

    return edit_sections(honest, edit)

"""Four names for three classes."""

from __future__ import annotations

from forge import edit_header

REASON = "graph"
SAYS = "4 class names for outputs of shape"


def build(honest: bytes) -> bytes:
    return edit_header(honest, lambda content: content.update(class_names=["a", "b", "c", "d"]))

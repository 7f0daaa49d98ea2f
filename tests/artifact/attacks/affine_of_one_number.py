"""A norm whose table is a single number, which has no length."""

from __future__ import annotations

from forge import edit_sections, used_bytes

REASON = "graph"
SAYS = "holds no sound network"


def build(honest: bytes) -> bytes:
    def edit(content, sections):
        content["layouts"].append({"multiplier": {"f32": []}, "offset": {"f32": []}})
        tables = [[list(range(5)), len(content["layouts"]) - 1]]
        content["nodes"].append({"kind": "Affine", "name": "norm", "source": "fc", "tables": tables})
        for name, bits in (("tables 1", 1), ("tables 2", 2), ("tables 4", 4), ("tables 8", 8), ("tables 32", 32)):
            used = used_bytes(content, bits)
            sections[name][:] = sections[name][:used].ljust(used, b"\0")

    return edit_sections(honest, edit)

"""Takes .qdnn files apart and puts lying ones together, hashes and lengths made right again so that the lie itself is met.

Knows the format from docs/artifact_format.md only: nothing of the package is used.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Callable
from math import prod
from typing import Any

PREAMBLE = struct.Struct("<8sII32s")
MAGIC = b"\x89QDNN\r\n\x1a"


def take_apart(data: bytes) -> tuple[dict[str, Any], dict[str, bytearray]]:
    """Return the header's JSON and the sections by name."""
    length = PREAMBLE.unpack_from(data)[2]
    content = json.loads(data[PREAMBLE.size : PREAMBLE.size + length])
    body = data[PREAMBLE.size + length :]
    return content, {s["name"]: bytearray(body[s["offset"] : s["offset"] + s["length"]]) for s in content["sections"]}


def spell(content: object) -> bytes:
    """Return canonical JSON."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def with_header(text: bytes, body: bytes, *, version: int = 1) -> bytes:
    """Return a file with this header, whatever it says, and a right preamble."""
    text += b" " * (-(PREAMBLE.size + len(text)) % 64)
    return PREAMBLE.pack(MAGIC, version, len(text), hashlib.sha256(text).digest()) + text + body


def put_together(content: dict[str, Any], sections: dict[str, bytearray]) -> bytes:
    """Return a file of these parts, its sections described anew: lengths filled up, offsets, hashes."""
    body, described = b"", []
    for name, section in sections.items():
        data = bytes(section) + bytes(-len(section) % 64)
        described.append({"name": name, "offset": len(body), "length": len(data), "sha256": hashlib.sha256(data).hexdigest()})
        body += data
    return with_header(spell({**content, "sections": described}), body)


def edit_header(data: bytes, edit: Callable[[dict[str, Any]], object]) -> bytes:
    """Return the file with its header changed in place by `edit`; sections and what is said of them stay as they were."""
    content, sections = take_apart(data)
    edit(content)
    return with_header(spell(content), b"".join(sections.values()))


def edit_sections(data: bytes, edit: Callable[[dict[str, Any], dict[str, bytearray]], object]) -> bytes:
    """Return the file with header and sections changed by `edit` and the sections described anew."""
    content, sections = take_apart(data)
    edit(content, sections)
    return put_together(content, sections)


def edit_text(data: bytes, old: bytes, new: bytes) -> bytes:
    """Return the file with the first `old` in the header's text replaced, hash made right."""
    content, sections = take_apart(data)
    text = spell(content)
    assert old in text
    return with_header(text.replace(old, new, 1), b"".join(sections.values()))


def node(content: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the node of this name."""
    return next(node for node in content["nodes"] if node["name"] == name)


def table_offset(content: dict[str, Any], mode: str, name: str, field: str) -> tuple[str, int]:
    """Return (section, offset) of a field of the table that the node `name` has in `mode`."""
    sizes = {"f32": 4, "f64": 8, "i64": 8}
    bits = next(entry["bits"] for entry in content["modes"] if entry["name"] == mode)
    offset = 0
    for number, entry in enumerate(content["modes"]):
        for candidate in content["nodes"] if entry["bits"] == bits else ():
            for numbers, layout in candidate.get("tables", ()):
                for key, array in sorted(content["layouts"][layout].items()) if number in numbers else ():
                    if (entry["name"], candidate["name"], key) == (mode, name, field):
                        return f"tables {bits}", offset
                    ((kind, shape),) = array.items()
                    size = sizes[kind] * prod(shape)
                    offset += size + -size % 8
    raise AssertionError(f"no {field} of {name} in {mode}")


def set_table(data: bytes, mode: str, name: str, field: str, *, kind: str, value: float) -> bytes:
    """Return the file with the first number of a table's field overwritten; `kind`: its letter in `struct`."""

    def edit(content: dict[str, Any], sections: dict[str, bytearray]) -> None:
        section, offset = table_offset(content, mode, name, field)
        struct.pack_into("<" + kind, sections[section], offset, value)

    return edit_sections(data, edit)


def used_bytes(content: dict[str, Any], bits: int) -> int:
    """Return how many bytes the tables of all modes that need `bits` planes take."""
    sizes, total = {"f32": 4, "f64": 8, "i64": 8}, 0
    numbers_of_modes = {number for number, entry in enumerate(content["modes"]) if entry["bits"] == bits}
    for entry in content["nodes"]:
        for numbers, layout in entry.get("tables", ()):
            for array in content["layouts"][layout].values():
                ((kind, shape),) = array.items()
                size = sizes[kind] * prod(shape)
                total += (size + -size % 8) * len(numbers_of_modes & set(numbers))
    return total

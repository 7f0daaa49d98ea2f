"""The header: what a file holds, checked against itself before any section is read.

Preamble of 48 bytes: magic, format version, length and sha256 of the header. Then the header, canonical JSON filled up with
blanks, then the sections. Page: docs/artifact_format.md.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass, field
from typing import TypeVar

from quantizable.artifact.arrays import checked_shape, size_of
from quantizable.artifact.canonical import Value, canonical_json, parse_canonical_json
from quantizable.artifact.planes import N_PLANES
from quantizable.artifact.refusal import refusal, shown
from quantizable.artifact.sections import (
    SECTION_ALIGNMENT,
    TABLES,
    Section,
    StoredMode,
    StoredWeight,
    check_sections,
    n_planes,
    section_lengths,
)
from quantizable.artifact.typed import Reader
from quantizable.errors import ModeError
from quantizable.graph import NODE_KINDS
from quantizable.modes import FLOAT_BITS, parse_mode

MAGIC = b"\x89QDNN\r\n\x1a"  # not text: a transfer that rewrites line ends or cuts the eighth bit is found out
VERSION = 1
PREAMBLE = struct.Struct("<8sII32s")  # magic, version, bytes of the header with its blanks, sha256 of those
MAX_HEADER_BYTES = 2**21
MAX_MODES = 256
MAX_CLASS_NAME = 1000
_SHA256 = re.compile(r"[0-9a-f]{64}")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says of itself. `input`, `nodes` and `layouts` are JSON in which arrays are named, see arrays.py.

    start: offset of the first section in the file, the end of the header.
    layouts: the fields of tables; nodes refer to them by number.
    """

    name: str
    class_names: tuple[str, ...]
    output: str
    modes: tuple[StoredMode, ...]
    weights: tuple[StoredWeight, ...]
    sections: tuple[Section, ...]
    start: int
    input: dict[str, Value] = field(repr=False)
    nodes: tuple[dict[str, Value], ...] = field(repr=False)
    layouts: tuple[dict[str, Value], ...] = field(repr=False)

    @property
    def size_bytes(self) -> int:
        """The length of the whole file."""
        return self.prefix_bytes(FLOAT_BITS)

    @property
    def n_planes(self) -> int:
        """The most bits that an integer mode needs."""
        return n_planes(self.modes)

    def prefix(self, bits: int) -> tuple[Section, ...]:
        """Return the sections that the modes of up to `bits` bits need: the first ones of the file."""
        return tuple(section for section in self.sections if section.bits <= bits)

    def prefix_bytes(self, bits: int) -> int:
        """Return the length of the prefix of the file that holds all modes of up to `bits` bits."""
        return self.start + max((section.end for section in self.prefix(bits)), default=0)


def write_header(content: Value) -> bytes:
    """Return preamble and header for this JSON."""
    text = canonical_json(content)
    text += b" " * (-(PREAMBLE.size + len(text)) % SECTION_ALIGNMENT)
    return PREAMBLE.pack(MAGIC, VERSION, len(text), hashlib.sha256(text).digest()) + text


def read_preamble(data: memoryview, *, where: str) -> tuple[int, bytes]:
    """Return (length, sha256) of the header.

    Raises:
        ArtifactError: too short, no .qdnn file, a version unknown here, or a length that no header has.
    """
    magic = bytes(data[: len(MAGIC)])
    if magic != MAGIC[: len(magic)]:
        raise refusal(where, "magic", f"is no .qdnn file, it starts with {shown(magic)}")
    if len(data) < PREAMBLE.size:
        raise refusal(where, "truncated", f"has {len(data)} bytes, the preamble alone takes {PREAMBLE.size}")
    _, version, length, digest = PREAMBLE.unpack(data[: PREAMBLE.size])
    if version != VERSION:
        raise refusal(where, "version", f"has format version {version}, this program reads version {VERSION}")
    if not 0 < length <= MAX_HEADER_BYTES or (PREAMBLE.size + length) % SECTION_ALIGNMENT:
        rule = f"it must be at most {MAX_HEADER_BYTES} and end at a multiple of {SECTION_ALIGNMENT}"
        raise refusal(where, "header-length", f"claims a header of {length} bytes, {rule}")
    return length, digest


def read_header_text(data: memoryview, length: int, digest: bytes, *, where: str) -> Header:
    """Return the header in `data`, which should have `length` bytes of this sha256.

    Raises:
        ArtifactError: cut short, changed, no canonical JSON, or not the description of a network in sections.
    """
    if len(data) < length:
        raise refusal(where, "truncated", f"has {len(data)} of {length} bytes of the header")
    if hashlib.sha256(data).digest() != digest:
        raise refusal(where, "header-hash", "the header is not what was written, its sha256 differs")
    text = bytes(data).rstrip(b" ")
    if length - len(text) >= SECTION_ALIGNMENT:
        raise refusal(
            where, "canonical", f"the header has {length - len(text)} blanks at its end, less than {SECTION_ALIGNMENT} fill it up"
        )
    return _parse(Reader(where), parse_canonical_json(text, where=where), PREAMBLE.size + length)


def _parse(read: Reader, content: Value, start: int) -> Header:
    parts = read.record(content, "the header", "input layouts modes name nodes output sections weights", "class_names")
    modes = _unique(read, "mode", read.each(parts["modes"], "modes", _mode))
    if len(modes) > MAX_MODES or all(mode.bits == FLOAT_BITS for mode in modes):
        raise refusal(read.where, "mode", f"the header lists {len(modes)} modes, at most {MAX_MODES} and at least one of integers are read")
    weights = _unique(read, "name", read.each(parts["weights"], "weights", _weight))
    layouts = read.each(parts["layouts"], "layouts", _layout)
    nodes = read.each(parts["nodes"], "nodes", lambda read, node, at: _node(read, node, at, len(modes), len(layouts)))
    sections = read.each(parts["sections"], "sections", _section)
    input_spec = read.mapping(parts["input"], "input")
    check_sections(sections, section_lengths(modes, weights, input_spec, nodes, layouts, where=read.where), where=read.where)
    class_names = read.each(parts.get("class_names", []), "class_names", _class_name)
    name, output = read.name(parts["name"], "name"), read.name(parts["output"], "output")
    return Header(name, class_names, output, modes, weights, sections, start, input_spec, nodes, layouts)


def _mode(read: Reader, value: Value, at: str) -> StoredMode:
    parts = read.record(value, at, "bits name")
    name, bits = read.text(parts["name"], f"{at}, name"), read.whole(parts["bits"], f"{at}, bits")
    try:
        known = parse_mode(name)
    except ModeError as error:
        raise refusal(read.where, "mode", f"{at}: {shown(name)} is no mode") from error
    if known.name != name or not (bits == FLOAT_BITS if known.is_float else 1 <= bits <= N_PLANES):
        raise refusal(read.where, "mode", f"{at}: mode {shown(name)} cannot need {bits} planes, 1 to {N_PLANES} serve integers, 32 is fp32")
    return StoredMode(name, bits)


def _weight(read: Reader, value: Value, at: str) -> StoredWeight:
    parts = read.record(value, at, "name shape whole")
    if type(parts["whole"]) is not bool:
        raise refusal(read.where, "type", f"{at}, whole: {shown(parts['whole'])} is neither true nor false")
    return StoredWeight(read.name(parts["name"], f"{at}, name"), checked_shape(parts["shape"], where=read.where), parts["whole"])


def _section(read: Reader, value: Value, at: str) -> Section:
    parts = read.record(value, at, "length name offset sha256")
    digest = read.text(parts["sha256"], f"{at}, sha256")
    if not _SHA256.fullmatch(digest):
        raise refusal(read.where, "type", f"{at}, sha256: {shown(digest)} is not 64 hexadecimal digits")
    offset, length = (read.whole(parts[key], f"{at}, {key}") for key in ("offset", "length"))
    return Section(read.text(parts["name"], f"{at}, name"), offset, length, digest)


def _node(read: Reader, value: Value, at: str, n_modes: int, n_layouts: int) -> dict[str, Value]:
    """Return a node whose kind is known and whose tables name each mode at most once; its other fields are checked later."""
    node = read.mapping(value, at)
    kind = read.text(node.get("kind"), f"{at}, kind")
    if kind not in NODE_KINDS:
        raise refusal(read.where, "kind", f"{at} is a {shown(kind)}, which is no operation of version {VERSION}")
    seen: list[int] = []
    for group in read.items(node.get(TABLES, []), f"{at}, {TABLES}"):
        if not isinstance(group, list) or len(group) != 2:
            raise refusal(read.where, "type", f"{at}, {TABLES}: {shown(group)} is not a list of modes and a layout")
        if read.whole(group[1], f"{at}, {TABLES}") >= n_layouts:
            raise refusal(read.where, "field", f"{at}, {TABLES}: layout {shown(group[1])} of {n_layouts}, counted from 0")
        seen += [read.whole(number, f"{at}, {TABLES}") for number in read.items(group[0], f"{at}, {TABLES}")]
    if len(set(seen)) < len(seen) or any(number >= n_modes for number in seen):
        raise refusal(read.where, "mode", f"{at}: tables for the modes {shown(seen)}, each of the {n_modes} modes has at most one")
    return node


def _layout(read: Reader, value: Value, at: str) -> dict[str, Value]:
    """Return the fields of a table; one without arrays would let a short list of numbers ask for many tables."""
    fields = read.mapping(value, at)
    if not size_of(fields, where=read.where):
        raise refusal(read.where, "field", f"{at} names no array, a table has at least one")
    return fields


def _class_name(read: Reader, value: Value, at: str) -> str:
    text = read.text(value, at)
    if not text.isprintable() or len(text) > MAX_CLASS_NAME:
        raise refusal(read.where, "name", f"{at}: {shown(text)} is not printable text of at most {MAX_CLASS_NAME} characters")
    return text


def _unique(read: Reader, reason: str, entries: tuple[_T, ...]) -> tuple[_T, ...]:
    seen: set[str] = set()
    for entry in entries:
        name: str = entry.name  # type: ignore[attr-defined]
        if name in seen:
            raise refusal(read.where, reason, f"the header lists {shown(name)} twice")
        seen.add(name)
    return entries

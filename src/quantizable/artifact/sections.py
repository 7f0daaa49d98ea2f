"""Which sections a file has, in which order, and how long each is: all of it follows from the header's other parts.

    constants | whole | tables 1 | plane 1 | tables 2 | plane 2 | ... | plane 8 | tables 32 | float

constants: arrays of input and nodes that are the same in all modes. whole: codes of the layers that use 8 bits in every integer
mode, a byte each. tables b: the tables of the modes that need b planes, mode after mode. plane b: bit b of every code of the
other layers, layer after layer. float: the float weights of fp32. A section without content is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

from quantizable.artifact.arrays import ALIGNMENT, size_of
from quantizable.artifact.canonical import Value
from quantizable.artifact.planes import N_PLANES, plane_bytes
from quantizable.artifact.refusal import refusal, shown
from quantizable.modes import FLOAT_BITS

SECTION_ALIGNMENT = 64  # a line of the cache: mapped arrays start where vector loads like it
CONSTANTS, WHOLE, FLOAT = "constants", "whole", "float"
TABLES = "tables"  # the one field of a node that differs between modes
_BY_BITS = tuple(f"{kind} {bits}" for bits in range(1, N_PLANES + 1) for kind in (TABLES, "plane"))
ORDER = (CONSTANTS, WHOLE, *_BY_BITS, f"{TABLES} {FLOAT_BITS}", FLOAT)


@dataclass(frozen=True, slots=True)
class StoredMode:
    """A mode and the number of planes it needs, 1 to 8; 32 for fp32, which needs the whole file."""

    name: str
    bits: int


@dataclass(frozen=True, slots=True)
class StoredWeight:
    """A layer's codes: their shape, and whether they are stored whole because every integer mode uses 8 bits of them."""

    name: str
    shape: tuple[int, ...]
    whole: bool

    @property
    def n_codes(self) -> int:
        """How many codes there are."""
        return prod(self.shape)


@dataclass(frozen=True, slots=True)
class Section:
    """`offset` counts from the end of the header, `length` in bytes, `sha256` in hexadecimal."""

    name: str
    offset: int
    length: int
    sha256: str

    @property
    def end(self) -> int:
        """Offset of the first byte after it."""
        return self.offset + self.length

    @property
    def bits(self) -> int:
        """The fewest bits of a mode that needs this section: 0 for all modes, 32 for fp32 alone."""
        kind, _, bits = self.name.partition(" ")
        return int(bits) if bits else FLOAT_BITS if kind == FLOAT else 0


def n_planes(modes: Sequence[StoredMode]) -> int:
    """Return the most planes that an integer mode needs; those beyond are not stored."""
    return max((mode.bits for mode in modes if mode.bits != FLOAT_BITS), default=0)


def tables_of(node: dict[str, Value]) -> Iterator[tuple[list[int], int]]:
    """Yield (numbers of modes, number of the layout of their table) of a node whose groups were checked."""
    groups = node.get(TABLES, [])
    assert isinstance(groups, list)
    for group in groups:
        assert isinstance(group, list)
        numbers, layout = group
        assert isinstance(numbers, list)
        assert isinstance(layout, int)
        yield [number for number in numbers if isinstance(number, int)], layout


def section_lengths(
    modes: Sequence[StoredMode],
    weights: Sequence[StoredWeight],
    input_spec: dict[str, Value],
    nodes: Sequence[dict[str, Value]],
    layouts: Sequence[dict[str, Value]],
    *,
    where: str,
) -> dict[str, int]:
    """Return name -> length in bytes of the sections that the rest of a header needs, in their order."""
    plain: list[Value] = [input_spec, *({key: value for key, value in node.items() if key != TABLES} for node in nodes)]
    table_bytes = dict.fromkeys((mode.bits for mode in modes), 0)
    layout_bytes = [size_of(layout, where=where) for layout in layouts]
    for node in nodes:
        for numbers, layout in tables_of(node):
            for number in numbers:
                table_bytes[modes[number].bits] += layout_bytes[layout]
    sliced = [weight.n_codes for weight in weights if not weight.whole]
    found = {CONSTANTS: size_of(plain, where=where), WHOLE: sum(weight.n_codes for weight in weights if weight.whole)}
    found |= {f"{TABLES} {bits}": size for bits, size in table_bytes.items()}
    found |= {f"plane {number}": sum(map(plane_bytes, sliced)) for number in range(1, n_planes(modes) + 1)}
    if FLOAT_BITS in table_bytes:
        found[FLOAT] = sum(4 * weight.n_codes + -4 * weight.n_codes % ALIGNMENT for weight in weights)
    return {name: found[name] + -found[name] % SECTION_ALIGNMENT for name in ORDER if found.get(name)}


def check_sections(sections: Sequence[Section], needed: dict[str, int], *, where: str) -> None:
    """Raise ArtifactError unless the sections are the needed ones, in order, without gap or overlap, each of its length."""
    names = [section.name for section in sections]
    if names != list(needed):
        at = next((i for i, (a, b) in enumerate(zip(names, needed, strict=False)) if a != b), min(len(names), len(needed)))
        found, wanted = (shown(row[at]) if at < len(row) else "nothing" for row in (names, list(needed)))
        raise refusal(where, "section-order", f"section {at} is {found}, the network needs {wanted} there")
    end = 0
    for section in sections:
        if section.offset != end:
            kind = "overlaps" if section.offset < end else "leaves a gap after"
            found = f"section {section.name!r} starts at {section.offset} and {kind} the one before, which ends at {end}"
            raise refusal(where, "section-offset", found, section=section.name)
        if section.length != needed[section.name]:
            found = f"section {section.name!r} claims {section.length} bytes, the network needs {needed[section.name]}"
            raise refusal(where, "section-length", found, section=section.name)
        end = section.end

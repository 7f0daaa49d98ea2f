"""Opening a .qdnn file, whole or the first bytes of it, from the disk or from a web server."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping

from quantizable.artifact.decode import decode
from quantizable.artifact.header import PREAMBLE, Header, read_header_text, read_preamble
from quantizable.artifact.refusal import refusal, shown
from quantizable.artifact.sections import Section
from quantizable.artifact.source import Source, open_source
from quantizable.graph import IntegerModel


class Artifact:
    """A .qdnn file, or a prefix of one, whose sections were found whole and unchanged.

    header: what the whole file holds. modes: the names that this prefix serves, in the file's order.
    max_bits: the most bits among them, 32 where fp32 is one.
    """

    def __init__(self, where: str, header: Header, sections: Mapping[str, memoryview], max_bits: int) -> None:
        self.where = where
        self.header = header
        self.max_bits = max_bits
        self.modes = tuple(mode.name for mode in header.modes if mode.bits <= max_bits)
        self._sections = sections

    def model(self, max_bits: int | None = None) -> IntegerModel:
        """Return the network in the modes of up to `max_bits` bits, None for all of `modes`; bits of codes beyond are 0.

        Raises:
            ArtifactError: no mode fits, or the sections do not make a sound network.
        """
        bits = min(self.max_bits, _bits_that_fit(self.header, max_bits, self.where))
        modes = [mode for mode in self.header.modes if mode.bits <= bits]
        return decode(self.header, self._sections, modes, where=self.where)

    def __repr__(self) -> str:
        return f"Artifact({self.where!r}, {self.header.name}: {', '.join(self.modes)})"


def open_artifact(path: str | os.PathLike[str], *, max_bits: int | None = None) -> Artifact:
    """Return the artifact at a path or an http address, its sections verified.

    A file is mapped, so its pages are shared and loaded when used; it must be replaced by renaming, never written over. From a
    web server the bytes needed are fetched, in three requests, and no others.

    Args:
        max_bits: open only what the modes of up to so many bits need; the rest of the file need not be there.

    Raises:
        ArtifactError: no such file, no answer, no mode fits, or the file is cut short, changed or no artifact.
    """
    where = os.fsdecode(path)
    source = open_source(where)
    header = _header(source, where)
    bits = _bits_that_fit(header, max_bits, where)
    wanted = header.prefix(bits)
    data = source.read(header.start, header.prefix_bytes(bits) - header.start)
    if source.size is not None and source.size > header.size_bytes:
        found = f"goes on for {source.size - header.size_bytes} bytes after its last section"
        raise refusal(where, "trailing", found)
    found_sections = {}
    for section in wanted:
        content = data[section.offset : section.end]
        _check(section, content, header, len(data), where)
        found_sections[section.name] = content
    return Artifact(where, header, found_sections, bits)


def read_header(path: str | os.PathLike[str]) -> Header:
    """Return what a file or an http address says that it holds; its sections are not read.

    Raises:
        ArtifactError: no such file, no answer, or no sound header.
    """
    where = os.fsdecode(path)
    return _header(open_source(where), where)


def _header(source: Source, where: str) -> Header:
    length, digest = read_preamble(source.read(0, PREAMBLE.size), where=where)
    return read_header_text(source.read(PREAMBLE.size, length), length, digest, where=where)


def _bits_that_fit(header: Header, max_bits: int | None, where: str) -> int:
    """Return the most bits that a mode within `max_bits` needs."""
    if max_bits is not None and (type(max_bits) is not int or max_bits < 1):
        raise refusal(where, "max-bits", f"max_bits is {shown(max_bits)}")
    needed = [mode.bits for mode in header.modes]
    fitting = [bits for bits in needed if max_bits is None or bits <= max_bits]
    if not fitting:
        raise refusal(where, "max-bits", f"no mode fits in max_bits={max_bits}, the lowest one needs {min(needed)}")
    return max(fitting)


def _check(section: Section, content: memoryview, header: Header, n_bytes: int, where: str) -> None:
    """Raise ArtifactError unless a section is there to its end, and is what was written. `n_bytes`: of all sections, found."""
    if len(content) < section.length:
        complete = [mode.bits for mode in header.modes if header.prefix_bytes(mode.bits) - header.start <= n_bytes]
        advice = f"fetch it again, or open it with max_bits={max(complete)}" if complete else ""
        found = f"section {section.name!r} has {len(content)} of {section.length} bytes"
        raise refusal(where, "truncated", found, section=section.name, advice=advice)
    if hashlib.sha256(content).hexdigest() != section.sha256:
        found = f"section {section.name!r} is not what was written, its sha256 differs"
        raise refusal(where, "section-hash", found, section=section.name)

"""Every reason to refuse a file: one row each, with what to do about it. The words are part of docs/artifact_format.md."""

from __future__ import annotations

from quantizable.errors import ArtifactError

_FETCH = "fetch it again"
_WRITE = "write it again with save_artifact"

ADVICE = {
    # the bytes do not arrive
    "file": "give a .qdnn file, or an address that starts with http:// or https://",
    "server": "check the address, or fetch the file and open it from the disk",
    "max-bits": "leave max_bits out, or give a whole number that one of the modes fits in",
    # the bytes are not those that were written
    "truncated": _FETCH,
    "trailing": _FETCH,
    "magic": "give a file written by save_artifact",
    "version": "update quantizable",
    "header-length": _FETCH,
    "header-hash": _FETCH,
    "section-hash": _FETCH,
    # the header is no canonical JSON
    "utf-8": _WRITE,
    "json": _WRITE,
    "duplicate-key": _WRITE,
    "depth": _WRITE,
    "number": _WRITE,
    "canonical": _WRITE,
    # the header does not describe a network
    "field": _WRITE,
    "type": _WRITE,
    "name": _WRITE,
    "kind": "update quantizable",
    "mode": _WRITE,
    "shape": _WRITE,
    "graph": _WRITE,
    # the sections are not those that the header needs
    "section-order": _WRITE,
    "section-offset": _WRITE,
    "section-length": _WRITE,
    "padding": _WRITE,
    # the file cannot be written
    "write": "free space, or give a folder that can be written",
}


def refusal(where: str, reason: str, found: str, *, section: str = "", advice: str = "") -> ArtifactError:
    """Return the error for `reason`, a key of ADVICE: one line "where: what is wrong, what was found; what to do"."""
    return ArtifactError(f"{where}: {found}; {advice or ADVICE[reason]}", path=where, reason=reason, section=section)


def shown(value: object) -> str:
    """Return `value` as an error line shows it: one line, at most 60 characters, however long or odd it is."""
    return cut(ascii(value), 60)


def cut(text: str, length: int) -> str:
    """Return `text`, its end replaced by three dots where it is longer than `length`."""
    return text if len(text) <= length else f"{text[: length - 3]}..."

"""What the tests of studies read from the records of runs."""

from __future__ import annotations

from pathlib import Path

from quantizable.records import read_records


def checksums(results: Path) -> dict[str, object]:
    """Return the checksum of every run's network, by run; each run must have ended exactly once."""
    found = {}
    for path in sorted(results.glob("*/*/*/records.jsonl")):
        (end,) = [row for row in read_records(path) if row["kind"] == "end"]
        found["/".join(path.parts[-3:-1])] = end["checksum"]
    return found


def kinds(folder: Path) -> list[object]:
    """Return the kinds of the rows that a folder's records hold."""
    return [row["kind"] for row in read_records(folder)]

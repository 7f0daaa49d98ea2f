"""Timings as the records of a benchmark tell them. Rows: docs/records.md."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from quantizable.errors import RecordError


@dataclass(frozen=True, slots=True)
class Timing:
    """All repetitions of one variant in one case (a shape, a mode, a network; empty where there is one case only)."""

    case: str
    variant: str
    ms: tuple[float, ...]
    checksums: tuple[str, ...]  # the different ones, of the output; more than one means that the variant is not repeatable

    @property
    def median_ms(self) -> float:
        """The middle repetition."""
        return median(self.ms)


def timings_from_rows(rows: Sequence[Mapping[str, object]], *, where: str) -> tuple[Timing, ...]:
    """Return the timings in the order in which their first repetitions stand.

    Raises:
        RecordError: a repetition has no time, or one that is not above 0.
    """
    times: dict[tuple[str, str], list[float]] = {}
    checksums: dict[tuple[str, str], dict[str, None]] = {}
    for row in rows:
        if row.get("kind") != "time":
            continue
        ms = row.get("ms")
        if isinstance(ms, bool) or not isinstance(ms, int | float) or not 0 < ms < math.inf:
            raise RecordError(f"{where}: a row of kind 'time' has 'ms': {ms!r}, a time above 0 is needed; docs/records.md")
        key = (str(row.get("case", "")), str(row.get("variant", "")))
        times.setdefault(key, []).append(ms)
        checksums.setdefault(key, {})[str(row.get("checksum", ""))] = None
    return tuple(Timing(case, variant, tuple(ms), tuple(filter(None, checksums[case, variant]))) for (case, variant), ms in times.items())


def written_ms(ms: float) -> str:
    """Return `ms` with four digits that count, more before the point where it needs them: ``0.01234``, ``152.0``, ``15340``."""
    return f"{ms:.{max(0, 3 - math.floor(math.log10(ms)))}f}"

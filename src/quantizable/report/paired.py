"""The paired t-test over seeds: does one recipe score higher than another, or is no difference seen?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean, stdev

from quantizable.errors import RecordError

SIGNIFICANCE = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """The test of a against b over the seeds that both have."""

    difference: float  # mean of a - b, in the units of the figures
    deviation: float  # standard deviation of the differences
    t: float  # difference / (deviation / sqrt(n)); infinite where all differences are equal and not 0
    p: float  # two-sided: how often chance alone gives a |t| as large
    n: int  # seeds

    @property
    def verdict(self) -> str:
        """``higher``, ``lower``, or ``no difference seen`` where p is 0.05 or more."""
        if self.p >= SIGNIFICANCE:
            return "no difference seen"
        return "higher" if self.difference > 0 else "lower"


def compare(rows_a: Mapping[int, float], rows_b: Mapping[int, float]) -> Comparison:
    """Return the paired t-test of two recipes in one mode; each maps seed -> figure, only seeds in both count.

    Raises:
        RecordError: fewer than two seeds in common: there is no spread to judge by.
    """
    seeds = sorted(rows_a.keys() & rows_b.keys())
    if len(seeds) < 2:
        raise RecordError(f"compare: {len(seeds)} seeds in common, found {sorted(rows_a)} and {sorted(rows_b)}; run at least 2 in both")
    differences = [rows_a[seed] - rows_b[seed] for seed in seeds]
    difference, deviation, n = fmean(differences), stdev(differences), len(seeds)
    if deviation > 0:
        t = difference / (deviation / math.sqrt(n))
    else:
        t = math.copysign(math.inf, difference) if difference else 0.0
    return Comparison(difference, deviation, t, two_sided_p(t, n - 1), n)


def two_sided_p(t: float, freedom: int) -> float:
    """Return P(|T| >= |t|) for Student's t with a whole number of degrees of freedom.

    The finite series for integer degrees (Abramowitz and Stegun, 26.7.3 and 26.7.4), with x = atan(t / sqrt(freedom)):
        odd:  1 - P = 2/pi (x + sin x (cos x + 2/3 cos^3 x + 2*4/(3*5) cos^5 x + ...)), the last power freedom - 2
        even: 1 - P = sin x (1 + 1/2 cos^2 x + 1*3/(2*4) cos^4 x + ...), the last power freedom - 2
    Exact to about 1e-15 absolute: far below any p that is printed.
    """
    angle = math.atan2(abs(t), math.sqrt(freedom))
    is_odd = freedom % 2
    term, total = math.cos(angle) if is_odd else 1.0, 0.0
    for power in range(1 if is_odd else 0, freedom - 1, 2):
        total += term
        term *= (power + 1) / (power + 2) * math.cos(angle) ** 2
    inside = (angle + math.sin(angle) * total) * 2 / math.pi if is_odd else math.sin(angle) * total
    return min(1.0, max(0.0, 1.0 - inside))

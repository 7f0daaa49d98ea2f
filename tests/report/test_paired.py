"""The paired t-test, against integrals of the density, closed forms, and cases a hand can follow."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantizable.errors import RecordError
from quantizable.report import compare
from quantizable.report.paired import two_sided_p


@given(t=st.floats(0, 60), freedom=st.integers(1, 40))
def test_p_is_the_integral_of_students_density_beyond_t(t, freedom):
    """A different path to the same answer: Gauss-Legendre over the angle, where the density is smooth, cos^(freedom - 1)."""
    nodes, weights = np.polynomial.legendre.leggauss(60)
    start, end = math.atan(t / math.sqrt(freedom)), math.pi / 2
    angles = start + (nodes + 1) / 2 * (end - start)
    factor = 2 * math.gamma((freedom + 1) / 2) / (math.sqrt(math.pi) * math.gamma(freedom / 2))
    integral = factor * (end - start) / 2 * float(weights @ np.cos(angles) ** (freedom - 1))
    assert two_sided_p(t, freedom) == pytest.approx(integral, abs=1e-12)
    assert two_sided_p(-t, freedom) == two_sided_p(t, freedom)


@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, 4.0, 1e3])
def test_p_has_its_closed_forms_at_one_and_two_degrees(t):
    """Cauchy's distribution, and t / sqrt(2 + t^2)."""
    assert two_sided_p(t, 1) == pytest.approx(1 - 2 * math.atan(t) / math.pi, abs=1e-14)
    assert two_sided_p(t, 2) == pytest.approx(1 - t / math.sqrt(2 + t * t), abs=1e-14)


def test_p_of_printed_tables():
    """Percentage points that every table of Student's t lists, to their printed digits."""
    for t, freedom, p in [(12.706, 1, 0.05), (4.303, 2, 0.05), (2.776, 4, 0.05), (3.169, 10, 0.01), (2.042, 30, 0.05)]:
        assert two_sided_p(t, freedom) == pytest.approx(p, rel=1e-3)


def test_a_steady_difference_is_seen_and_a_wavering_one_is_not():
    """Promise of the verdict: differences 1, 2, 3 have t = 2 sqrt(3), p = 0.0742; twice as many decide it."""
    few = compare({0: 71.0, 1: 72.0, 2: 73.0}, {0: 70.0, 1: 70.0, 2: 70.0})
    assert (few.difference, few.deviation, few.n) == (2.0, 1.0, 3)
    assert few.t == pytest.approx(2 * math.sqrt(3))
    assert few.p == pytest.approx(0.0742, abs=5e-5)
    assert few.verdict == "no difference seen"
    many = compare({seed: 71.0 + seed % 3 for seed in range(6)}, dict.fromkeys(range(6), 70.0))
    assert many.verdict == "higher"
    assert compare(dict.fromkeys(range(6), 70.0), {seed: 71.0 + seed % 3 for seed in range(6)}).verdict == "lower"


def test_only_common_seeds_count():
    """Promise: pairs, not means of different seeds."""
    assert compare({0: 1.0, 1: 3.0, 9: 50.0}, {0: 0.0, 1: 1.0, 5: 70.0}).difference == 1.5


def test_equal_differences_are_certain_and_none_is_none():
    """Edges: no spread at all."""
    assert compare({0: 2.0, 1: 3.0}, {0: 1.0, 1: 2.0}).p == 0.0
    same = compare({0: 2.0, 1: 3.0}, {0: 2.0, 1: 3.0})
    assert (same.t, same.p, same.verdict) == (0.0, 1.0, "no difference seen")


def test_a_single_common_seed_is_refused():
    """Errors of compare: one pair has no spread."""
    with pytest.raises(RecordError, match=r"1 seeds in common, found \[0, 1\] and \[1\]"):
        compare({0: 1.0, 1: 1.0}, {1: 2.0})

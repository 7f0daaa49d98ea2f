"""Labels that stand apart, and colours."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from quantizable.report.pictures import COLOURS, colour, marker, spread


@given(positions=st.lists(st.integers(0, 100), min_size=1, max_size=8), gap=st.integers(1, 12))
def test_labels_stand_apart_below_the_top_and_in_order(positions, gap):
    """Promise of spread; integers, so that distances are exact."""
    placed = spread(positions, gap, 100)
    assert max(placed) <= 100
    ordered = sorted(placed)
    assert all(above - below >= gap for below, above in pairwise(ordered))
    pairs = [(positions[i], placed[i]) for i in range(len(positions))]
    assert all(a[1] < b[1] for a in pairs for b in pairs if a[0] < b[0])


@given(positions=st.lists(st.integers(0, 9), min_size=1, max_size=8, unique=True))
def test_labels_that_have_room_do_not_move(positions):
    """As little as needed: here, not at all."""
    assert spread([10 * position for position in positions], 10, 90) == [10 * position for position in positions]


def test_sixteen_series_look_different():
    """Colour and marker together tell series apart past the number of colours."""
    assert len({(colour(index), marker(index)) for index in range(2 * len(COLOURS))}) == 2 * len(COLOURS)

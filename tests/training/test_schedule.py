"""ModeSchedule: which modes a step trains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantizable.errors import PlanError
from quantizable.modes import parse_modes
from quantizable.training import ModeSchedule
from strategies import MODE_LISTS

STEPS = st.integers(0, 10**9)
COUNTS = st.integers(1, 9)


@given(names=MODE_LISTS, step=STEPS)
def test_all_is_all(names, step):
    """rule "all": every mode, every step, from the highest down."""
    modes = parse_modes(names)
    assert ModeSchedule().modes(step, modes) == modes


@given(names=MODE_LISTS, step=STEPS, count=st.integers(0, 9), seed=st.integers(0, 2**31 - 1))
def test_a_sandwich_holds_the_highest_the_lowest_and_n_between(names, step, count, seed):
    """rule "sandwich:n": both ends always, n others where there are so many, in order, each once."""
    modes = parse_modes(names)
    chosen = ModeSchedule(f"sandwich:{count}", seed).modes(step, modes)
    assert {modes[0], modes[-1]} <= set(chosen)
    assert len(chosen) == min(len(modes), 2 + count)
    assert chosen == tuple(mode for mode in modes if mode in chosen)


@given(names=MODE_LISTS, step=STEPS, count=COUNTS, seed=st.integers(0, 2**31 - 1))
def test_random_is_n_modes_in_order(names, step, count, seed):
    """rule "random:n": n different modes where there are so many, from the highest down."""
    modes = parse_modes(names)
    chosen = ModeSchedule(f"random:{count}", seed).modes(step, modes)
    assert len(chosen) == min(len(modes), count)
    assert chosen == tuple(mode for mode in modes if mode in chosen)


@pytest.mark.parametrize("rule", ["sandwich:1", "random:2"])
def test_the_choice_is_a_function_of_seed_and_step(rule):
    """Promise: a resumed run repeats it; steps differ, seeds differ; every mode gets its turn."""
    modes = parse_modes("fp32,w8a8,w4a4,w2a2,w1a1")
    runs = [[ModeSchedule(rule, seed).modes(step, modes) for step in range(100)] for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert len(set(runs[0])) > 1
    assert {mode for chosen in runs[0] for mode in chosen} == set(modes)


@pytest.mark.parametrize("rule", ["", "some", "sandwich", "sandwich:", "sandwich:-1", "random:0", "random:x", "all:2", "random:1 "])
def test_a_wrong_rule_is_told(rule):
    """Promise: one clear line before training."""
    with pytest.raises(PlanError, match="'all', 'sandwich:n' or 'random:n', found"):
        ModeSchedule(rule)

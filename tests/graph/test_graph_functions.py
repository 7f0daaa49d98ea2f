"""The fixed formulas against the functions they stand for, in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from quantizable.graph import ERROR_BOUNDS, EXP_ERROR_BOUND, FUNCTIONS
from quantizable.graph.functions import exp

F64 = NDArray[np.float64]
_ERF = np.vectorize(math.erf)
_TAIL = np.vectorize(math.erfc)


def _sigmoid(x: F64) -> F64:
    return np.where(x < 0, np.exp(np.minimum(x, 0)) / (1 + np.exp(np.minimum(x, 0))), 1 / (1 + np.exp(-np.maximum(x, 0))))


TRUE = {
    "relu": lambda x: np.where(x > 0, x, 0),
    "hardsigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hardswish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "sigmoid": _sigmoid,
    "silu": lambda x: x * _sigmoid(x),
    "gelu": lambda x: x * 0.5 * _TAIL(-x / math.sqrt(2)),
    "gelu_tanh": lambda x: x * _sigmoid(2 * math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)),
    "tanh": np.tanh,
}
BOUNDS = {"relu": 0.0, "hardsigmoid": 2.0**-23, "hardswish": 2.0**-21, **ERROR_BOUNDS}


def _numbers() -> NDArray[np.float32]:
    """Every float32 step of 2^-11 from -40 to 40, all powers of two from 2^-100 to 2^60 and three numbers beside each."""
    even = np.arange(-40 * 2048, 40 * 2048 + 1, dtype=np.float64) / 2048
    powers = np.concatenate([sign * 2.0 ** np.arange(-100, 61) * factor for sign in (1, -1) for factor in (1, 1.1, 1.37, 1.9)])
    return np.concatenate([even, powers, [0.0, -0.0]]).astype(np.float32)


def test_every_function_is_tested_here():
    """A new row without a bound of its own fails."""
    assert FUNCTIONS.keys() == TRUE.keys() == BOUNDS.keys()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_formula_stays_within_its_bound(name):
    """Law, Between layers: the bound stated beside each formula holds, relative to max(1, |x|)."""
    x = _numbers()
    y = FUNCTIONS[name](x)
    assert y.dtype == np.float32
    error = np.abs(y.astype(np.float64) - TRUE[name](x.astype(np.float64))) / np.maximum(1, np.abs(x.astype(np.float64)))
    assert error.max() <= BOUNDS[name]


@pytest.mark.parametrize("name", ERROR_BOUNDS)
def test_a_formula_makes_no_subnormal_numbers(name):
    """Law: engines that flush subnormal numbers to zero must not differ."""
    y = FUNCTIONS[name](_numbers())
    assert not ((y != 0) & (np.abs(y) < np.finfo(np.float32).tiny)).any()


@pytest.mark.parametrize("name", ERROR_BOUNDS)
def test_a_bound_is_not_idle(name):
    """A bound that nothing comes near would hide a worse formula: the largest error is at least a 64th of it."""
    x = _numbers()
    error = np.abs(FUNCTIONS[name](x).astype(np.float64) - TRUE[name](x.astype(np.float64))) / np.maximum(1, np.abs(x.astype(np.float64)))
    assert error.max() * 64 >= ERROR_BOUNDS[name]


def test_exp_is_accurate_to_its_bound_and_flat_outside():
    """Law: relative error below 2^-22 from -87 to 87; outside, the value at the end."""
    x = np.linspace(-87, 87, 400_001, dtype=np.float32)
    error = np.abs(exp(x).astype(np.float64) / np.exp(x.astype(np.float64)) - 1)
    assert error.max() <= EXP_ERROR_BOUND
    ends = exp(np.array([-1e30, -87, 87, 1e30], np.float32))
    assert ends[0] == ends[1]
    assert ends[2] == ends[3]


def test_exp_of_zero_is_one():
    """The largest entry of a softmax stands for itself."""
    assert exp(np.zeros(1, np.float32))[0] == 1

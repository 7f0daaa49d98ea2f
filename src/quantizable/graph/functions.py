"""Functions of one float32 number: fixed formulas of + - * /, every operation rounded, the same in any language.

A new function is one row in FUNCTIONS, and one in ERROR_BOUNDS where it approximates. No formula makes or needs subnormal
numbers for inputs from 2^-100 to 2^100 in magnitude.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
_LOG2_E = np.float32(1.44269504)
_LN2_HIGH, _LN2_LOW = np.float32(355 / 512), np.float32(-2.12194440e-4)  # n * 355/512 is exact for |n| < 2^15; their sum is ln 2
_LARGEST_EXPONENT = np.float32(87)  # exp(-87) = 1.6e-38 is still normal
_SQRT_HALF = np.float32(0.70710678)
_GELU_TANH = (np.float32(1.5957691), np.float32(0.044715))  # 2 sqrt(2/pi), and the cubic's factor
_FLAT = np.float32(16)  # |w| > 300 there, far beyond 87
_LARGEST_Z = np.float32(9)  # exp(-81): behind it the tail is 0 to all purposes
_TAIL_SLOPE = np.float32(0.3275911)
_TAIL = tuple(map(np.float32, (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)))


def exp(x: F32) -> F32:
    """Return e^x for x clipped to [-87, 87]; relative error below 2^-22 there.

    n = rint(x log2(e)),  r = (x - n LN2_HIGH) - n LN2_LOW,  |r| < 0.35
    e^x = 2^n (1 + r (1 + r (1/2 + r (1/6 + ... + r/5040))))         the eighth term would be 5e-9
    """
    x = np.minimum(np.maximum(x, -_LARGEST_EXPONENT), _LARGEST_EXPONENT)
    n = np.rint(x * _LOG2_E)
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    total = np.full_like(r, 1 / 5040)
    for factorial in (720, 120, 24, 6, 2, 1, 1):
        total = np.float32(1 / factorial) + r * total
    power: F32 = np.ldexp(total, n.astype(np.int32))  # times a power of two: exact
    return power


def relu(x: F32) -> F32:
    """Return max(x, 0)."""
    return np.maximum(x, np.float32(0))


def hardsigmoid(x: F32) -> F32:
    """Return min(max(x + 3, 0), 6) / 6."""
    return _clip_to_six(x + np.float32(3)) / np.float32(6)


def hardswish(x: F32) -> F32:
    """Return (x min(max(x + 3, 0), 6)) / 6."""
    return x * _clip_to_six(x + np.float32(3)) / np.float32(6)


def sigmoid(x: F32) -> F32:
    """Return 1 / (1 + exp(-x))."""
    return np.float32(1) / (np.float32(1) + exp(-x))


def silu(x: F32) -> F32:
    """Return x / (1 + exp(-x))."""
    return x / (np.float32(1) + exp(-x))


def gelu(x: F32) -> F32:
    """Return x Phi(x), the normal distribution's Phi by its tail (Abramowitz and Stegun, 7.1.26).

    z = min(|x| / sqrt 2, 9),  u = 1 / (1 + 0.3275911 z),  tail = (1/2 (u (a1 + u (a2 + ... + u a5)))) exp(-(z z))
    Phi(x) = tail for x < 0, else 1 - tail
    """
    z = np.minimum(np.abs(x) * _SQRT_HALF, _LARGEST_Z)
    u = np.float32(1) / (np.float32(1) + _TAIL_SLOPE * z)
    total = np.full_like(u, _TAIL[0])
    for coefficient in _TAIL[1:]:
        total = coefficient + u * total
    tail = (np.float32(0.5) * (u * total)) * exp(-(z * z))
    return x * np.where(x < 0, tail, np.float32(1) - tail)


def gelu_tanh(x: F32) -> F32:
    """Return GELU by a tanh, as 1/2 (1 + tanh(w/2)) is the sigmoid of w.

    y = min(max(x, -16), 16),  w = y (1.5957691 (1 + 0.044715 (y y))),  result = x / (1 + exp(-w))
    """
    slope, cubic = _GELU_TANH
    y = np.minimum(np.maximum(x, -_FLAT), _FLAT)
    return x / (np.float32(1) + exp(-(y * (slope * (np.float32(1) + cubic * (y * y))))))


def tanh(x: F32) -> F32:
    """Return 1 - 2 / (1 + exp(x + x))."""
    return np.float32(1) - np.float32(2) / (np.float32(1) + exp(x + x))


def _clip_to_six(x: F32) -> F32:
    clipped: F32 = np.minimum(np.maximum(x, np.float32(0)), np.float32(6))
    return clipped


FUNCTIONS: dict[str, Callable[[F32], F32]] = {
    function.__name__: function for function in (relu, hardsigmoid, hardswish, sigmoid, silu, gelu, gelu_tanh, tanh)
}
ERROR_BOUNDS: dict[str, float] = {  # |formula - function| <= bound * max(1, |x|), for all |x| up to 2^60
    "sigmoid": 2.0**-22,
    "silu": 2.0**-22,
    "gelu": 2.0**-21,
    "gelu_tanh": 2.0**-20,
    "tanh": 2.0**-21,
}
EXP_ERROR_BOUND = 2.0**-22  # |formula - function| <= bound * e^x, for x from -87 to 87

"""The float operations against torch, on integers, whose sums no order of additions can round."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch.nn import functional as F

from quantizable.graph import FUNCTIONS, AdaptiveAvgPool, AvgPool, GlobalMean, LayerNorm, MaxPool, Pad, Slice, Softmax, Transpose
from quantizable.graph.operations import avg_pool, global_mean, layer_norm, max_pool, pad, slice_of, softmax, transpose

SIZES = st.tuples(st.integers(1, 9), st.integers(1, 9))


def whole_numbers(*shape: int) -> np.ndarray:
    """Return integers from -50 to 50, float32: their sums are exact in any order."""
    return np.random.default_rng(3).integers(-50, 51, shape).astype(np.float32)


@st.composite
def pools(draw: st.DrawFn) -> dict[str, object]:
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    return {
        "kernel": kernel,
        "stride": (draw(st.integers(1, 4)), draw(st.integers(1, 4))),
        "padding": tuple(draw(st.integers(0, k // 2)) for k in kernel),
        "ceil_mode": draw(st.booleans()),
    }


def _fits(size: tuple[int, int], options: dict[str, object], dilation: tuple[int, int] = (1, 1)) -> bool:
    axes = zip(size, options["kernel"], options["padding"], dilation, strict=True)
    return all(n + 2 * p >= d * (k - 1) + 1 for n, k, p, d in axes)


@given(size=SIZES, options=pools(), dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)))
def test_max_pooling_is_torchs(size, options, dilation):
    """Every geometry: overlapping, dilated, padded, a last window beyond the end."""
    assume(_fits(size, options, dilation))
    assume(all(d <= n for d, n in zip(dilation, size, strict=True)))  # shapes_of refuses windows that see padding alone
    x = whole_numbers(2, 3, *size)
    ours = max_pool(MaxPool("y", "x", dilation=dilation, **options), x)
    names = {"kernel": "kernel_size"}
    theirs = F.max_pool2d(torch.from_numpy(x), dilation=dilation, **{names.get(key, key): value for key, value in options.items()})
    assert np.array_equal(ours, theirs.numpy())


@given(size=SIZES, options=pools(), counts=st.booleans())
def test_average_pooling_is_torchs(size, options, counts):
    """The same geometries, dividing by the window with or without its padding."""
    assume(_fits(size, options))
    x = whole_numbers(2, 3, *size)
    ours = avg_pool(AvgPool("y", "x", count_include_pad=counts, **options), x)
    names = {"kernel": "kernel_size"}
    arguments = {names.get(key, key): value for key, value in options.items()}
    theirs = F.avg_pool2d(torch.from_numpy(x), count_include_pad=counts, **arguments)
    assert np.array_equal(ours, theirs.numpy())


@given(size=SIZES, outputs=SIZES)
def test_adaptive_means_are_sums_divided_once(size, outputs):
    """Windows from floor(j n / m) to ceil((j + 1) n / m), as torch cuts them; torch divides once an axis, we once."""
    x = whole_numbers(1, 2, *size)
    ours = avg_pool(AdaptiveAvgPool("y", "x", outputs), x)
    theirs = F.adaptive_avg_pool2d(torch.from_numpy(x).double(), outputs).numpy()
    assert np.abs(ours - theirs).max() <= 2.0**-23 * 50


def test_a_mean_adds_in_row_major_order():
    """Law, Between layers: ((x0 + x1) + x2) + ..., each sum rounded: 1 is lost beside 2^24, unless it comes first."""
    x = np.array([2.0**24, 1, 1, 1, -(2.0**24), 0], np.float32)
    first, last = x.reshape(1, 1, 2, 3), np.ascontiguousarray(x[::-1]).reshape(1, 1, 2, 3)
    node = GlobalMean("y", "x", False)
    assert global_mean(node, first)[0, 0] == 0
    assert global_mean(node, last)[0, 0] == np.float32((-(2.0**24) + 3 + 2.0**24) / 6)


def test_a_mean_can_keep_its_axes():
    """keep_axes: (N, C, 1, 1), else (N, C)."""
    x = whole_numbers(2, 3, 4, 5)
    assert global_mean(GlobalMean("y", "x", True), x).shape == (2, 3, 1, 1)
    assert np.array_equal(global_mean(GlobalMean("y", "x", False), x), x.sum((2, 3)) / np.float32(20))


@pytest.mark.parametrize("n_axes", [1, 2])
def test_layer_norm_is_torchs_up_to_rounding(n_axes):
    """Law: mean, variance, 1/sqrt, product, weight, bias, each rounded; torch sums in another order."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 7)).astype(np.float32)
    shape = x.shape[4 - n_axes :]
    weight, bias = whole_numbers(*shape) / 16, whole_numbers(*shape) / 16
    ours = layer_norm(LayerNorm("y", "x", n_axes, 1e-6, weight, bias), x)
    as_double = [torch.from_numpy(values).double() for values in (x, weight, bias)]
    theirs = F.layer_norm(as_double[0], shape, *as_double[1:], 1e-6)
    assert np.abs(ours - theirs.numpy()).max() <= 2.0**-20
    plain = layer_norm(LayerNorm("y", "x", n_axes, 1e-6, None, None), x)
    assert np.array_equal(plain * weight + bias, ours)


@pytest.mark.parametrize("axis", [1, 2, 3])
def test_softmax_is_torchs_up_to_rounding(axis):
    """Law: powers of the distance to the largest, divided by their sum; rows sum to one."""
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 7), scale=5).astype(np.float32)
    ours = softmax(Softmax("y", "x", axis), x)
    assert np.abs(ours - torch.from_numpy(x).double().softmax(axis).numpy()).max() <= 2.0**-21
    assert np.abs(ours.sum(axis) - 1).max() <= 2.0**-21


def test_softmax_of_far_values_is_a_choice():
    """No overflow: the largest alone counts."""
    y = softmax(Softmax("y", "x", 1), np.array([[1e38, 0, -1e38]], np.float32))
    assert np.array_equal(y.round(30), np.array([[1, 0, 0]], np.float32))


def test_slices_pads_and_transposes_move_values_only():
    """Every second pixel, channels of a number around, channels last."""
    x = whole_numbers(2, 3, 5, 4)
    assert np.array_equal(slice_of(Slice("y", "x", 2, 1, None, 2), x), x[:, :, 1::2])
    padded = pad(Pad("y", "x", ((2, 1), (0, 0), (0, 3)), 7.0), x)
    assert padded.shape == (2, 6, 5, 7)
    assert np.array_equal(padded[:, 2:5, :, :4], x)
    assert padded.sum() == x.sum() + 7 * (padded.size - x.size)
    assert np.array_equal(transpose(Transpose("y", "x", (0, 2, 3, 1)), x), x.transpose(0, 2, 3, 1))


@pytest.mark.parametrize("name", ["relu", "hardswish", "hardsigmoid"])
def test_piecewise_functions_are_torchs_bit_for_bit(name):
    """docs/integer_model.md: no difference there; every step of 2^-9 from -8 to 8, shifted off the grid of the thresholds."""
    x = (np.arange(-4096, 4097) / 512).astype(np.float32) + np.float32(0.0007)
    assert np.array_equal(FUNCTIONS[name](x), getattr(F, name)(torch.from_numpy(x)).numpy())

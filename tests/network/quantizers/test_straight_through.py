"""Straight-through functions: exact integers forward, the stated gradient backward."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quantizable.network.quantizers.straight_through import (
    LinearActivation,
    integer_weight,
    least_squares_scale,
    rounded_ste,
    weight_code,
)
from strategies import BITS, MAGNITUDES, STEPS


@given(size=MAGNITUDES, negative=st.booleans(), channel_range=MAGNITUDES, bits=BITS)
def test_codes_at_fewer_bits_are_the_top_bits_of_the_stored_code(size: float, negative: bool, channel_range: float, bits: int) -> None:
    """Law, Weights: the thresholds of b bits are among those of 8 bits."""
    weight, r = np.float32(-size if negative else size), np.float32(channel_range)
    stored = int(weight_code(torch.tensor([[weight]]), torch.tensor([r])))  # 8 bits, then shifted
    direct = int(np.clip(np.floor(weight * np.float32(2 ** (bits - 1)) / r) + 2 ** (bits - 1), 0, 2**bits - 1))
    assert stored >> (8 - bits) == direct


@pytest.mark.parametrize("bits", range(1, 9))
def test_integer_weights_are_odd_and_read_the_top_bits(bits: int) -> None:
    """Law, Weights: v = 2 (code >> (8 - b)) + 1 - 2^b for all 256 codes, held in bytes or floats."""
    codes = np.arange(256)
    expected = 2 * (codes >> (8 - bits)) + 1 - 2**bits
    assert np.abs(expected).max() == 2**bits - 1
    for dtype in (torch.uint8, torch.float32):
        found = integer_weight(torch.from_numpy(codes).to(dtype), bits)
        assert found.dtype == torch.float32
        np.testing.assert_array_equal(found.numpy(), expected)


def test_rint_rounds_half_to_even_and_passes_the_gradient() -> None:
    """Law: rint rounds half to even; the gradient of rounding is taken as 1."""
    x = torch.tensor([-1.5, -0.5, 0.5, 1.5, 2.5, 0.49], requires_grad=True)
    y = rounded_ste(x)
    y.backward(torch.arange(6.0))
    assert y.tolist() == [-2, 0, 0, 2, 2, 0]
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 2, 3, 4, 5]


def test_least_squares_scale_leaves_an_error_orthogonal_to_the_integers() -> None:
    """Normal equation: sum (W - s v) v = 0 in each row, and a row of zeros keeps the smallest scale."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(3, 2, 3, 3, generator=generator)
    weight[2] = 0
    integers = integer_weight(weight_code(weight, torch.full((3,), 2.0)), 3)
    scale = least_squares_scale(weight, integers)
    error = (weight - scale.view(3, 1, 1, 1) * integers).flatten(1)[:2]
    assert scale.dtype == torch.float32
    assert ((error * integers.flatten(1)[:2]).sum(1).abs() < 1e-4).all()
    assert scale[2] == 2.0**-30


@given(st.lists(st.floats(-(2.0**12), 2.0**12, width=32), min_size=1, max_size=8), STEPS, BITS, st.integers(0, 510))
def test_activation_codes_equal_the_law_bit_for_bit(x: list[float], step: float, bits: int, halves: int) -> None:
    """Law, Activations: q = clip(rint(x * (1/d) + z), 0, 2^a - 1), each operation rounded to float32."""
    n = 2**bits - 1
    zero_point = np.float32(min(halves, 2 * n) / 2)
    values, d = np.array(x, np.float32), np.float32(step)
    expected = np.clip(np.rint(values * (np.float32(1) / d) + zero_point), 0, n)
    found = LinearActivation.apply(torch.from_numpy(values), torch.tensor(d), torch.tensor(zero_point), n)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("is_signed", [False, True])
def test_gradient_of_linear_codes_is_the_stated_formula(bits: int, is_signed: bool) -> None:
    """dq/dx = w/d and dq/dd = -(u - z) w / d, with w = [0 <= u < n]; in float64."""
    n = 2**bits - 1
    z, d = (n / 2 if is_signed else 0.0), 0.3
    x = np.random.default_rng(bits).normal(0, d * n, 200)
    g = np.random.default_rng(99).normal(size=200)
    x_t = torch.tensor(x, requires_grad=True)
    d_t = torch.tensor(d, dtype=torch.float64, requires_grad=True)
    LinearActivation.apply(x_t, d_t, torch.tensor(z), n).backward(torch.from_numpy(g))
    u = x / d + z
    window = (u >= 0) & (u < n)
    assert 0 < window.sum() < 200
    assert x_t.grad is not None
    assert d_t.grad is not None
    np.testing.assert_allclose(x_t.grad.numpy(), g * window / d, rtol=1e-12)
    np.testing.assert_allclose(d_t.grad.item(), -(g * (u - z) * window / d).sum(), rtol=1e-10)

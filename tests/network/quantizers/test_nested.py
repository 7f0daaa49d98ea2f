"""The nested quantizer against a NumPy form of the law, and its gradients against formulas written by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from numpy.typing import NDArray

from quantizable.errors import RangeError
from quantizable.network.quantizers.nested import NestedActivationQuantizer, NestedWeightQuantizer
from quantizable.network.quantizers.straight_through import NestedActivation, NestedWeight
from strategies import BITS, weights_and_ranges

Array = NDArray[np.float64]


def law_integers(weight: NDArray[np.float32], channel_range: NDArray[np.float32], bits: int) -> NDArray[np.int64]:
    """v of the law, docs/arithmetic.md, in float32 up to the floor and in integers after it."""
    code = np.clip(np.floor(weight * np.float32(128) / channel_range[:, None]) + np.float32(128), 0, 255).astype(np.int64)
    return 2 * (code >> (8 - bits)) + 1 - 2**bits


@given(drawn=weights_and_ranges(), bits=BITS)
def test_integer_weights_equal_the_law(drawn: tuple[NDArray[np.float32], NDArray[np.float32]], bits: int) -> None:
    """Law, Weights, for magnitudes of 2^-30 to 2^30; the scale is the least-squares one in float64."""
    weight, channel_range = drawn
    values, scale = NestedWeight.apply(torch.from_numpy(weight), torch.from_numpy(channel_range), bits)
    expected = law_integers(weight, channel_range, bits)
    assert values.dtype == scale.dtype == torch.float32
    np.testing.assert_array_equal(values.numpy(), expected)
    least_squares = (weight.astype(np.float64) * expected).sum(1) / (expected**2).sum(1)
    np.testing.assert_allclose(scale.numpy(), np.maximum(least_squares, 2.0**-30), rtol=2**-23)


def test_gradient_of_a_weight_is_one_through_its_scale() -> None:
    """d(v s)/dW = 1: the gradient that reaches W is the one that reaches the product v s."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(4, 3, 3, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    quantizer = NestedWeightQuantizer(weight, 3.0)
    for bits in range(1, 9):
        values, scale = quantizer(weight, f"w{bits}a8", bits)
        g = torch.randn(values.shape, generator=generator)
        (found,) = torch.autograd.grad(values * scale.view(-1, 1, 1, 1), weight, g)
        torch.testing.assert_close(found, g.double(), rtol=1e-6, atol=0)


def test_channel_range_is_the_largest_magnitude_or_a_multiple_of_the_rms() -> None:
    """The range of a channel is max|W|, or channel_rms times the root mean square; 1 for a channel of zeros."""
    weight = torch.tensor([[3.0, -4.0], [0.0, 0.0]])
    assert NestedWeightQuantizer(weight, None).channel_range.tolist() == [4.0, 1.0]
    np.testing.assert_allclose(NestedWeightQuantizer(weight, 2.0).channel_range.numpy(), [2 * np.sqrt(12.5), 1.0], rtol=1e-6)


def test_refresh_takes_the_ranges_of_another_weight() -> None:
    """After another float checkpoint the ranges are the new weight's."""
    quantizer = NestedWeightQuantizer(torch.ones(2, 3), None)
    quantizer.refresh(torch.tensor([[5.0, 0, 0], [0, -7.0, 0]]))
    assert quantizer.channel_range.tolist() == [5.0, 7.0]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 2.0**31])
def test_a_weight_out_of_range_is_refused(bad: float) -> None:
    """Magnitudes beyond 2^30, infinities and NaN are a RangeError that shows the value."""
    with pytest.raises(RangeError, match=str(bad)):
        NestedWeightQuantizer(torch.tensor([[1.0, bad]]), None)


def window(u: Array, bits: int, half_width: Array | float) -> Array:
    """1 inside [0, n]; for one bit the triangle of area 1 and half width h around the threshold 1/2."""
    if bits == 1:
        return np.maximum(1 - np.abs(u - 0.5) / half_width, 0) / half_width
    return ((u >= 0) & (u <= 2**bits - 1)).astype(np.float64)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("is_signed", [False, True])
def test_gradient_of_activation_codes_is_the_stated_formula(bits: int, is_signed: bool) -> None:
    """dq/dx = w/d and dq/d(log d) = -(u - z) w in float64, the one-bit window per channel."""
    n, d = 2**bits - 1, 0.25
    z = n / 2 if is_signed else 0.0
    half_width = np.array([0.5, 1.0, 3.0]).reshape(1, 3, 1) if bits == 1 else np.ones((1, 1, 1))
    x = np.random.default_rng(bits).normal(0, d * n, (4, 3, 30))
    g = np.random.default_rng(50).normal(size=x.shape)
    x_t = torch.tensor(x, requires_grad=True)
    log_step = torch.tensor(np.log(d), requires_grad=True)
    codes = NestedActivation.apply(x_t, log_step, torch.tensor(z), torch.from_numpy(half_width), n)
    codes.backward(torch.from_numpy(g))
    u = x / d + z
    w = window(u, bits, half_width)
    np.testing.assert_array_equal(codes.detach().numpy(), np.clip(np.rint(u), 0, n))
    assert x_t.grad is not None
    assert log_step.grad is not None
    np.testing.assert_allclose(x_t.grad.numpy(), g * w / d, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(log_step.grad.item(), -(g * w * (u - z)).sum(), rtol=1e-9)


def test_one_bit_window_follows_the_spread_of_each_channel() -> None:
    """The half width of the one-bit window is the channel's standard deviation in steps, along the axis of the channels."""
    generator = torch.Generator().manual_seed(3)
    spread = torch.tensor([1.0, 1.5, 3.0])
    images = torch.randn(8, 3, 16, 16, generator=generator) * spread.view(1, 3, 1, 1)
    tokens = images.permute(0, 2, 3, 1).flatten(1, 2)
    for x, channel_dim in ((images, 1), (tokens, -1)):
        quantizer = NestedActivationQuantizer(1, 3, channel_dim)
        quantizer.estimate(x, is_signed=True)
        step = quantizer.log_step.exp().item()
        np.testing.assert_allclose(quantizer.half_width.numpy() * step, spread.numpy(), rtol=0.05)
        x = x.requires_grad_()
        quantizer(x).values.sum().backward()
        assert x.grad is not None
        assert x.grad.shape == x.shape


def test_the_value_sees_the_rounding_error_through_its_step() -> None:
    """d value/d(log d) = d (q - z - (u - z) w): the learned-step gradient, once the layer multiplied by the step."""
    quantizer = NestedActivationQuantizer(3, 1, 1).double()
    x = torch.linspace(-1, 3, 101, dtype=torch.float64).view(-1, 1)
    quantizer.estimate(x, is_signed=False)
    codes = quantizer(x)
    (codes.step * (codes.values - codes.zero_point)).sum().backward()
    d = quantizer.log_step.exp().item()
    u = x.numpy() / d
    assert quantizer.log_step.grad is not None
    expected = d * (np.clip(np.rint(u), 0, 7) - u * window(u, 3, 1.0)).sum()
    np.testing.assert_allclose(quantizer.log_step.grad.item(), expected, rtol=1e-9)

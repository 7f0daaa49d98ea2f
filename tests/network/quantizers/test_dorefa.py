"""DoReFa against a NumPy form of the paper's formulas, values and gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from numpy.typing import NDArray

from quantizable.network.quantizers.dorefa import DoReFaActivationQuantizer, DoReFaWeightQuantizer, TanhWeight
from strategies import BITS, weights_and_ranges

Weights = tuple[NDArray[np.float32], NDArray[np.float32]]


@given(drawn=weights_and_ranges(), bits=BITS)
def test_integers_equal_the_papers_formula_bit_for_bit(drawn: Weights, bits: int) -> None:
    """v = 2 rint((t/m + 1)/2 n) - n in float32, given t = tanh W: odd, |v| <= n."""
    weight, n = torch.from_numpy(drawn[0]), 2**bits - 1
    tanh = torch.tanh(weight).numpy()  # NumPy's own tanh may differ in the last bit
    largest = np.maximum(np.abs(tanh).max(), np.float32(2.0**-30))
    expected = 2 * np.rint((tanh / largest + np.float32(1)) / np.float32(2) * np.float32(n)) - n
    found = TanhWeight.apply(weight, n)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), expected)
    assert (np.abs(expected) <= n).all()
    assert (expected % 2 == 1).all()


@given(drawn=weights_and_ranges())
def test_one_bit_is_the_sign_times_the_mean_magnitude(drawn: Weights) -> None:
    """b = 1: v = sign W with sign 0 = 1, s = mean|W| over all channels, at least 2^-30."""
    weight = drawn[0]
    values, scale = DoReFaWeightQuantizer(torch.from_numpy(weight), None)(torch.from_numpy(weight), "w1a1", 1)
    np.testing.assert_array_equal(values.numpy(), np.where(weight >= 0, 1, -1))
    mean = max(np.abs(weight.astype(np.float64)).mean(), 2.0**-30)
    np.testing.assert_allclose(scale.numpy(), np.full(len(weight), mean), rtol=2**-23)


@pytest.mark.parametrize("bits", range(2, 9))
def test_weight_gradient_goes_through_tanh_and_the_largest(bits: int) -> None:
    """dv_i/dW_j = n (1 - t_j^2)/m ([i = j] - [j largest] sign(t_j) t_i/m), and s = 1/n, in float64."""
    n = 2**bits - 1
    w = np.random.default_rng(bits).normal(0, 0.5, (4, 6))
    g = np.random.default_rng(9).normal(size=(4, 6)).astype(np.float32).astype(np.float64)
    weight = torch.tensor(w, requires_grad=True)
    values, scale = DoReFaWeightQuantizer(weight, None)(weight, "w", bits)
    values.backward(torch.from_numpy(g).float())
    t = np.tanh(w).ravel()
    largest = int(np.abs(t).argmax())
    m = abs(t[largest])
    jacobian = n / m * (np.eye(24) - np.outer(t, np.eye(24)[largest] * np.sign(t[largest])) / m) * (1 - t**2)
    assert weight.grad is not None
    np.testing.assert_allclose(weight.grad.numpy().ravel(), g.ravel() @ jacobian, rtol=1e-5, atol=1e-6 * n)
    assert (scale == torch.tensor(1 / n)).all()


def test_equally_large_weights_share_the_gradient_of_the_largest() -> None:
    """Two weights of one magnitude, signs apart, take half each, as the derivative of amax does."""
    weight = torch.tensor([[0.9, -0.9, 0.3]], dtype=torch.float64, requires_grad=True)
    g = torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.float64)
    smooth = 7 * torch.tanh(weight) / torch.tanh(weight).abs().amax()
    (expected,) = torch.autograd.grad(smooth, weight, g)
    (found,) = torch.autograd.grad(TanhWeight.apply(weight, 7), weight, g.float())
    torch.testing.assert_close(found, expected)


def test_one_bit_gradient_is_straight_through() -> None:
    """b = 1: d(v s)/dW = 1 for every weight."""
    weight = torch.tensor([[3.0, -0.2], [0.0, -5.0]], dtype=torch.float64, requires_grad=True)
    values, scale = DoReFaWeightQuantizer(weight, None)(weight, "w1a1", 1)
    (values * scale.view(-1, 1)).backward(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert weight.grad is not None
    torch.testing.assert_close(weight.grad, torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64), rtol=1e-6, atol=0)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("is_signed", [False, True])
def test_activations_lie_on_a_fixed_range(bits: int, is_signed: bool) -> None:
    """Levels are even on [0, 1] or [-1, 1], both ends reached, whatever the batch; the gradient is 1 inside, 0 outside."""
    n = 2**bits - 1
    quantizer = DoReFaActivationQuantizer(bits, 1, 1)
    quantizer.estimate(torch.tensor([50.0]), is_signed=is_signed)
    x = torch.linspace(-2, 2, 4001, requires_grad=True)
    codes = quantizer(x)
    value = codes.step * (codes.values - codes.zero_point)
    value.sum().backward()
    low, spacing = (-1.0, 2 / n) if is_signed else (0.0, 1 / n)
    numbers = x.detach().double().numpy()
    levels = np.unique(value.detach().numpy())
    np.testing.assert_allclose(levels, low + spacing * np.arange(n + 1), atol=1e-6)
    assert (np.abs(value.detach().numpy() - np.clip(numbers, low, 1)) <= spacing / 2 + 1e-6).all()
    assert x.grad is not None
    inside, outside = (numbers > low + 1e-3) & (numbers < 1 - 1e-3), (numbers < low - 1e-3) | (numbers > 1 + 1e-3)
    np.testing.assert_allclose(x.grad.numpy()[inside], 1, rtol=1e-6)
    assert (x.grad.numpy()[outside] == 0).all()

"""LSQ against a NumPy form of the paper's formulas, values and gradients in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from numpy.typing import NDArray

from quantizable.network.quantizers.lsq import LsqActivationQuantizer, LsqWeight, LsqWeightQuantizer
from strategies import BITS, weights_and_ranges

MODE = "w4a4:all-but_2"


def limits(bits: int) -> tuple[int, int]:
    """(lowest, largest) integer: -2^(b-1) and 2^(b-1) - 1; -1 and 1 for one bit."""
    return (-1, 1) if bits == 1 else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


@given(drawn=weights_and_ranges(), bits=BITS)
def test_integers_equal_the_papers_formula_bit_for_bit(drawn: tuple[NDArray[np.float32], NDArray[np.float32]], bits: int) -> None:
    """v = clip(rint(W / s), -2^(b-1), 2^(b-1) - 1) with one s per channel; the sign for one bit."""
    weight, step = drawn
    rounded = np.clip(np.rint(weight / step[:, None]), *limits(bits))
    expected = np.where(weight >= 0, 1, -1) if bits == 1 else rounded
    found = LsqWeight.apply(torch.from_numpy(weight), torch.from_numpy(step), bits)
    assert found.dtype == torch.float32
    np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("bits", range(1, 9))
def test_weight_gradients_are_the_papers(bits: int) -> None:
    """d(v s)/dW = w; d(v s)/ds = v - W/s inside the window, v outside, times 1/sqrt(N Qp); the parameter is log s."""
    lowest, largest = limits(bits)
    w = np.random.default_rng(bits).normal(0, 1, (3, 2, 3, 3))
    g = np.random.default_rng(4).normal(size=w.shape)
    weight = torch.tensor(w, requires_grad=True)
    quantizer = LsqWeightQuantizer(weight, None)
    quantizer.add_mode(MODE, bits)
    quantizer.double()
    s = np.array([0.5, 1.0, 2.0]) / largest
    with torch.no_grad():
        quantizer.log_step[MODE].copy_(torch.from_numpy(np.log(s)))
    values, scale = quantizer(weight, MODE, bits)
    (values * scale.view(-1, 1, 1, 1)).backward(torch.from_numpy(g))

    u = w / s.reshape(-1, 1, 1, 1)
    inside = (u > lowest) & (u < largest)
    v = np.where(w >= 0, 1, -1) if bits == 1 else np.clip(np.rint(u), lowest, largest)
    per_channel = (g * np.where(inside, v - u, v)).sum((1, 2, 3)) / np.sqrt(18 * largest)
    gradient = quantizer.log_step[MODE].grad
    assert weight.grad is not None
    assert gradient is not None
    assert 0 < inside.sum() < inside.size
    np.testing.assert_allclose(scale.detach().numpy(), s, rtol=1e-12)
    np.testing.assert_allclose(weight.grad.numpy(), g * inside, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(gradient.numpy(), s * per_channel, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("bits", range(1, 9))
def test_weight_steps_start_as_the_paper_says(bits: int) -> None:
    """s = 2 mean|W| / sqrt(Qp) per channel, mean|W| for one bit; a channel of zeros goes on standing for zeros."""
    weight = torch.tensor([[1.0, -3.0], [0.5, 0.5], [0.0, 0.0]])
    quantizer = LsqWeightQuantizer(weight, None)
    quantizer.add_mode(MODE, bits)
    values, scale = quantizer(weight, MODE, bits)
    factor = 1.0 if bits == 1 else 2 / np.sqrt(limits(bits)[1])
    np.testing.assert_allclose(scale.detach().numpy()[:2], np.array([2.0, 0.5]) * factor, rtol=1e-5)
    assert (values[2] * scale[2]).abs().max() <= 2.0**-29


def test_refresh_restarts_the_steps_of_every_mode() -> None:
    """After another float weight was loaded all modes start from it, and so do modes added later."""
    quantizer = LsqWeightQuantizer(torch.ones(2, 4), None)
    quantizer.add_mode("w2a2", 2)
    quantizer.refresh(torch.full((2, 4), 3.0))
    quantizer.add_mode("w1a1", 1)
    steps = {mode: log_step.detach().exp() for mode, log_step in quantizer.log_step.items()}
    torch.testing.assert_close(steps, {"w2a2": torch.full((2,), 6.0), "w1a1": torch.full((2,), 3.0)})


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("is_signed", [False, True])
def test_activation_gradients_are_the_papers(bits: int, is_signed: bool) -> None:
    """d value/dx = w; d value/dd = q - u inside, q - z outside, times 1/sqrt(N Qp) with N values per image; log d is learned."""
    n = 2**bits - 1
    x = np.random.default_rng(bits).normal(0.3, 1, (5, 3, 4, 4))
    g = np.random.default_rng(6).normal(size=x.shape)
    quantizer = LsqActivationQuantizer(bits, 3, 1).double()
    quantizer.estimate(torch.from_numpy(x), is_signed=is_signed)
    with torch.no_grad():
        quantizer.log_step.sub_(0.5)  # narrower than estimated, so that values are clipped
    x_t = torch.tensor(x, requires_grad=True)
    codes = quantizer(x_t)
    (codes.step * (codes.values - codes.zero_point)).backward(torch.from_numpy(g))

    d, z = codes.step.item(), codes.zero_point.item()
    u = x / d + z
    q = np.clip(np.rint(u), 0, n)
    inside = (u >= 0) & (u < n)
    gradient = (g * np.where(inside, q - u, q - z)).sum() / np.sqrt(48 * n)
    assert 0 < inside.sum() < inside.size
    assert x_t.grad is not None
    assert quantizer.log_step.grad is not None
    np.testing.assert_array_equal(codes.values.detach().numpy(), q)
    np.testing.assert_allclose(x_t.grad.numpy(), g * inside, atol=1e-12)
    np.testing.assert_allclose(quantizer.log_step.grad.item(), d * gradient, rtol=1e-9)

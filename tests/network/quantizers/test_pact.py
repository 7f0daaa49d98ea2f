"""PACT and the gradient-calibrated PACT of SAT: codes on [0, a] or [-a, a], gradients of the papers in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quantizable.network.quantizers import QUANTIZERS
from quantizable.network.quantizers.dorefa import DoReFaWeightQuantizer
from quantizable.network.quantizers.pact import PactActivationQuantizer
from quantizable.network.quantizers.sat import SatActivationQuantizer


def prepared(kind: type[PactActivationQuantizer], bits: int, level: float, *, is_signed: bool) -> PactActivationQuantizer:
    """A float64 quantizer whose clip level is `level`."""
    quantizer = kind(bits, 1, 1).double()
    quantizer.estimate(torch.ones(3), is_signed=is_signed)
    with torch.no_grad():
        quantizer.log_clip_level.fill_(np.log(level))
    return quantizer


@pytest.mark.parametrize("kind", [PactActivationQuantizer, SatActivationQuantizer])
@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("is_signed", [False, True])
def test_values_and_gradients_are_the_papers(kind: type[PactActivationQuantizer], bits: int, is_signed: bool) -> None:
    """value = rint of the clipped x on n + 1 even levels; d value/dx = 1 inside, else 0; d value/da = 1 above, -1 below (0 below
    zero if unsigned); inside 0 for PACT, (value - x)/a for SAT. The parameter is log a: a factor a more."""
    n, a = 2**bits - 1, 1.7
    low = -a if is_signed else 0.0
    x = np.random.default_rng(bits).normal(0, 2, 300)
    g = np.random.default_rng(8).normal(size=300)
    x_t = torch.tensor(x, requires_grad=True)
    quantizer = prepared(kind, bits, a, is_signed=is_signed)
    codes = quantizer(x_t)
    value = codes.step * (codes.values - codes.zero_point)
    value.backward(torch.from_numpy(g))

    expected = np.rint((np.clip(x, low, a) - low) / (a - low) * n) / n * (a - low) + low
    np.testing.assert_allclose(value.detach().numpy(), expected, atol=1e-12)
    inside = (x > low) & (x < a)
    assert 0 < inside.sum() < 300
    slope = np.where(x >= a, 1.0, np.where(x <= low, low / a, 0.0))
    if kind is SatActivationQuantizer:
        slope = np.where(inside, (expected - x) / a, slope)
    assert x_t.grad is not None
    assert quantizer.log_clip_level.grad is not None
    np.testing.assert_allclose(x_t.grad.numpy(), g * inside, atol=1e-12)
    np.testing.assert_allclose(quantizer.log_clip_level.grad.item(), a * (g * slope).sum(), rtol=1e-9)


def test_at_the_clip_level_itself_only_the_level_learns() -> None:
    """The paper's border: x = a belongs to the clipped side, x = 0 to the inside."""
    quantizer = prepared(PactActivationQuantizer, 2, 2.0, is_signed=False)
    with torch.no_grad():
        quantizer.log_clip_level.fill_(0.0)  # a = 1, exactly; 1/d = 3 exactly in float64
    x = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    codes = quantizer(x)
    (codes.step * codes.values).sum().backward()
    assert x.grad is not None
    assert quantizer.log_clip_level.grad is not None
    assert x.grad.tolist() == [1.0, 0.0]
    assert quantizer.log_clip_level.grad.item() == pytest.approx(1.0)


def test_weights_are_dorefas() -> None:
    """The paper quantizes weights as DoReFa does."""
    assert QUANTIZERS["pact"].weight is DoReFaWeightQuantizer

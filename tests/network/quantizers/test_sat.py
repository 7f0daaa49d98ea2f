"""SAT's weights: DoReFa's integers with the spread of a good initialisation. Its activations: test_pact.py."""

from __future__ import annotations

import math

import pytest
import torch

from quantizable.network.quantizers.dorefa import TanhWeight
from quantizable.network.quantizers.sat import SatWeightQuantizer

SHAPES = [(16, 8), (12, 5, 3), (8, 4, 3, 3), (6, 1, 5, 5)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", range(1, 9))
def test_weights_have_the_variance_one_over_fan_out(shape: tuple[int, ...], bits: int) -> None:
    """VAR[v s] = 1/n_out with n_out = out * kh * kw, whatever the magnitude of the float weight."""
    n_out = shape[0] * math.prod(shape[2:])
    for size in (0.01, 1.0):
        weight = size * torch.randn(shape, generator=torch.Generator().manual_seed(bits))
        values, scale = SatWeightQuantizer(weight, None)(weight, "w", bits)
        assert scale.shape == (shape[0],)
        effective = values.double() * scale.double()[0]
        assert effective.var(unbiased=False).item() == pytest.approx(1 / n_out, rel=1e-6)
        torch.testing.assert_close(values, TanhWeight.apply(weight, 2**bits - 1), rtol=0, atol=0)


def test_integers_without_spread_keep_a_finite_scale() -> None:
    """Weights that all fall on one level have no variance; their mean square takes its place: |v| s = 1/sqrt(n_out)."""
    weight = torch.full((4, 2, 1, 1), 0.3)
    values, scale = SatWeightQuantizer(weight, None)(weight, "w", 4)
    torch.testing.assert_close(values.abs() * scale.view(-1, 1, 1, 1), torch.full((4, 2, 1, 1), 0.5))


def test_the_scale_passes_no_gradient() -> None:
    """s counts as a constant: the gradient of v s is s times that of v."""
    weight = torch.randn(4, 6, generator=torch.Generator().manual_seed(1), requires_grad=True)
    values, scale = SatWeightQuantizer(weight, None)(weight, "w", 3)
    assert not scale.requires_grad
    g = torch.randn(4, 6, generator=torch.Generator().manual_seed(2))
    (found,) = torch.autograd.grad(values * scale.view(-1, 1), weight, g)
    (expected,) = torch.autograd.grad(TanhWeight.apply(weight, 7), weight, g * scale.view(-1, 1))
    torch.testing.assert_close(found, expected)

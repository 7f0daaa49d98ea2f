"""Start values with the least squared error, compared with a finer search and with known answers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from quantizable.errors import CalibrationError, RangeError
from quantizable.network.quantizers.estimate import check_finite, estimate_clip_level, estimate_step


def squared_error(x: torch.Tensor, step: float, zero_point: float, n: int) -> float:
    """Sum of (d (q - z) - x)^2 in float64."""
    q = np.clip(np.rint(x.double().numpy() / step + zero_point), 0, n)
    return float((((q - zero_point) * step - x.double().numpy()) ** 2).sum())


@pytest.mark.parametrize("bits", range(1, 9))
def test_step_of_a_half_normal_is_near_the_best_of_a_fine_search(bits: int) -> None:
    """Unsigned: z = 0, and the squared error is within 5 % of the least over 1,000 steps."""
    x = torch.randn(5000, generator=torch.Generator().manual_seed(bits)).clamp(min=0)
    n = 2**bits - 1
    step, zero_point = estimate_step(x, bits, is_signed=False)
    best = min(squared_error(x, d, 0.0, n) for d in np.linspace(0.02, 1.0, 1000) * float(x.max()) / n)
    assert zero_point == 0.0
    assert squared_error(x, step, zero_point, n) <= 1.05 * best


@pytest.mark.parametrize("bits", range(1, 9))
def test_signed_zero_point_is_a_multiple_of_one_half_among_the_levels(bits: int) -> None:
    """Signed: 2 z is an integer in 0 .. 2 n; a shifted input shifts z; one bit has z = 1/2."""
    n = 2**bits - 1
    for shift in (-1.0, 0.0, 1.0):
        x = torch.randn(4000, generator=torch.Generator().manual_seed(7)) + shift
        step, zero_point = estimate_step(x, bits, is_signed=True)
        assert step > 0
        assert 2 * zero_point == round(2 * zero_point)
        assert 0 <= zero_point <= n
        if bits == 1:
            assert zero_point == 0.5
        elif bits >= 4 and shift:
            assert (zero_point < n / 2) == (shift > 0)


def test_levels_around_one_half_are_found_exactly() -> None:
    """Values on the levels d (q - 1/2) of two bits are described without error: z need not be an integer."""
    step, zero_point = estimate_step(torch.tensor([-0.25, 0.25, 0.75, 1.25]), 2, is_signed=True)
    assert (step, zero_point) == (pytest.approx(0.5), 0.5)


def test_one_signed_bit_is_near_the_mean_magnitude() -> None:
    """The least squares of a sign is +- mean|x|: step 2 mean|x|, clip level mean|x|."""
    x = torch.randn(5000, generator=torch.Generator().manual_seed(2))
    mean = float(x.abs().mean())
    assert estimate_step(x, 1, is_signed=True)[0] / 2 == pytest.approx(mean, rel=0.15)
    assert estimate_clip_level(x, 1, is_signed=True) == pytest.approx(mean, rel=0.15)


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("is_signed", [False, True])
def test_clip_level_is_near_the_best_of_a_fine_search(bits: int, is_signed: bool) -> None:
    """The squared error of even levels on [0, a] or [-a, a] is within 5 % of the least over 1,000 clip levels."""
    x = torch.randn(5000, generator=torch.Generator().manual_seed(bits))
    x = x if is_signed else x.clamp(min=0)
    n = 2**bits - 1
    z = n / 2 if is_signed else 0.0
    level = estimate_clip_level(x, bits, is_signed=is_signed)
    best = min(squared_error(x, a / (n - z), z, n) for a in np.linspace(0.02, 1.0, 1000) * float(x.abs().max()))
    assert squared_error(x, level / (n - z), z, n) <= 1.05 * best


def test_negative_values_count_as_zero_before_a_relu() -> None:
    """Unsigned estimates read values before or after the ReLU alike."""
    x = torch.randn(3000, generator=torch.Generator().manual_seed(4))
    assert estimate_step(x, 4, is_signed=False) == estimate_step(x.relu(), 4, is_signed=False)
    assert estimate_clip_level(x, 4, is_signed=False) == estimate_clip_level(x.relu(), 4, is_signed=False)


@pytest.mark.parametrize("n_channels", [50, 64, 500, 512])
def test_the_sample_of_a_large_batch_reads_all_channels(n_channels: int) -> None:
    """Channels of very different size: the step is near that of a shuffled batch, wherever the channels stand in memory."""
    generator = torch.Generator().manual_seed(5)
    x = torch.rand(20_000, n_channels, generator=generator) * torch.linspace(0.01, 10, n_channels).roll(n_channels // 2)
    shuffled = x[torch.randperm(20_000, generator=generator)[: 20_000 // n_channels]]
    for layout in (x, x.T.contiguous()):
        assert estimate_step(layout, 4, is_signed=False)[0] == pytest.approx(estimate_step(shuffled, 4, is_signed=False)[0], rel=0.15)


def test_zeros_give_a_usable_step() -> None:
    """A dead input still has a step and a clip level; one signed bit keeps z = 1/2."""
    assert estimate_step(torch.zeros(5), 4, is_signed=False) == (1.0, 0.0)
    assert estimate_step(torch.zeros(5), 1, is_signed=True) == (1.0, 0.5)
    assert estimate_clip_level(torch.zeros(5), 4, is_signed=True) == 1.0


@pytest.mark.parametrize("estimate", [estimate_step, estimate_clip_level])
def test_values_that_cannot_serve_are_refused(estimate) -> None:  # type: ignore[no-untyped-def]
    """No values, NaN, and infinity are a CalibrationError."""
    with pytest.raises(CalibrationError, match="no values"):
        estimate(torch.zeros(0), 4, is_signed=False)
    for bad in (float("nan"), float("inf")):
        with pytest.raises(CalibrationError, match="not finite"):
            estimate(torch.tensor([1.0, bad]), 4, is_signed=True)


def test_a_weight_that_is_not_finite_is_refused_with_its_count() -> None:
    """A NaN and an infinity among three weights are counted in the message."""
    check_finite(torch.tensor([1.0, -2.0]))
    with pytest.raises(RangeError, match="found 2 of 3"):
        check_finite(torch.tensor([1.0, float("nan"), float("inf")]))

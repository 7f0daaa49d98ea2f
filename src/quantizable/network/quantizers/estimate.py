"""Steps, clip levels and zero points with the least squared error on given values."""

from __future__ import annotations

import torch
from torch import Tensor

from quantizable.errors import CalibrationError, RangeError

_SAMPLES = 20_000
_GOLDEN_RATIO = (5**0.5 - 1) / 2
_SHARES = 41  # clip levels tried, from a tenth of the largest value to all of it
LEAST_STEP, LARGEST_STEP = 2.0**-30, 2.0**30


@torch.no_grad()
def estimate_step(x: Tensor, bits: int, *, is_signed: bool) -> tuple[float, float]:
    """Return (step d, zero point z) whose codes of `bits` bits describe `x` with the least squared error.

    Unsigned: z = 0, negative values count as zero (they are before a ReLU). Signed: z is a multiple of 1/2 between 0 and
    2^bits - 1, from the clipped range; one signed bit has z = 1/2.

    Raises:
        CalibrationError: no values, or one that is not finite.
    """
    values = _sample(x)
    if not is_signed:
        values = values.clamp(min=0)
    n = 2**bits - 1
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    if high - low < LEAST_STEP:
        return 1.0, (0.5 if is_signed and bits == 1 else 0.0)
    best = (float("inf"), 1.0, 0.0)
    for share in torch.linspace(0.1, 1.0, _SHARES, dtype=torch.float64).tolist():
        for step, zero_point in _candidates(low * share, high * share, n, is_signed):
            q = torch.round(values / step + zero_point).clamp(0, n)
            error = float(((q - zero_point) * step - values).square().sum())
            best = min(best, (error, step, zero_point))
    return min(max(best[1], LEAST_STEP), LARGEST_STEP), best[2]


@torch.no_grad()
def estimate_clip_level(x: Tensor, bits: int, *, is_signed: bool) -> float:
    """Return the clip level a whose codes of `bits` bits, even on [0, a] or [-a, a], describe `x` with the least squared error.

    Unsigned: negative values count as zero. Values that are all zero give 1.

    Raises:
        CalibrationError: no values, or one that is not finite.
    """
    values = _sample(x)
    if not is_signed:
        values = values.clamp(min=0)
    n: int = 2**bits - 1
    zero_point = n / 2 if is_signed else 0.0
    largest = float(values.abs().max())
    if largest < LEAST_STEP:
        return 1.0
    best = (float("inf"), 1.0)
    for share in torch.linspace(0.1, 1.0, _SHARES, dtype=torch.float64).tolist():
        step = largest * share / (n - zero_point)
        q = torch.round(values / step + zero_point).clamp(0, n)
        error = float(((q - zero_point) * step - values).square().sum())
        best = min(best, (error, largest * share))
    return min(max(best[1], LEAST_STEP * n), LARGEST_STEP)


def check_finite(weight: Tensor) -> None:
    """Raise RangeError when a weight is NaN or infinite."""
    n_bad = int((~torch.isfinite(weight.detach())).sum())
    if n_bad:
        raise RangeError(f"weight: magnitudes must be finite, found {n_bad} of {weight.numel()} that are not; check the float network")


def _candidates(low: float, high: float, n: int, is_signed: bool) -> list[tuple[float, float]]:
    if not is_signed:
        return [(high / n, 0.0)]
    if n == 1:
        return [((high - low) / 2, 0.5), (high - low, 0.5)]
    step = (high - low) / n
    zero_point = min(max(round(-2 * low / step) / 2, 0.0), float(n))
    symmetric = 2 * max(high, -low) / n
    return [(step, zero_point), (symmetric, n / 2)]


def _sample(x: Tensor) -> Tensor:
    flat = x.detach().flatten()
    if not flat.numel():
        raise CalibrationError("calibration: the batch holds no values; give batches of at least one image")
    if flat.numel() > _SAMPLES:  # spread by the golden ratio: an even stride that divides the channels would read only some of them
        places = torch.arange(_SAMPLES, dtype=torch.float64) * _GOLDEN_RATIO % 1 * flat.numel()
        flat = flat[places.long().to(flat.device)]
    values = flat.double()
    if not bool(torch.isfinite(values).all()):
        raise CalibrationError("calibration: an activation is not finite; check the float network and its input")
    return values

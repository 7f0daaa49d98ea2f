"""What every quantizer gives a layer: integer weights with scales, and activation codes with step and zero point.

A layer computes ``sum v q`` exactly and multiplies by ``step * scale`` once, whichever quantizer made v and q.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Integers(NamedTuple):
    """Integer weights and their scale: the weight is ``values * scale`` per output channel."""

    values: Tensor  # v: float32 tensor of integers, |v| <= 255, shape of the weight
    scale: Tensor  # s: float32 (out,)


class Codes(NamedTuple):
    """Activation codes: the value is ``step * (codes - zero_point)``."""

    values: Tensor  # q: float32 tensor of integers 0 to 2^bits - 1, shape of the activation
    step: Tensor  # d: float32 scalar
    zero_point: Tensor | None  # z: float32 scalar, a multiple of 1/2; None is 0


class WeightQuantizer(nn.Module):
    """Integer weights of one layer, for all its modes.

    Args:
        weight: the layer's float weight, (out, ...), read for start values only.
        channel_rms: range of a channel in multiples of its root mean square; None for its largest magnitude.
    """

    def __init__(self, weight: Tensor, channel_rms: float | None) -> None:
        super().__init__()

    def add_mode(self, mode: str, bits: int) -> None:
        """Make what the quantizer keeps for one mode of `bits` bits; most keep nothing."""

    def refresh(self, weight: Tensor) -> None:
        """Take new start values after another float weight was loaded."""

    def forward(self, weight: Tensor, mode: str, bits: int) -> Integers:
        """Return the integer weights at `bits` bits, with the quantizer's gradient for `weight`."""
        raise NotImplementedError


class ActivationQuantizer(nn.Module):
    """Codes of one tensor in one mode.

    Args:
        bits: 1 to 8.
        n_channels: channels of the tensor.
        channel_dim: the axis of the channels, 1 or -1.
    """

    reads_pre_activation = False  # True: takes the value before a ReLU, whose zero it is itself

    def __init__(self, bits: int, n_channels: int, channel_dim: int) -> None:
        super().__init__()
        self.bits, self.n_channels, self.channel_dim = bits, n_channels, channel_dim
        self._is_ready = self._is_signed = False
        self.zero_point: Tensor

    @property
    def is_ready(self) -> bool:
        """True once the step was estimated or loaded."""
        if not self._is_ready:  # kept: reading a step back from a GPU at every pass would stall it
            self._is_ready = self._has_step()
            self._is_signed = self._is_ready and bool(self.zero_point != 0)
        return self._is_ready

    @property
    def is_signed(self) -> bool:
        """True where zero is not the lowest level, so that the codes tell what a ReLU would clip."""
        return self.is_ready and self._is_signed

    def reread(self) -> None:
        """Look at step and zero point anew: something wrote them."""
        self._is_ready = False

    def forget(self) -> None:
        """Let the next batch estimate the step anew."""
        raise NotImplementedError

    def _has_step(self) -> bool:
        raise NotImplementedError

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        self._is_ready = False
        super()._load_from_state_dict(*args, **kwargs)

    @torch.no_grad()
    def estimate(self, x: Tensor, *, is_signed: bool) -> None:
        """Set step and zero point from the values `x` of a typical batch."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Codes:
        """Return the codes of `x` (float32), with the quantizer's gradient."""
        raise NotImplementedError

"""Bit-specific norms: statistics and affine of their own in every integer mode (Du, Zhang, Guan, arXiv 2004.05284).

A batch norm keeps its class, name, and parameters, which serve fp32; the other modes' norms are its child `mode_norms`.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from quantizable.network.switchable import Switchable
from quantizable.network.unit import batch_norm


class BitSpecificNorm(Switchable):
    """What a switchable norm adds to its own class; `convert` sets these attributes."""

    _is_absorbed: bool  # True: the layer before computes the norm with its own sums
    mode_norms: nn.ModuleDict

    def forward(self, x: Tensor) -> Tensor:
        """Return `x` normalised in the mode of the Switch, and what the norm's class does behind (timm: drop and act)."""
        mode = self._switch.mode
        if mode.is_float:
            return super().forward(x)  # type: ignore[no-any-return]
        if not self._is_absorbed:
            x = self.of(mode.name)(x) if mode.name in self.mode_norms else self._shared(x)
        return self.act(self.drop(x)) if hasattr(self, "drop") and hasattr(self, "act") else x  # type: ignore[no-any-return, operator]

    def of(self, mode: str) -> _BatchNorm:
        """Return the norm of one integer mode; the module itself where all modes share one."""
        return self.mode_norms[mode] if mode in self.mode_norms else self  # type: ignore[return-value]

    def add_mode(self, mode: str, like: str | None) -> None:
        """Make the norm of a new mode, a copy of the norm of the mode `like` (None: of the float norm)."""
        source = plain_norm(self) if like is None or like not in self.mode_norms else copy.deepcopy(self.mode_norms[like])
        self.mode_norms[mode] = source

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the float norm's values into the norms of all modes, after another float checkpoint was loaded."""
        for norm in self.mode_norms.values():
            norm.load_state_dict(plain_norm(self).state_dict())

    def _shared(self, x: Tensor) -> Tensor:
        return batch_norm(self, x) if isinstance(self, _BatchNorm) else super().forward(x)  # type: ignore[no-any-return]


class FrozenNorm(nn.BatchNorm2d):
    """A batch norm whose statistics and affine are constants: it never trains."""

    def train(self, mode: bool = True) -> FrozenNorm:
        """Stay in evaluation."""
        return super().train(False)


def is_norm(module: nn.Module) -> bool:
    """Return True for the batch norms that get a set per mode: torch's, timm's with activation, frozen ones."""
    return isinstance(module, _BatchNorm) or _is_frozen(module)


def plain_norm(module: nn.Module) -> _BatchNorm:
    """Return a batch norm of torch with the values, dtype, device, and training flag of `module`, an `is_norm`."""
    source: Any = module
    if isinstance(module, nn.SyncBatchNorm):
        made: _BatchNorm = nn.SyncBatchNorm(source.num_features, source.eps, source.momentum, source.affine, source.track_running_stats)
    elif _is_frozen(module):
        made = FrozenNorm(len(source.weight), source.eps)
        made.requires_grad_(False)
    else:
        plain = next(base for base in type(module).__mro__ if base in (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d))
        made = plain(source.num_features, source.eps, source.momentum, source.affine, source.track_running_stats)
    own = {key: value for key, value in module.state_dict().items() if key in made.state_dict()}
    reference = next(iter(own.values()), None)
    if reference is not None:
        made.to(device=reference.device, dtype=own["weight"].dtype if "weight" in own else None)
    made.load_state_dict(own, strict=False)
    return made.train(module.training)


def _is_frozen(module: nn.Module) -> bool:
    return any(base.__name__ in ("FrozenBatchNorm2d", "FrozenBatchNormAct2d") for base in type(module).__mro__)

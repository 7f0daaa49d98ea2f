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
from quantizable.network.unit import normalize

_TORCH = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_FROZEN = ("FrozenBatchNorm2d", "FrozenBatchNormAct2d")  # torchvision, timm, detectron: by name, so that none need be there
_WITH_ACTIVATION = ("BatchNormAct2d", "SyncBatchNormAct", "FrozenBatchNormAct2d")  # timm: its children `drop` and `act` follow


class BitSpecificNorm(Switchable):
    """What a switchable norm adds to its own class; `convert` sets these attributes."""

    _is_absorbed: bool  # True: the layer before computes the norm with its own sums
    mode_norms: nn.ModuleDict

    def forward(self, input: Tensor) -> Tensor:
        """Return `input` normalised in the mode of the Switch, and what the norm's class does behind (timm: drop and act)."""
        mode = self._switch.mode
        if mode.is_float or not (self._is_absorbed or mode.name in self.mode_norms):
            return super().forward(input)  # type: ignore[no-any-return]
        x: Tensor = input if self._is_absorbed else normalize(self.of(mode.name), input)
        return self.act(self.drop(x)) if _is_named(self, _WITH_ACTIVATION) else x  # type: ignore[operator]

    def of(self, mode: str) -> _BatchNorm:
        """Return the norm of one integer mode; the module itself where all modes share one."""
        norm = self.mode_norms[mode] if mode in self.mode_norms else self  # noqa: SIM401 (a ModuleDict has no `get`)
        return norm  # type: ignore[return-value]

    def add_mode(self, mode: str, like: str | None) -> None:
        """Make the norm of a new mode, a copy of the norm of the mode `like` (None: of the float norm)."""
        source = plain_norm(self) if like is None or like not in self.mode_norms else copy.deepcopy(self.mode_norms[like])
        self.mode_norms[mode] = source

    @torch.no_grad()
    def refresh(self) -> None:
        """Copy the float norm's values into the norms of all modes, after another float checkpoint was loaded."""
        for norm in self.mode_norms.values():
            norm.load_state_dict(plain_norm(self).state_dict())


class FrozenNorm(nn.BatchNorm2d):
    """A batch norm whose statistics and affine are constants: it never trains, and calibration leaves it alone."""

    def __init__(self, num_features: int, eps: float) -> None:
        super().__init__(num_features, eps)
        self.track_running_stats = False  # the buffers are there and used, but never written
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> FrozenNorm:
        """Stay in evaluation."""
        return super().train(False)


def is_norm(module: nn.Module) -> bool:
    """Return True for the batch norms that get a set per mode: torch's, timm's with activation, frozen ones."""
    known = (base for base in type(module).__mro__ if base in _TORCH or base.__name__ in (*_FROZEN, *_WITH_ACTIVATION))
    base: Any = next(known, None)
    return base is not None and type(module).forward is base.forward and "forward" not in module.__dict__


def plain_norm(module: nn.Module) -> _BatchNorm:
    """Return a batch norm of torch with the values, dtype, device, and flags of `module`, an `is_norm`."""
    source: Any = module
    made: _BatchNorm
    if _is_named(module, _FROZEN):
        made = FrozenNorm(len(source.weight), getattr(source, "eps", 1e-5))
    else:
        options = (source.num_features, source.eps, source.momentum, source.affine, source.track_running_stats)
        plain = next(base for base in type(module).__mro__ if base in _TORCH)
        made = nn.SyncBatchNorm(*options, source.process_group) if plain is nn.SyncBatchNorm else plain(*options)
    own = {key: value for key, value in module.state_dict().items() if key in made.state_dict()}
    reference = next(iter(own.values()), None)
    if reference is not None:
        made.to(device=reference.device, dtype=reference.dtype)
    made.load_state_dict(own, strict=False)
    for name, parameter in made.named_parameters():
        parameter.requires_grad_(getattr(source, name).requires_grad)
    return made.train(module.training)


def _is_named(module: nn.Module, names: tuple[str, ...]) -> bool:
    return any(base.__name__ in names for base in type(module).__mro__)

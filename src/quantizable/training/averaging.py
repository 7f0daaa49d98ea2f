"""A running average of all weights and statistics, which the evaluation and the final network use."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def start_average(network: nn.Module) -> dict[str, Tensor]:
    """Return copies of the floating tensors of `network`, by name."""
    return {name: tensor.detach().clone() for name, tensor in _floats(network).items()}


@torch.no_grad()
def update_average(average: dict[str, Tensor], network: nn.Module, *, decay: float, step: int) -> None:
    """Move `average` towards the network: a <- d a + (1 - d) w, with d = min(decay, (1 + step) / (10 + step))."""
    share = 1 - min(decay, (1 + step) / (10 + step))
    own = _floats(network)
    torch._foreach_lerp_(list(average.values()), [own[name] for name in average], share)


@contextmanager
def averaged(network: nn.Module, average: dict[str, Tensor]) -> Iterator[None]:
    """Give the network the averaged tensors for the length of a ``with`` block; nothing happens without an average."""
    own = _floats(network)
    kept = {name: own[name].detach().clone() for name in average}
    _copy(own, average)
    try:
        yield
    finally:
        _copy(own, kept)


def take_average(network: nn.Module, average: dict[str, Tensor]) -> None:
    """Give the network the averaged tensors for good."""
    _copy(_floats(network), average)


@torch.no_grad()
def _copy(own: dict[str, Tensor], values: dict[str, Tensor]) -> None:
    for name, value in values.items():
        own[name].copy_(value)


def _floats(network: nn.Module) -> dict[str, Tensor]:
    found: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        if tensor.is_floating_point():
            found.setdefault(id(tensor), (name, tensor))
    return dict(found.values())

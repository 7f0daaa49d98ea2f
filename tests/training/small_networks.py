"""A small converted network, its gradients, and the environment of child processes; two_processes.py uses them too."""

from __future__ import annotations

import os
from collections.abc import Sequence

import torch
from torch import Tensor, nn

import quantizable as qz
from quantizable.models import DigitsNet

MODES = ("fp32", "w8a8", "w2a2", "w1a1")


def make_network(images: Tensor, *, modes: Sequence[str] = MODES, norms: str = "per_mode", calibrated: bool = True) -> nn.Module:
    """Return a DigitsNet of a quarter of its width and three outputs, converted, in training."""
    torch.manual_seed(0)
    plan = qz.Plan(norms=norms)  # type: ignore[arg-type]
    network = qz.convert(DigitsNet(num_classes=3, width=0.25), modes, plan=plan, example=images[:2])
    if calibrated:
        qz.calibrate(network, [images])
    return network.train()


def environment() -> dict[str, str]:
    """The environment of a child process."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def gradients(network: nn.Module) -> dict[str, Tensor]:
    """Return a copy of every gradient, zeros where there is none."""
    return {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in network.named_parameters()}

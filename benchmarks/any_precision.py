"""Drives the public training code of Any-Precision (Yu et al., arXiv 1911.07346), imported from a local clone of
github.com/SHI-Labs/Any-Precision-DNNs: its network at the widths of ours, its loss, its way to switch bits, its optimizer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

_STAGES = {"resnet20": [(16, 1)] * 3 + [(32, 2)] + [(32, 1)] * 2 + [(64, 2)] + [(64, 1)] * 2,
           "resnet18": [(64, 1)] * 2 + [(128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)]}  # fmt: skip


def any_precision_step(clone: Path, net: str, bits: Sequence[int], images: Tensor, labels: Tensor) -> Callable[[], float]:
    """Return a function that makes one training step as the clone's train.py does, and returns the mean loss of all bit widths.

    The highest width learns from labels, each lower one from the soft predictions of the next higher; all walk the tree to set
    their width, and read loss and accuracy back.

    Raises:
        FileNotFoundError: `clone` does not hold that code.
    """
    network, soft_loss = _build(clone, net, sorted(bits))
    hard_loss = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    network.train()

    def step() -> float:
        optimizer.zero_grad()
        target: Tensor | None = None
        losses: list[float] = []
        for width in sorted(bits, reverse=True):
            network.apply(lambda module, width=width: setattr(module, "wbit", width))  # type: ignore[misc]
            network.apply(lambda module, width=width: setattr(module, "abit", width))  # type: ignore[misc]
            output = network(images)
            loss = hard_loss(output, labels) if target is None else soft_loss(output, target)
            loss.backward()
            target = torch.softmax(output.detach(), 1)
            losses.append(loss.item())
            float((output.detach().argmax(1) == labels).float().mean())
        optimizer.step()
        return sum(losses) / len(losses)

    return step


def _build(clone: Path, net: str, bits: list[int]) -> tuple[nn.Module, Any]:
    if not (clone / "models" / "resnet_quan.py").is_file():
        raise FileNotFoundError(f"{clone}: no models/resnet_quan.py there; give the folder of a clone of SHI-Labs/Any-Precision-DNNs")
    sys.path.insert(0, str(clone))
    try:
        theirs, losses = import_module("models.resnet_quan"), import_module("models.losses")
    finally:
        sys.path.pop(0)
    stages = _STAGES[net]
    first, last = stages[0][0], stages[-1][0]
    network: nn.Module = theirs.PreActResNet(theirs.PreActBasicBlockQ, [1, 1, 1], bits, 10, expand=first // 16)
    blocks, inputs = [], first
    for outputs, stride in stages:
        blocks.append(theirs.PreActBasicBlockQ(bits, inputs, outputs, stride))
        inputs = outputs
    network.layers = nn.ModuleList(blocks)
    network.bn, network.fc = theirs.batchnorm_fn(bits)(last), nn.Linear(last, 10)
    return network, losses.CrossEntropyLossSoft()

"""evaluate: accuracy of every mode over a loader, read once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quantizable.errors import DataError
from quantizable.modes import Mode, parse_modes
from quantizable.network import modes_of, switch_of


@dataclass(frozen=True, slots=True)
class Accuracy:
    """top1, top5: per cent of n images; loss: mean cross entropy. top5 is 100 where there are at most five classes."""

    top1: float
    top5: float
    loss: float
    n: int


@dataclass(slots=True)
class _Tally:
    top1: int = 0
    top5: int = 0
    loss: float = 0.0
    n: int = 0

    def add(self, logits: Tensor, labels: Tensor) -> None:
        self.loss += float(F.cross_entropy(logits.double(), labels, reduction="sum"))
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices == labels[:, None]
        self.top1 += int(best[:, 0].sum())
        self.top5 += int(best.sum())
        self.n += len(labels)

    def result(self) -> Accuracy:
        return Accuracy(100 * self.top1 / self.n, 100 * self.top5 / self.n, self.loss / self.n, self.n)


@torch.no_grad()
def evaluate(
    network: nn.Module, loader: Iterable[tuple[Tensor, Tensor]], modes: Iterable[Mode | str | int] | None = None
) -> dict[str, Accuracy]:
    """Return {mode name: Accuracy} from the highest mode down; the network's mode and training flags are as before.

    Args:
        loader: batches of (images, labels int64); moved to the network's device.
        modes: default all modes of the network.

    Raises:
        DataError: the loader yields nothing, or a label out of range.
        CalibrationError: a mode has no steps yet.
    """
    switch = switch_of(network)
    wanted = modes_of(network) if modes is None else tuple(switch.find(mode) for mode in parse_modes(modes))
    device = next(network.parameters()).device
    tallies = {mode.name: _Tally() for mode in wanted}
    before, training = switch.mode, [module for module in network.modules() if module.training]
    network.eval()
    try:
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            for mode in wanted:
                switch.mode = mode
                logits = network(images)
                if bool((labels < 0).any()) or bool((labels >= logits.shape[1]).any()):
                    raise DataError(f"labels: must be 0 to {logits.shape[1] - 1}, found {int(labels.min())} to {int(labels.max())}")
                tallies[mode.name].add(logits, labels)
    finally:
        switch.mode = before
        for module in training:
            module.training = True
    if not next(iter(tallies.values())).n:
        raise DataError("evaluate: the loader yields no images; check its data set and batch size")
    return {name: tally.result() for name, tally in tallies.items()}


def accuracy_table(accuracy: Mapping[str, Accuracy]) -> str:
    """Return accuracies by mode as lines of text under a head."""
    width = max(len("mode"), *map(len, accuracy))
    lines = [f"{'mode':<{width}}  top-1 %  top-5 %    loss  images"]
    lines += [f"{mode:<{width}}  {each.top1:7.2f}  {each.top5:7.2f}  {each.loss:6.4f}  {each.n:6d}" for mode, each in accuracy.items()]
    return "\n".join(lines)

"""The multi-mode step: forward and backward of each mode, from the highest down; the gradients add up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from quantizable.errors import DataError
from quantizable.modes import Mode, parse_modes
from quantizable.network import modes_of, switch_of
from quantizable.training.losses import ConsistencyLoss


@dataclass(frozen=True, slots=True)
class StepResult:
    """losses: mode name -> loss, a detached scalar; predictions: mode name -> logits, detached; from the highest mode down."""

    losses: dict[str, Tensor]
    predictions: dict[str, Tensor]

    @property
    def loss(self) -> Tensor:
        """The sum of the losses of all modes."""
        return torch.stack(list(self.losses.values())).sum()


def multi_mode_backward(
    network: nn.Module,
    images: Tensor,
    labels: Tensor,
    criterion: Callable[[Tensor, Tensor, Mode, dict[str, Tensor]], Tensor] | None = None,
    *,
    modes: Iterable[Mode | str | int] | None = None,
    autocast: torch.dtype | None = None,
) -> StepResult:
    """Add the gradients of all `modes` for one batch to the parameters' ``.grad``, and return the losses.

    Each mode runs backward at once, so that memory is one mode's. Zero the gradients before and step the optimizer after, as
    in any loop. Under DistributedDataParallel (made with ``find_unused_parameters=True``) only the last mode reduces.

    Args:
        network: a converted network in training.
        images, labels: one batch on the network's device; labels int64 (n,).
        criterion: (logits, labels, mode, predictions of higher modes) -> loss; the default is ConsistencyLoss().
        modes: the modes of this step, default all of the network.
        autocast: dtype for the float parts (torch.bfloat16), or None for float32. Integer sums stay exact.

    Raises:
        ModeError: not a mode of the network.
        DataError: a label out of range (looked at on the CPU only).
    """
    criterion = ConsistencyLoss() if criterion is None else criterion
    switch = switch_of(network)
    wanted = modes_of(network) if modes is None else tuple(switch.find(mode) for mode in parse_modes(modes))
    before = switch.mode
    losses: dict[str, Tensor] = {}
    predictions: dict[str, Tensor] = {}
    try:
        for mode in wanted:
            switch.mode = mode
            with _reduce_later(network, is_last=mode is wanted[-1]):
                with torch.autocast(images.device.type, autocast) if autocast else nullcontext():
                    logits = network(images)
                _check_labels(labels, logits)
                loss = criterion(logits, labels, mode, predictions)
                loss.backward()
            losses[mode.name], predictions[mode.name] = loss.detach(), logits.detach()
    finally:
        switch.mode = before
    return StepResult(losses, predictions)


def _reduce_later(network: nn.Module, *, is_last: bool) -> AbstractContextManager[None]:
    """Keep DistributedDataParallel from reducing before the last mode: forward and backward must both be inside."""
    if is_last or not isinstance(network, nn.parallel.DistributedDataParallel):
        return nullcontext()
    return network.no_sync()


def _check_labels(labels: Tensor, logits: Tensor) -> None:
    if labels.is_cuda or not labels.numel():  # reading a GPU's tensor back would stall it
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= logits.shape[1]:
        wrong = low if low < 0 else high
        raise DataError(f"labels: must be 0 to {logits.shape[1] - 1} for {logits.shape[1]} outputs, found {wrong}; check the data set")

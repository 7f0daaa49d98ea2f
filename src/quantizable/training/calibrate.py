"""calibrate: steps and norms of modes estimated from data, without gradients (post-training quantization)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import chain, islice

import torch
from torch import Tensor, nn

from quantizable.errors import CalibrationError
from quantizable.modes import Mode, parse_modes
from quantizable.network import (
    ActivationQuantizer,
    BitSpecificNorm,
    QuantizedLayer,
    add_mode,
    conversion_of,
    modes_of,
    remove_mode,
    switch_of,
)

BatchNorm = nn.modules.batchnorm._BatchNorm
STEP_IMAGES = 256  # images from which the steps are estimated
NORM_BATCHES = 16


@torch.no_grad()
def calibrate(
    network: nn.Module,
    loader: Iterable[tuple[Tensor, Tensor] | Tensor],
    modes: Iterable[Mode | str | int] | None = None,
    *,
    batches: int = NORM_BATCHES,
) -> None:
    """Estimate the steps and zero points of `modes` from data, and their norms' statistics as plain averages over batches.

    Modes that the network does not have yet are added, with norms that start as copies of the nearest mode's. Modes not named
    stay as they are; so do norms that all modes share (plan.norms = "shared") or that are frozen. If anything fails, the
    network is as it was.

    Args:
        loader: batches of images, or of (images, anything).
        modes: default all integer modes of the network.
        batches: how many batches to read at most.

    Raises:
        CalibrationError: no images, or a value that is not finite.
        ModeError: a mode is misspelt.
    """
    switch = switch_of(network)
    named = modes_of(network) if modes is None else parse_modes(modes)
    device = next(network.parameters()).device
    images = [_images(batch).to(device) for batch in islice(loader, batches)]
    if not images:
        raise CalibrationError("calibrate: the loader yields no images; check its data set and batch size")
    known = {mode.name for mode in modes_of(network)}
    with ExitStack() as kept:  # all modes named, until the last is done
        for mode in named:
            kept.enter_context(_restored_on_failure(network, mode, is_new=mode.name not in known))
            own = switch.find(mode)
            if not own.is_float:
                _estimate_steps(network, own, _first_images(images, STEP_IMAGES))
                reestimate_norms(network, images, own)


@torch.no_grad()
def reestimate_norms(network: nn.Module, images: Iterable[Tensor], mode: Mode) -> None:
    """Replace the running statistics of a mode's own norms by the plain average over batches of `images`."""
    with _calibrating(network, mode), _averaging(_own_norms(network, mode)):
        for batch in images:
            network(batch)


def _estimate_steps(network: nn.Module, mode: Mode, images: Tensor) -> None:
    """Run one batch through: each layer takes its step from what reaches it, the layers before already quantized.

    Norms use the statistics of the batch: before training there may be no others, and another mode's do not fit.
    """
    for quantizer in _quantizers(network, mode):
        quantizer.forget()
    norms = _norms(network, mode)
    buffers = [buffer for norm in norms for buffer in norm.buffers()]
    kept = [buffer.clone() for buffer in buffers]
    with _calibrating(network, mode):
        for module in network.modules():
            module.training = isinstance(module, QuantizedLayer)
        for norm in norms:
            norm.train()
        try:
            network(images)
        finally:
            for buffer, value in zip(buffers, kept, strict=True):
                buffer.copy_(value)


@contextmanager
def _calibrating(network: nn.Module, mode: Mode) -> Iterator[None]:
    """In `mode`, everything in evaluation; mode and training flags restored."""
    switch = switch_of(network)
    before, training = switch.mode, [module for module in network.modules() if module.training]
    network.eval()
    switch.mode = mode
    try:
        yield
    finally:
        switch.mode = before
        network.eval()
        for module in training:
            module.training = True


@contextmanager
def _averaging(norms: list[BatchNorm]) -> Iterator[None]:
    """Forget the statistics of `norms`, and let them average what passes."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
        norm.momentum = None
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum


@contextmanager
def _restored_on_failure(network: nn.Module, mode: Mode, *, is_new: bool) -> Iterator[None]:
    if is_new:
        add_mode(network, mode)
    modules = [*_quantizers(network, mode), *_norms(network, mode)]
    tensors = list(chain.from_iterable((*module.parameters(), *module.buffers()) for module in modules))
    values = [tensor.detach().clone() for tensor in tensors]
    try:
        yield
    except BaseException:
        for tensor, value in zip(tensors, values, strict=True):
            tensor.detach().copy_(value)
        for quantizer in _quantizers(network, mode):
            quantizer.reread()
        if is_new:
            remove_mode(network, mode)
        raise


def _quantizers(network: nn.Module, mode: Mode) -> list[ActivationQuantizer]:
    found: dict[int, ActivationQuantizer] = {}
    for module in network.modules():
        if isinstance(module, QuantizedLayer):
            for quantizers in (module.input_quantizers, getattr(module, "memory_quantizers", {})):
                found.update({id(q): q for name, q in quantizers.items() if name == mode.name and isinstance(q, ActivationQuantizer)})
    return list(found.values())


def _norms(network: nn.Module, mode: Mode) -> list[BatchNorm]:
    """Return the norms that `mode` uses."""
    norms = [module.of(mode.name) for module in network.modules() if isinstance(module, BitSpecificNorm)]
    return [norm for norm in norms if isinstance(norm, BatchNorm)]


def _own_norms(network: nn.Module, mode: Mode) -> list[BatchNorm]:
    """Return the norms that `mode` alone uses and that can learn: a shared or a frozen one is nobody's to change."""
    if conversion_of(network).plan.norms == "shared":
        return []
    return [norm for norm in _norms(network, mode) if norm.track_running_stats and norm.train().training]


def _images(batch: tuple[Tensor, Tensor] | list[Tensor] | Tensor) -> Tensor:
    return batch if isinstance(batch, Tensor) else batch[0]


def _first_images(images: list[Tensor], count: int) -> Tensor:
    taken: list[Tensor] = []
    for batch in images:
        taken.append(batch[: count - sum(map(len, taken))])
        if sum(map(len, taken)) >= count:
            break
    return torch.cat(taken)

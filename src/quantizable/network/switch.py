"""The switch: which mode a converted network is in, how to change it, and views that stay in one mode."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain

from torch import nn

from quantizable.errors import ConvertError, ModeError
from quantizable.modes import Mode, parse_mode
from quantizable.network.quantizers import ActivationQuantizer


class Switch:
    """The modes of a network and the one it is in; all its layers hold the same Switch, so switching walks over nothing."""

    __slots__ = ("is_fixed", "mode", "modes")

    def __init__(self, modes: tuple[Mode, ...], mode: Mode, *, is_fixed: bool = False) -> None:
        self.modes = modes  # from the highest to the lowest
        self.mode = mode
        self.is_fixed = is_fixed

    def __setattr__(self, name: str, value: object) -> None:
        if name == "mode" and getattr(self, "is_fixed", False) and value != getattr(self, "mode", value):
            raise ModeError(f"set_mode: this view stays in {self.mode.name!r}; make another with at(network, {str(value)!r})")
        super().__setattr__(name, value)

    def find(self, mode: Mode | str | int) -> Mode:
        """Return the network's own mode of that name.

        Raises:
            ModeError: misspelt, or not a mode of this network.
        """
        name = parse_mode(mode).name
        for own in self.modes:
            if own.name == name:
                return own
        known = ", ".join(own.name for own in self.modes)
        raise ModeError(f"mode {name!r}: not a mode of this network, which has {known}; convert with it, or calibrate it")

    def set(self, mode: Mode | str | int) -> None:
        """Enter a mode of the network."""
        self.mode = self.find(mode)


def switch_of(network: nn.Module) -> Switch:
    """Return the Switch of a converted network, also through DistributedDataParallel and torch.compile.

    Raises:
        ConvertError: the network was not converted.
    """
    inner = unwrap(network)
    found = inner.__dict__.get("_switch")
    if not isinstance(found, Switch):
        raise ConvertError(f"{type(inner).__name__}: not a converted network; call convert(network, modes) first")
    return found


def unwrap(network: nn.Module) -> nn.Module:
    """Return the converted network inside DistributedDataParallel, DataParallel or torch.compile."""
    inner: nn.Module | None = network
    while inner is not None:
        if "_switch" in inner.__dict__:
            return inner
        inner = inner._modules.get("module", inner._modules.get("_orig_mod"))
    return network


def set_mode(network: nn.Module, mode: Mode | str | int) -> None:
    """Put `network` into `mode`; an int means both widths: 4 is ``w4a4``, 32 is ``fp32``. Costs microseconds.

    Raises:
        ModeError: not a mode of the network, or the network is a view made by `at`.
    """
    switch_of(network).set(mode)


def get_mode(network: nn.Module) -> str:
    """Return the name of the mode that `network` is in."""
    return switch_of(network).mode.name


def modes_of(network: nn.Module) -> tuple[Mode, ...]:
    """Return the modes of `network`, from the highest to the lowest; a view made by `at` has one."""
    switch = switch_of(network)
    return (switch.mode,) if switch.is_fixed else switch.modes


@contextmanager
def use_mode(network: nn.Module, mode: Mode | str | int) -> Iterator[None]:
    """Enter `mode` for the length of a ``with`` block; the mode before is restored, also after an exception."""
    switch = switch_of(network)
    before = switch.mode
    switch.set(mode)
    try:
        yield
    finally:
        switch.mode = before


def at(network: nn.Module, mode: Mode | str | int) -> nn.Module:
    """Return a view of `network` that stays in `mode` and shares all its parameters and buffers.

    Views serve threads (each its own), torch.compile (nothing to switch), and export. Move the network to its device first:
    a view keeps the tensors it was made with.

    Raises:
        ModeError: not a mode of the network.
    """
    network, switch = unwrap(network), switch_of(network)
    shared: dict[int, object] = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    shared[id(switch)] = Switch(switch.modes, switch.find(mode), is_fixed=True)
    view = copy.deepcopy(network, shared)
    for module in view.modules():
        if isinstance(module, ActivationQuantizer):
            module.is_ready  # noqa: B018 (reads the step once and remembers: torch.compile and export could not)
    return view

"""Classes made at run time: a user's module class with a switchable forward in front of it.

Swapping a module's class keeps its name, parameters, hooks, and place in its parent, whatever the parent does with it.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from quantizable.network.switch import Switch


class Switchable(nn.Module):
    """Base of the mixins that look at a Switch before they act."""

    _switch: Switch

    def __reduce_ex__(self, protocol: Any) -> Any:  # the class has no importable name: pickle and copy make it again
        return _rebuild, type(self).__bases__, self.__getstate__()  # type: ignore[no-untyped-call]


def make_switchable(module: nn.Module, mixin: type[Switchable], switch: Switch) -> None:
    """Put `mixin` before the class of `module`, in place; two modules of one class get the same new class."""
    module.__class__ = _class(mixin, type(module))
    module._switch = switch  # type: ignore[assignment]


def _class(mixin: type[Switchable], base: type[nn.Module]) -> type[nn.Module]:
    key = (mixin, base)
    if key not in _CLASSES:
        _CLASSES[key] = type(f"Switchable{base.__name__}", key, {"__module__": __name__})
    return _CLASSES[key]


def _rebuild(mixin: type[Switchable], base: type[nn.Module]) -> nn.Module:
    made = _class(mixin, base)
    return made.__new__(made)


_CLASSES: dict[tuple[type[Switchable], type[nn.Module]], type[nn.Module]] = {}

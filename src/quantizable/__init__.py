"""quantizable: train a network once, run it at 8, 4, 2 or 1 bits, and switch while it runs.

The public face. Names load on first use, so that ``import quantizable`` costs nothing.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quantizable.artifact import open_artifact as open_artifact
    from quantizable.artifact import save_artifact as save_artifact
    from quantizable.engine import Session as Session
    from quantizable.freeze import freeze as freeze  # type: ignore[no-redef]  # also a module
    from quantizable.modes import Mode as Mode
    from quantizable.modes import parse_mode as parse_mode
    from quantizable.modes import parse_modes as parse_modes
    from quantizable.network import Plan as Plan
    from quantizable.network import at as at
    from quantizable.network import convert as convert  # type: ignore[no-redef]  # also a module
    from quantizable.network import describe as describe  # type: ignore[no-redef]  # also a module
    from quantizable.network import get_mode as get_mode
    from quantizable.network import load as load
    from quantizable.network import load_float as load_float
    from quantizable.network import modes_of as modes_of
    from quantizable.network import save as save
    from quantizable.network import set_mode as set_mode
    from quantizable.network import use_mode as use_mode
    from quantizable.training import ConsistencyLoss as ConsistencyLoss
    from quantizable.training import calibrate as calibrate  # type: ignore[no-redef]  # also a module
    from quantizable.training import evaluate as evaluate  # type: ignore[no-redef]  # also a module
    from quantizable.training import multi_mode_backward as multi_mode_backward
    from quantizable.training import train as train

_ROOMS: dict[str, tuple[str, ...]] = {
    "artifact": ("open_artifact", "save_artifact"),
    "engine": ("Session",),
    "freeze": ("freeze",),
    "modes": ("Mode", "parse_mode", "parse_modes"),
    "network": (
        "Plan", "at", "convert", "describe", "get_mode", "load", "load_float", "modes_of", "save", "set_mode", "use_mode",
    ),
    "training": ("ConsistencyLoss", "calibrate", "evaluate", "multi_mode_backward", "train"),
}  # fmt: skip
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = sorted(_ROOM_OF)


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("quantizable")
    if name not in _ROOM_OF:
        raise AttributeError(f"module 'quantizable' has no attribute {name!r}")
    return getattr(importlib.import_module(f"quantizable.{_ROOM_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


class _Face(ModuleType):
    """This package, whose names win over rooms of the same name: `freeze` is the function, also once the room is loaded."""

    def __setattr__(self, name: str, value: object) -> None:
        if _ROOM_OF.get(name) == name and isinstance(value, ModuleType):  # the import system, after it loaded that room
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face

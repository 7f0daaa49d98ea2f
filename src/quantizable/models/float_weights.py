"""Float weights from files of other projects, into a network, with an account of what fitted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from quantizable.errors import CheckpointError

_WRAPPERS = ("state_dict", "model_state_dict")  # keys under which training programs store the weights
_TORCH_ENDINGS = (".th", ".pth", ".pt")


@dataclass(frozen=True, slots=True)
class WeightReport:
    """What became of the names of a file and of a network, each sorted."""

    loaded: tuple[str, ...]  # in both
    missing: tuple[str, ...]  # in the network only: kept as they were
    new: tuple[str, ...]  # in the file only: not used

    @property
    def is_complete(self) -> bool:
        """True when every name of the network was loaded and the file had no other."""
        return not self.missing and not self.new

    def __str__(self) -> str:
        return f"{len(self.loaded)} loaded, {len(self.missing)} missing{_few(self.missing)}, {len(self.new)} new{_few(self.new)}"


def load_float_weights(network: nn.Module, path: Path) -> WeightReport:
    """Copy the weights of a file into the network and return what was loaded, missing and new.

    Reads .th, .pth, .pt (no code of the pickle is run) and .safetensors; unwraps `state_dict` and `model_state_dict`, strips
    the prefix `module.` that parallel training leaves. Counters of norms (`num_batches_tracked`) may be absent from the file.
    The network is changed only when everything fits.

    Raises:
        CheckpointError: no such file, damaged, no weights in it, no name in common, or a shape that differs.
    """
    path = Path(path)
    state = _without_prefix(_tensors(_read(path), path))
    own = network.state_dict()
    loaded = [name for name in own if name in state]
    if not loaded:
        raise CheckpointError(
            f"{path}: none of its {len(state)} names is one of the network's {len(own)} "
            f"(first there '{next(iter(state))}', here '{next(iter(own), '')}'); choose the weights of this network"
        )
    for name in loaded:
        if state[name].shape != own[name].shape:
            raise CheckpointError(
                f"{path}: '{name}' has shape {tuple(state[name].shape)}, the network's has {tuple(own[name].shape)}; "
                "choose the weights of this network, or the same width and number of classes"
            )
    network.load_state_dict({name: state[name] for name in loaded}, strict=False)
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    return WeightReport(tuple(sorted(loaded)), tuple(sorted(missing)), tuple(sorted(set(state) - set(own))))


def _read(path: Path) -> object:
    """Return what the file holds, on the CPU."""
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; give the path of the float weights")
    if path.suffix not in (*_TORCH_ENDINGS, ".safetensors"):
        raise CheckpointError(f"{path}: unknown kind of file '{path.suffix}'; give {', '.join(_TORCH_ENDINGS)} or .safetensors")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found: object = torch.load(path, map_location="cpu", weights_only=True)
        return found
    except Exception as error:  # a damaged or hostile pickle may raise anything
        reason = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        raise CheckpointError(f"{path}: not a whole file of plain weights ({reason}); fetch or save it again") from error


def _tensors(found: object, path: Path) -> dict[str, Tensor]:
    """Return the named tensors, unwrapped."""
    for key in _WRAPPERS:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    tensors = {name: value for name, value in found.items() if isinstance(value, Tensor)} if isinstance(found, dict) else {}
    if not tensors:
        raise CheckpointError(
            f"{path}: holds a {type(found).__name__} without named tensors; give a state_dict, bare or under {' or '.join(_WRAPPERS)}"
        )
    return tensors


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    if all(name.startswith("module.") for name in state):
        return {name.removeprefix("module."): value for name, value in state.items()}
    return state


def _few(names: tuple[str, ...]) -> str:
    if not names:
        return ""
    return f" ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"

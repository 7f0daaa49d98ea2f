"""Checkpoints: one safetensors file with every tensor, and how the network was converted in its header. No pickle.

The folder holds:
    model.safetensors     all tensors; metadata "quantizable": modes, plan, structure as JSON
    quantizable.json      the same JSON, for people; never read
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from quantizable.errors import CheckpointError, ModeError, PlanError, QuantizableError
from quantizable.modes import Mode
from quantizable.network.choose import ROOT
from quantizable.network.convert import conversion_of, convert, quantized_layers
from quantizable.network.norms import BitSpecificNorm
from quantizable.network.plan import Plan, Structure
from quantizable.network.switch import switch_of, unwrap

FORMAT = 1
_TENSORS, _SUMMARY = "model.safetensors", "quantizable.json"


@dataclass(frozen=True, slots=True)
class LoadReport:
    """Names of a float checkpoint that were loaded, those the network has and the file lacks, and those it does not know."""

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    new: tuple[str, ...]

    def __str__(self) -> str:
        return f"{len(self.loaded)} loaded, {len(self.missing)} missing {list(self.missing[:5])}, {len(self.new)} new {list(self.new[:5])}"


def save(network: nn.Module, folder: str | os.PathLike[str]) -> None:
    """Write a converted network to `folder`; the file is replaced whole or not at all.

    Raises:
        CheckpointError: `folder` is a file, or the network's state holds something that is no tensor.
    """
    network, path = unwrap(network), Path(folder)
    summary = json.dumps(_summary(network), indent=1, sort_keys=True)
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in network.state_dict(keep_vars=True).items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(f"{path}: {name} is a {type(tensor).__name__}, only tensors are saved; keep it out of the state_dict")
        if id(tensor) not in seen:  # layers that share a quantizer name it twice
            seen.add(id(tensor))
            tensors[name] = tensor.detach().contiguous()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise CheckpointError(f"{path}: a file is in the way of the folder; name another folder") from error
    _replace(path / _TENSORS, lambda temporary: save_file(tensors, temporary, {"quantizable": summary}))
    _replace(path / _SUMMARY, lambda temporary: temporary.write_text(summary + "\n", encoding="utf-8"))


def load(folder: str | os.PathLike[str], network: nn.Module) -> nn.Module:
    """Return the converted network that `save` wrote, made from `network`, a float network of the same architecture.

    Raises:
        CheckpointError: no checkpoint there, a truncated or foreign one, or one of another architecture.
    """
    path = Path(folder) / _TENSORS
    summary, tensors = _read(path)
    converted = _convert(path, summary, network)
    own = converted.state_dict(keep_vars=True)
    first_name: dict[int, str] = {}
    for name, tensor in own.items():
        first_name.setdefault(id(tensor), name)
    missing = [name for name in first_name.values() if name not in tensors]
    foreign = [name for name in tensors if name not in own]
    if missing or foreign:
        found = f"lacks {missing[:3]}, has unknown {foreign[:3]}"
        raise CheckpointError(f"{path}: does not fit {type(network).__name__}: {found}; build the network it was saved from")
    for name, value in tensors.items():
        _check_shape(str(path), name, value, own[name])
    with torch.no_grad():
        for name, value in tensors.items():
            own[name].copy_(value)
    return converted


def load_float(network: nn.Module, state: Mapping[str, Tensor]) -> LoadReport:
    """Load a float checkpoint into a converted network and return which names were loaded, missing, and new.

    Channel ranges and the norms of integer modes start again from the loaded values; steps must be calibrated or trained again.

    Raises:
        CheckpointError: no name fits, or a shape differs.
    """
    inner = unwrap(network)
    float_names = [name for name in inner.state_dict() if not _is_ours(name)]
    known = {name: value for name, value in state.items() if name in float_names}
    if not known:
        found = f"none of its {len(state)} names fits {type(inner).__name__}"
        raise CheckpointError(f"float checkpoint: {found}; strip prefixes such as 'module.'")
    own = inner.state_dict()
    for name, value in known.items():
        _check_shape("float checkpoint", name, value, own[name])
    inner.load_state_dict(known, strict=False)
    for layer in quantized_layers(inner).values():
        layer.weight_quantizer.refresh(layer._kind.weight(layer))
    for module in inner.modules():
        if isinstance(module, BitSpecificNorm):
            module.refresh()
    missing = tuple(name for name in float_names if name not in known)
    return LoadReport(tuple(known), missing, tuple(name for name in state if name not in known))


def checksum(network: nn.Module) -> str:
    """Return the first 16 hex digits of the sha256 over all tensors of the network's state, in name order."""
    digest = hashlib.sha256()
    for name, tensor in sorted(unwrap(network).state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def _check_shape(where: str, name: str, value: Tensor, own: Tensor) -> None:
    if own.shape != value.shape:
        found = f"{name} has shape {tuple(value.shape)}, the network's is {tuple(own.shape)}"
        raise CheckpointError(f"{where}: {found}; build the network it was saved from")


def _convert(path: Path, summary: Mapping[str, Any], network: nn.Module) -> nn.Module:
    """Return `network` converted as the checkpoint's summary says."""
    try:
        modes = {name: dict(overrides) for name, overrides in summary["modes"].items()}
        plan, structure = Plan.from_dict(summary["plan"]), _structure(summary["structure"])
    except (QuantizableError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its description of the network cannot be read ({error}); copy it again") from error
    known = {name for name, _ in network.named_modules()} | {ROOT}
    pairs = (*structure.norms, *structure.shared_inputs, *structure.relus_read_by_layers_only, *structure.code_readers)
    named = {structure.first, structure.last, *chain.from_iterable(pairs)}
    if named - known:
        lacking = f"{type(network).__name__}, which has no {min(map(str, named - known))!r}"
        raise CheckpointError(f"{path}: does not fit {lacking}; build the network it was saved from")
    try:
        return convert(network, modes, plan=plan, structure=structure)
    except (ModeError, PlanError) as error:
        raise CheckpointError(f"{path}: does not fit {type(network).__name__} ({error}); build the network it was saved from") from error


def _is_ours(name: str) -> bool:
    return any(part in name.split(".") for part in ("mode_norms", "input_quantizers", "memory_quantizers", "weight_quantizer"))


def _summary(network: nn.Module) -> dict[str, object]:
    conversion = conversion_of(network)
    return {
        "format": FORMAT,
        "network": type(network).__bases__[-1].__name__ if "_layer_name" in network.__dict__ else type(network).__name__,
        "modes": {mode.name: _overrides(mode) for mode in switch_of(network).modes},
        "plan": conversion.plan.to_dict(),
        "structure": asdict(conversion.structure),
    }


def _overrides(mode: Mode) -> dict[str, str]:
    return {pattern: f"w{bits[0]}a{bits[1]}" for pattern, bits in mode.overrides}


def _structure(values: Mapping[str, Any]) -> Structure:
    def pairs(key: str) -> tuple[tuple[str, str], ...]:
        return tuple((str(a), str(b)) for a, b in values.get(key, ()))

    kept = (pairs(key) for key in ("norms", "shared_inputs", "relus_read_by_layers_only", "idle", "code_readers"))
    return Structure(str(values["first"]), str(values["last"]), *kept)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file; a checkpoint folder holds {_TENSORS}")
    try:
        with safe_open(path, framework="pt") as file:
            summary = json.loads((file.metadata() or {}).get("quantizable", "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(f"{path}: truncated or damaged ({error}); copy it again") from error
    if not isinstance(summary, dict) or not {"format", "modes", "plan", "structure"} <= summary.keys():
        raise CheckpointError(f"{path}: holds no quantizable network; give a folder written by save(network, folder)")
    if summary["format"] != FORMAT:
        raise CheckpointError(f"{path}: format {summary['format']}, this version reads {FORMAT}; update quantizable")
    return summary, tensors


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

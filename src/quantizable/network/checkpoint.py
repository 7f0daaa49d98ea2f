"""Checkpoints: one safetensors file with every tensor, and how the network was converted in its header. No pickle.

    <folder>/model.safetensors     all tensors; metadata "quantizable": modes, plan, structure as JSON
    <folder>/quantizable.json      the same JSON, for people; never read
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from quantizable.errors import CheckpointError
from quantizable.modes import Mode
from quantizable.network.convert import conversion_of, convert, quantized_layers
from quantizable.network.norms import BitSpecificNorm
from quantizable.network.plan import Plan, Structure
from quantizable.network.switch import modes_of, unwrap

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
    """Write a converted network to `folder`; the file is replaced whole or not at all."""
    network = unwrap(network)
    summary = json.dumps(_summary(network), indent=1, sort_keys=True)
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in network.state_dict(keep_vars=True).items():
        if id(tensor) not in seen:  # layers that share a quantizer name it twice
            seen.add(id(tensor))
            tensors[name] = tensor.detach().contiguous()
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    _replace(path / _TENSORS, lambda temporary: save_file(tensors, temporary, {"quantizable": summary}))
    _replace(path / _SUMMARY, lambda temporary: temporary.write_text(summary + "\n", encoding="utf-8"))


def load(folder: str | os.PathLike[str], network: nn.Module) -> nn.Module:
    """Return the converted network that `save` wrote, made from `network`, a float network of the same architecture.

    Raises:
        CheckpointError: no checkpoint there, a truncated or foreign one, or one of another architecture.
    """
    path = Path(folder) / _TENSORS
    summary, tensors = _read(path)
    modes = {name: dict(overrides) for name, overrides in summary["modes"].items()}  # type: ignore[attr-defined]
    plan, structure = Plan.from_dict(summary["plan"]), _structure(summary["structure"])  # type: ignore[arg-type]
    converted = convert(network, modes, plan=plan, structure=structure)
    own = converted.state_dict(keep_vars=True)
    first_name: dict[int, str] = {}
    for name, tensor in own.items():
        first_name.setdefault(id(tensor), name)
    missing = [name for name in first_name.values() if name not in tensors]
    foreign = [name for name in tensors if name not in own]
    if missing or foreign:
        raise CheckpointError(f"{path}: does not fit {type(network).__name__}: lacks {missing[:3]}, has unknown {foreign[:3]}; build the same network")
    with torch.no_grad():
        for name, value in tensors.items():
            if own[name].shape != value.shape:
                raise CheckpointError(f"{path}: {name} has shape {tuple(value.shape)}, the network's is {tuple(own[name].shape)}")
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
        raise CheckpointError(f"float checkpoint: none of its {len(state)} names fits {type(inner).__name__}; strip prefixes such as 'module.'")
    own = inner.state_dict()
    for name, value in known.items():
        if own[name].shape != value.shape:
            raise CheckpointError(f"float checkpoint: {name} has shape {tuple(value.shape)}, the network's is {tuple(own[name].shape)}")
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


def _is_ours(name: str) -> bool:
    return any(part in name.split(".") for part in ("mode_norms", "input_quantizers", "memory_quantizers", "weight_quantizer"))


def _summary(network: nn.Module) -> dict[str, object]:
    conversion = conversion_of(network)
    return {
        "format": FORMAT,
        "network": type(network).__bases__[-1].__name__ if "_layer_name" in network.__dict__ else type(network).__name__,
        "modes": {mode.name: _overrides(mode) for mode in modes_of(network)},
        "plan": conversion.plan.to_dict(),
        "structure": asdict(conversion.structure),
    }


def _overrides(mode: Mode) -> dict[str, str]:
    return {pattern: f"w{bits[0]}a{bits[1]}" for pattern, bits in mode.overrides}


def _structure(values: Mapping[str, object]) -> Structure:
    norms = tuple((str(a), str(b)) for a, b in values["norms"])  # type: ignore[attr-defined]
    shared = tuple((str(a), str(b)) for a, b in values["shared_inputs"])  # type: ignore[attr-defined]
    return Structure(values["first"], values["last"], norms, shared)  # type: ignore[arg-type]


def _read(path: Path) -> tuple[dict[str, object], dict[str, Tensor]]:
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


def _replace(path: Path, write: object) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write(temporary)  # type: ignore[operator]
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)

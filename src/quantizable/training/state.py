"""The state of a run on disk: everything the next step depends on, in one file that is replaced whole.

Data order, crops, mode choice, and dropout are functions of (seed, epoch, step), so no random generator has to be stored.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from quantizable.errors import CheckpointError

STATE_FILE = "state.safetensors"
_PARTIAL = f".{STATE_FILE}.partial"  # one name: what a killed writer left is written over, or removed at the end


@dataclass(slots=True)
class Position:
    """How far a run is: steps done in all, the epoch and its batches done, loss sums of this epoch by mode.

    seconds: spent in all; epoch_seconds: of them, spent in epochs that are complete.
    """

    step: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    loss_sums: dict[str, float] = field(default_factory=dict)


def save_state(folder: Path, position: Position, network: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor]) -> None:
    """Write the state of a run; a kill at any moment leaves the old file or the new one."""
    tensors = {f"network/{name}": tensor for name, tensor in _distinct(network).items()}
    tensors |= {f"average/{name}": tensor for name, tensor in average.items()}
    numbers: dict[str, float] = {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{index}/{key}"] = value
            elif value is not None:
                numbers[f"{index}/{key}"] = value
    temporary = folder / _PARTIAL
    metadata = {"position": json.dumps(asdict(position)), "numbers": json.dumps(numbers)}
    try:
        save_file({name: tensor.detach().contiguous().cpu() for name, tensor in tensors.items()}, temporary, metadata)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, folder / STATE_FILE)
    finally:
        temporary.unlink(missing_ok=True)


def load_state(folder: Path, network: nn.Module, optimizer: torch.optim.Optimizer, average: dict[str, Tensor]) -> Position:
    """Put the state of a run into network, optimizer and average (in place), and return its position.

    Raises:
        CheckpointError: the file is damaged, or of another network or optimizer.
    """
    path = folder / STATE_FILE
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        position = Position(**json.loads(metadata["position"]))
        numbers = json.loads(metadata["numbers"])
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: truncated or damaged ({error}); remove it to start the run again") from error
    own = {f"network/{name}": tensor for name, tensor in _distinct(network).items()}
    own |= {f"average/{name}": tensor for name, tensor in average.items()}
    shapes = {name: tensor.shape for name, tensor in tensors.items() if not name.startswith("optimizer/")}
    if shapes != {name: tensor.shape for name, tensor in own.items()}:
        raise CheckpointError(f"{path}: belongs to another network; use another run folder, or remove the file")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, object]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, index, key = name.split("/")
            state.setdefault(int(index), {})[key] = _laid_out_like(parameters[int(index)], tensor)
    for name, number in numbers.items():
        index, key = name.split("/")
        state.setdefault(int(index), {})[key] = number
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return position


def remove_state(folder: Path) -> None:
    """Remove the state of a run that is complete."""
    for name in (STATE_FILE, _PARTIAL):
        (folder / name).unlink(missing_ok=True)


def _laid_out_like(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return `tensor` with the strides of `parameter`: fused optimizers read both in the order of memory, and check nothing."""
    return tensor if tensor.shape != parameter.shape else torch.empty_like(parameter, device="cpu").copy_(tensor)


def _distinct(network: nn.Module) -> dict[str, Tensor]:
    found: dict[int, tuple[str, Tensor]] = {}
    for name, tensor in network.state_dict(keep_vars=True).items():
        found.setdefault(id(tensor), (name, tensor))
    return dict(found.values())

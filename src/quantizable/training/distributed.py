"""Several processes under ``torchrun``: who we are, one start for all, one flat reduction of gradients a step."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor, nn

from quantizable.errors import TrainingError


@dataclass(frozen=True, slots=True)
class World:
    """rank of size processes; device of this one; began_group: whether `join_world` began the group of processes."""

    rank: int
    size: int
    device: torch.device
    began_group: bool = False

    @property
    def is_first(self) -> bool:
        """True for the process that writes files and talks."""
        return self.rank == 0

    def broadcast(self, network: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.size > 1:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, 0)

    def agree(self, value: int) -> bool:
        """Return True where all processes hold the same `value`."""
        if self.size == 1:
            return True
        ends = torch.tensor([value, -value], device=self.device)  # the largest, and minus the smallest
        dist.all_reduce(ends, dist.ReduceOp.MAX)
        return int(ends[0]) == -int(ends[1])

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over all processes, in one flat reduction.

        A parameter that this process did not use counts as zero; one that no process used keeps no gradient, so that its
        optimizer leaves it alone as it does in one process. DistributedDataParallel does as much only with
        ``find_unused_parameters=True``.
        """
        if self.size == 1:
            return
        wanted = [p for p in parameters if p.requires_grad]
        is_used = torch.tensor([p.grad is not None for p in wanted], dtype=torch.float32, device=self.device)
        parts = [torch.zeros_like(p) if p.grad is None else p.grad for p in wanted]
        flat = torch.cat([*(part.reshape(-1) for part in parts), is_used])
        dist.all_reduce(flat)
        *means, used_by = torch.split(flat / self.size, [*(p.numel() for p in wanted), len(wanted)])
        for parameter, mean, share in zip(wanted, means, used_by.tolist(), strict=True):
            parameter.grad = _laid_out_like(parameter, mean) if share else None

    def average(self, values: Tensor) -> Tensor:
        """Return the mean of `values` over all processes."""
        if self.size > 1:
            dist.all_reduce(values)
            values /= self.size
        return values

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.size > 1:
            dist.barrier()

    def leave(self) -> None:
        """End the group, if this world began it."""
        if self.began_group:
            dist.destroy_process_group()


def join_world(device: str = "auto") -> World:
    """Return the World that torchrun's environment describes, or a world of one.

    Args:
        device: "cpu", "cuda", or "auto": a GPU where there is one.

    Raises:
        TrainingError: "cuda" without a GPU.
    """
    rank, size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    if device == "cuda" and not torch.cuda.is_available():
        raise TrainingError("train.device: 'cuda' asked for, no GPU found; use device = 'cpu' or 'auto'")
    on_gpu = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0))) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(place)
    begins_group = size > 1 and not dist.is_initialized()
    if begins_group:
        dist.init_process_group("nccl" if on_gpu else "gloo")
    return World(rank, size, place, begins_group)


def _laid_out_like(parameter: Tensor, flat: Tensor) -> Tensor:
    """Return `flat` in shape and strides of `parameter`: fused optimizers read both in the order of memory, and check nothing."""
    return torch.empty_like(parameter).copy_(flat.view(parameter.shape))

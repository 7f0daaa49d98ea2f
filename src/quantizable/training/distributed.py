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
    """rank of size processes; device of this one."""

    rank: int
    size: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """True for the process that writes files and talks."""
        return self.rank == 0

    def broadcast(self, network: nn.Module) -> None:
        """Give every process the first one's parameters and buffers."""
        if self.size > 1:
            for tensor in network.state_dict().values():
                dist.broadcast(tensor, 0)

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Replace each gradient by its mean over all processes, in one flat reduction.

        A parameter that this process did not use counts as zero; the flat form does so for all processes alike, which
        DistributedDataParallel's buckets do only with ``find_unused_parameters=True``.
        """
        if self.size == 1:
            return
        wanted = [p for p in parameters if p.requires_grad]
        flat = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in wanted])
        dist.all_reduce(flat)
        flat /= self.size
        for parameter, part in zip(wanted, flat.split([p.numel() for p in wanted]), strict=True):
            parameter.grad = part.view_as(parameter).clone()

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
        """End the group, if this world began one."""
        if self.size > 1:
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
    if size > 1 and not dist.is_initialized():
        dist.init_process_group("nccl" if on_gpu else "gloo")
    return World(rank, size, place)

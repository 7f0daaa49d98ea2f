"""What each of two processes runs for test_distributed.py: its half of a batch, both ways of reducing, a step, and what it holds."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from small_networks import gradients, make_network
from torch.nn.parallel import DistributedDataParallel

import quantizable as qz
from quantizable.training import join_world, make_optimizer, multi_mode_backward, parameter_groups

STEP_MODES = ("fp32", "w2a2")  # of the step that leaves a mode out


def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Images float32 (24, 1, 8, 8) and labels of three classes, the same everywhere."""
    generator = torch.Generator().manual_seed(3)
    return torch.randn(24, 1, 8, 8, generator=generator), torch.randint(3, (24,), generator=generator)


def network_and_optimizer() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """As the loop makes them: weights channels_last, a fused optimizer."""
    network = make_network(data()[0]).to(memory_format=torch.channels_last)
    groups = parameter_groups(network, lr=0.1, weight_decay=0.1)
    return network, make_optimizer("sgd", groups, lr=0.1)


def main(out: Path) -> None:
    """Write out/rank<k>.pt."""
    world = join_world("cpu")
    half = slice(12 * world.rank, 12 * (world.rank + 1))
    images, labels = (tensor[half] for tensor in data())
    found: dict[str, object] = {}

    network, optimizer = network_and_optimizer()
    multi_mode_backward(network, images, labels)
    world.average_gradients(network.parameters())
    found["flat"] = gradients(network)
    optimizer.step()
    found["stepped"] = {name: p.detach().clone() for name, p in network.named_parameters()}

    network, _ = network_and_optimizer()
    multi_mode_backward(network, images, labels, modes=STEP_MODES)
    world.average_gradients(network.parameters())
    found["without"] = sorted(name for name, p in network.named_parameters() if p.grad is None)

    network, _ = network_and_optimizer()
    wrapped = DistributedDataParallel(network, find_unused_parameters=True)
    for _ in range(2):  # a parameter that was forgotten in one step shows in the next
        wrapped.zero_grad()
        multi_mode_backward(wrapped, images, labels)
    found["ddp"] = gradients(network)

    network = make_network(data()[0], calibrated=False)
    qz.calibrate(network, [images])
    world.broadcast(network)
    found["state"] = network.state_dict()
    found["agree"] = (world.agree(5), world.agree(world.rank))
    found["mean"] = world.average(torch.tensor([float(world.rank), 4.0]))
    world.leave()
    torch.save(found, out / f"rank{world.rank}.pt")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

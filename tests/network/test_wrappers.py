"""Converted networks in the hands of torch: autocast, gradient checkpointing, DistributedDataParallel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from nets import MODES, SkipNet, calibrated, images, outputs, seeded, skip_net
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import quantizable as qz
from quantizable.network import Plan


def test_autocast_does_not_change_integer_modes() -> None:
    """Integer sums stay exact under autocast(bfloat16): the same outputs in every integer mode; fp32 does as the float network."""
    net, x = skip_net(), images()
    network = calibrated(net, x)
    expected = outputs(network, x)
    with torch.autocast("cpu", torch.bfloat16):
        found = outputs(network, x)
        float_output = net(x)
    for mode in MODES[1:]:
        assert torch.equal(found[mode], expected[mode]), mode
    assert torch.equal(found["fp32"], float_output)
    assert float_output.dtype is torch.bfloat16


def test_autocast_trains_every_mode() -> None:
    """bfloat16 for the float parts: finite gradients, close to those without."""
    network, x = calibrated(skip_net(), images(16)).train(), images(16)
    for mode in MODES:
        gradients = []
        for is_on in (False, True):
            network.zero_grad(set_to_none=True)
            with qz.use_mode(network, mode), torch.autocast("cpu", torch.bfloat16, enabled=is_on):
                loss = network(x).float().square().sum()
            loss.backward()
            gradients.append(network.conv2.weight.grad.flatten())
        assert torch.nn.functional.cosine_similarity(*gradients, dim=0) > 0.95


class Checkpointed(nn.Module):
    """Blocks recomputed in the backward pass; `use_reentrant` None recomputes nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU()) for _ in range(2)])
        self.fc = nn.Linear(6, 3)
        self.use_reentrant: bool | None = None

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x) if self.use_reentrant is None else checkpoint(block, x, use_reentrant=self.use_reentrant)
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_gradient_checkpointing_gives_the_same_gradients(use_reentrant: bool, mode: str) -> None:
    """Recomputed blocks compute what they computed: outputs and gradients are equal.

    At one bit a ReLU's quantizer learns from the value before the ReLU. A reentrant checkpoint cuts that off at its border
    (torch detaches the inputs of the block), so there the gradient of the ReLU's output is used instead.
    """
    network, x = calibrated(seeded(Checkpointed()), images(), plan=Plan(first_bits=None)).train(), images()
    qz.set_mode(network, mode)
    found = []
    for way in (None, use_reentrant):
        network.zero_grad(set_to_none=True)
        network.use_reentrant = way
        y = network(x)
        y.square().sum().backward()
        found.append((y.detach(), {name: p.grad for name, p in network.named_parameters() if p.grad is not None}))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1].keys() == found[1][1].keys()
    cut_off = use_reentrant and mode == "w1a1"
    for name, grad in found[0][1].items():
        if not cut_off or name in ("fc.weight", "fc.bias", "blocks.1.0.weight"):
            torch.testing.assert_close(found[1][1][name], grad, rtol=1e-5, atol=1e-6)


@pytest.fixture
def one_process_group(tmp_path: Path) -> Iterator[None]:
    """A gloo group of this process alone."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_process_group")
def test_modes_are_switched_through_distributed_data_parallel() -> None:
    """DDP: set_mode, get_mode, at, save and describe look through it; gradients are those of the network itself."""
    network, reference = calibrated(skip_net(), images()), calibrated(skip_net(), images())
    wrapped = nn.parallel.DistributedDataParallel(network, find_unused_parameters=True)
    for mode in MODES:
        for each in (wrapped, reference):
            qz.set_mode(each, mode)
            each.zero_grad(set_to_none=True)
            each.train()(images()).square().sum().backward()
        assert qz.get_mode(wrapped) == qz.get_mode(network) == mode
        for name, parameter in reference.named_parameters():
            own = network.get_parameter(name).grad
            if parameter.grad is None:
                assert own is None or not own.any(), name
            else:
                torch.testing.assert_close(own, parameter.grad)
    assert type(qz.at(wrapped, 4)) is SkipNet
    assert qz.describe(wrapped) == qz.describe(network)


@pytest.mark.usefixtures("one_process_group")
def test_steps_estimated_in_a_process_group_are_those_of_one_process() -> None:
    """The first batch in training estimates steps; all processes start from those of the first."""
    found = []
    for _ in range(2):
        network = qz.convert(skip_net(), MODES, example=images()).train()
        for mode in MODES:
            with qz.use_mode(network, mode):
                network(images())
        found.append(network.conv2.input_quantizers["w4a4"].log_step.detach().clone())
        assert network.conv2.input_quantizers["w4a4"].is_ready
    assert torch.equal(*found)
    assert torch.isfinite(found[0])

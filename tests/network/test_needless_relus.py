"""ReLUs that only quantized layers read: integer modes pass them by, and nothing but time changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from nets import calibrated, differing, images, outputs, seeded
from torch import Tensor, nn

import quantizable as qz
from quantizable.network import conversion_of, convert, quantized_layers
from quantizable.network.checkpoint import _structure

MODES = ("fp32", "w8a8", "w4a4", "w1a1")


class Chain(nn.Module):
    """conv1 -> bn -> relu1 -> conv2 -> relu2 -> head; `between` may do more with what relu1 reads and gives."""

    def __init__(self, between: Callable[[Chain, Tensor], Tensor] | None = None, *, inplace: bool = False) -> None:
        super().__init__()
        self.conv1, self.bn = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.relu1 = nn.ReLU(inplace)
        self.conv2 = nn.Conv2d(6, 6, 3, padding=1)
        self.relu2, self.head = nn.ReLU(), nn.Linear(6, 4)
        self.between = between or (lambda net, y: net.conv2(net.relu1(y)))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu2(self.between(self, self.bn(self.conv1(x)))).mean((2, 3)))


def _also_added(net: Chain, y: Tensor) -> Tensor:
    z = net.relu1(y)
    return net.conv2(z) + z


def _also_transposed(net: Chain, y: Tensor) -> Tensor:
    z = net.relu1(y)
    return net.conv2(z) + z.mT


def _also_unclipped(net: Chain, y: Tensor) -> Tensor:
    return net.conv2(y) + net.conv2(net.relu1(y))


def _before_it_is_overwritten(net: Chain, y: Tensor) -> Tensor:
    return net.conv2(y) + net.relu1(y)


def _also_returned(net: Chain, y: Tensor) -> Tensor:
    net.seen = net.relu1(y)
    return net.conv2(net.seen) + net.relu1(net.bn(y))


def _read_twice(net: Chain, y: Tensor) -> Tensor:
    z = net.relu1(y)
    return net.conv2(z) + net.conv3(z)


READ_ELSEWHERE = [_also_added, _also_transposed, _also_unclipped, _before_it_is_overwritten, _also_returned]


def _needless(network: nn.Module) -> set[str]:
    return {name for name, module in network.named_modules() if getattr(module, "_is_needless", False)}


@pytest.mark.parametrize("inplace", [False, True])
def test_a_relu_read_by_layers_alone_is_passed_by_and_no_other(inplace: bool):
    """relu2 is read by a mean: it stays."""
    network = convert(Chain(inplace=inplace), MODES, example=images())
    assert _needless(network) == {"relu1"}
    assert conversion_of(network).structure.relus_read_by_layers_only == (("relu1", "conv2"),)
    assert [name for name, layer in quantized_layers(network).items() if layer._reads_relu] == ["conv2"]


@pytest.mark.parametrize("between", READ_ELSEWHERE)
@pytest.mark.parametrize("inplace", [False, True])
def test_a_relu_that_something_else_reads_is_not_touched(between: Callable[[Chain, Tensor], Tensor], inplace: bool):
    """Another reader, a view, a layer that also reads something else, a second output of the network."""
    network = convert(Chain(between, inplace=inplace), MODES, example=images())
    assert not _needless(network)
    assert not any(layer._reads_relu for layer in quantized_layers(network).values())


def test_several_layers_may_read_it():
    """Two convolutions on one tensor."""
    net = Chain(_read_twice)
    net.conv3 = nn.Conv2d(6, 6, 1)
    network = convert(net, MODES, example=images())
    assert _needless(network) == {"relu1"}
    assert conversion_of(network).structure.relus_read_by_layers_only == (("relu1", "conv2"), ("relu1", "conv3"))


@pytest.mark.parametrize("options", [{"plan": qz.Plan(quantizer="dorefa")}, {"skip": ["conv2"]}])
def test_a_reader_that_does_not_clip_needs_its_relu(options: dict[str, object]):
    """Quantizers that take values after the ReLU, and layers that stay float."""
    assert not _needless(convert(Chain(), MODES, example=images(), **options))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("is_training", [False, True])
def test_outputs_and_gradients_stay_the_same(inplace: bool, is_training: bool):
    """Law, Activations: a ReLU before a z = 0 quantizer changes no value."""
    x = images()
    fast = calibrated(seeded(Chain(inplace=inplace)), x, MODES)
    with_relu = calibrated(seeded(Chain(inplace=inplace)), x, MODES)
    with_relu.relu1._is_needless = False
    assert _needless(fast) == {"relu1"}
    y = torch.randn(1, 6, 2, 2)
    assert fast.relu1(y).equal(y.relu())
    with qz.use_mode(fast, "w4a4"):
        assert fast.relu1(y) is y
    for network in (fast, with_relu):
        network.train(is_training)
    assert differing(outputs(fast, x), outputs(with_relu, x)) == []
    for network in (fast, with_relu):
        network.zero_grad()
        for mode in qz.modes_of(network):
            with qz.use_mode(network, mode):
                network(x).square().sum().backward()
    for (name, found), (_, expected) in zip(fast.named_parameters(), with_relu.named_parameters(), strict=True):
        assert torch.equal(found.grad, expected.grad), name


def test_steps_are_estimated_as_with_the_relu():
    """The quantizer knows that its input is unsigned although it sees values below zero."""
    steps = []
    for keeps_relu in (False, True):
        network = seeded(Chain())
        structure = conversion_of(convert(network, MODES, example=images())).structure
        structure = replace(structure, relus_read_by_layers_only=()) if keeps_relu else structure
        converted = convert(network, MODES, structure=structure).train()
        assert _needless(converted) == (set() if keeps_relu else {"relu1"})
        outputs(converted, images())
        quantizers = converted.conv2.input_quantizers
        steps.append([(float(q.log_step.detach()), float(q.zero_point)) for q in quantizers.values()])
        assert all(zero_point == 0 for _, zero_point in steps[-1])
    assert steps[0] == steps[1]


def test_a_hook_sees_what_a_relu_gives():
    """Hooks are kept, and with them what they were written for."""
    network = calibrated(seeded(Chain()), images(), MODES)
    seen: list[Tensor] = []
    network.relu1.register_forward_hook(lambda module, args, out: seen.append(out))
    found = outputs(network, images())
    assert all(float(out.min()) == 0 for out in seen)
    assert len(seen) == len(found)


def test_checkpoints_remember_it_and_older_ones_load(tmp_path):
    """The structure is part of them; where it lacks the entry every ReLU stays."""
    x = images()
    network = calibrated(seeded(Chain()), x, MODES)
    qz.save(network, tmp_path / "new")
    loaded = qz.load(tmp_path / "new", Chain()).eval()
    assert _needless(loaded) == {"relu1"}
    assert differing(outputs(loaded, x), outputs(network, x)) == []
    assert _structure({"first": "conv1", "last": "head", "norms": [], "shared_inputs": []}).relus_read_by_layers_only == ()

"""Every kind of layer: equal in fp32, close at 8 bits, coarser with fewer, and what it does with single images and ReLUs."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable

import pytest
import stand_ins
import torch
from nets import calibrated, images, outputs, seeded
from torch import Tensor, nn

import quantizable as qz
from quantizable.network import Plan, quantized_layers

FULL_RANGE = Plan(channel_rms=None)
MODES = ("fp32", "w8a8", "w4a4", "w1a1")


def volume(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4))


KINDS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "linear": (lambda: nn.Linear(8, 6), volume(32, 8)),
    "linear over tokens": (lambda: nn.Linear(8, 6), volume(4, 5, 8)),
    "linear without bias": (lambda: nn.Linear(8, 6, bias=False), volume(32, 8)),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, padding=1), volume(4, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, 3, padding=1), volume(4, 4, 7, 7)),
    "conv3d": (lambda: nn.Conv3d(4, 6, 3, padding=1), volume(3, 4, 5, 5, 5)),
    "pointwise": (lambda: nn.Conv2d(4, 6, 1), volume(4, 4, 7, 7)),
    "grouped": (lambda: nn.Conv2d(4, 6, 3, groups=2), volume(4, 4, 7, 7)),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4, padding=1), volume(4, 4, 7, 7)),
    "strided": (lambda: nn.Conv2d(4, 6, 3, stride=(2, 3), padding=1), volume(4, 4, 7, 8)),
    "dilated": (lambda: nn.Conv2d(4, 6, 3, dilation=2, padding=(2, 1)), volume(4, 4, 7, 7)),
    "padding same": (lambda: nn.Conv2d(4, 6, 3, padding="same", dilation=2), volume(4, 4, 7, 7)),
    "padding same, even kernel": (lambda: nn.Conv2d(4, 6, (2, 4), padding="same"), volume(4, 4, 7, 7)),
    "padding valid": (lambda: nn.Conv1d(4, 6, 3, padding="valid"), volume(4, 4, 9)),
    "one output": (lambda: nn.Conv2d(4, 1, 7), volume(4, 4, 7, 7)),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 6, 3)), volume(4, 4, 7, 7)),
    "timm same": (lambda: stand_ins.Conv2dSame(4, 6, 3, stride=2), volume(4, 4, 7, 8)),
    "timm same, even kernel": (lambda: stand_ins.Conv2dSame(4, 6, 4, stride=1, dilation=2), volume(4, 4, 7, 8)),
    "timm standardised": (lambda: stand_ins.ScaledStdConv2d(4, 6, 3, padding=1), volume(4, 4, 7, 7)),
    "timm standardised same": (lambda: stand_ins.ScaledStdConv2dSame(4, 6, 3, stride=2, same_pad=True), volume(4, 4, 7, 7)),
    "timm standardised known": (lambda: stand_ins.ScaledStdConv2dSame(4, 6, 3, padding=1, same_pad=False), volume(4, 4, 7, 7)),
}


@pytest.fixture(autouse=True)
def _no_warning_of_even_kernels() -> None:
    warnings.filterwarnings("ignore", message="Using padding='same' with even kernel lengths")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_computes_at_8_bits_nearly_what_it_does_in_float(kind: str) -> None:
    """Each row of the table of layers: fp32 equal, 8 bits close, 4 bits further away; gradients reach the weight."""
    make, x = KINDS[kind]
    net = seeded(nn.Sequential(make())).eval()
    network = calibrated(net, x, MODES, plan=Plan(channel_rms=None, first_bits=None, last_bits=None))
    assert list(quantized_layers(network)) == ["0"]
    found, expected = outputs(network, x), net(x).detach()
    assert torch.equal(found["fp32"], expected)
    errors = [float((found[mode] - expected).abs().mean() / expected.std()) for mode in MODES]
    assert errors[1] < 0.02
    assert errors[1] < errors[2] < 0.4
    for mode in MODES:
        network.zero_grad(set_to_none=True)
        with qz.use_mode(network, mode):
            network.train()(x).square().sum().backward()
        assert all(p.grad is not None for p in network[0].parameters() if p.requires_grad and p.shape == expected.shape[1:])
        assert any(p.grad is not None and p.grad.any() for p in network[0].parameters() if p.ndim > 1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "linear over tokens"])
def test_a_single_image_without_a_batch_axis_gives_what_it_gives_in_a_batch(kind: str) -> None:
    """Convolutions take (C, ...) and linear layers (C,): the channels are then the first axis."""
    make, x = KINDS[kind]
    network = calibrated(seeded(nn.Sequential(make())).eval(), x, MODES)
    for mode in MODES[1:]:
        with torch.no_grad(), qz.use_mode(network, mode):
            if kind.startswith("timm same"):  # pads by the axes of a batch
                continue
            torch.testing.assert_close(network(x[1]), network(x)[1], rtol=0, atol=0)


def test_a_batch_of_none_has_an_output_of_none() -> None:
    """Empty batches pass, as in float."""
    network = calibrated(seeded(nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6))).eval(), volume(4, 4, 7, 7), MODES)
    for mode in MODES:
        with qz.use_mode(network, mode):
            assert network(torch.zeros(0, 4, 7, 7)).shape == (0, 6, 5, 5)


def test_layers_are_called_by_keyword_as_before() -> None:
    """Some networks write fc(input=x)."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.bn, self.relu = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            return self.relu(input=self.bn(input=self.conv(input=x)))  # type: ignore[no-any-return]

    net = seeded(Net()).eval()
    network = calibrated(net, images(), MODES)
    assert qz.network.conversion_of(network).structure.norms == (("conv", "bn"),)
    assert torch.equal(outputs(network, images())["fp32"], net(images()))


class ReluNet(nn.Module):
    """Two layers with a ReLU between them, and something done to its output."""

    def __init__(self, between: Callable[[Tensor], Tensor], *, inplace: bool = False) -> None:
        super().__init__()
        self.first, self.relu, self.second = nn.Linear(6, 8), nn.ReLU(inplace), nn.Linear(8, 3)
        self.between = between

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.between(self.relu(self.first(x))))  # type: ignore[no-any-return]


BETWEEN: dict[str, Callable[[Tensor], Tensor]] = {
    "nothing": lambda y: y,
    "added in place": lambda y: y.add_(1),
    "scaled in place": lambda y: y.mul_(-0.5),
    "zeroed in place": lambda y: y.zero_(),
    "a view": lambda y: y.view(y.shape),
    "detached": lambda y: y.detach(),
}


@pytest.mark.parametrize("between", BETWEEN)
@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("family", ["nested", "lsq", "pact"])
def test_a_relu_in_front_changes_no_value(between: str, inplace: bool, family: str) -> None:
    """Law, Activations: quantizing the value before a ReLU is for the gradient alone, whatever is done to the ReLU's output."""
    x = volume(64, 6)
    net = seeded(ReluNet(BETWEEN[between], inplace=inplace)).eval()
    network = calibrated(net, x, MODES, plan=Plan(family, first_bits=None, last_bits=None))
    reference = copy.deepcopy(network)
    reference.relu.__class__ = nn.ReLU  # hands nothing on
    for mode in MODES:
        for is_training in (False, True):
            with qz.use_mode(network, mode), qz.use_mode(reference, mode):
                assert torch.equal(network.train(is_training)(x), reference.train(is_training)(x)), (mode, is_training)


def test_the_gradient_window_reaches_below_zero_behind_a_relu() -> None:
    """What the value before a ReLU is for: at one bit, values below zero still learn."""
    x = volume(64, 6)
    network = calibrated(seeded(ReluNet(BETWEEN["nothing"])).eval(), x, (1,), plan=Plan(first_bits=None, last_bits=None))
    hidden: list[Tensor] = []
    network.first.register_forward_hook(lambda module, args, out: hidden.append(out) or out.retain_grad())
    network.train()(x).sum().backward()
    grad = hidden[0].grad
    assert grad is not None
    assert grad[hidden[0] < 0].any()


@pytest.mark.parametrize("signed_first", [False, True])
def test_a_layer_that_reads_a_relu_and_something_signed_computes_the_same_with_and_without_gradients(signed_first: bool) -> None:
    """A quantizer with a zero point tells below zero from zero: it must take the ReLU's output, not the value before."""

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu, self.layer = nn.ReLU(), nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            both = (x, self.relu(x)) if signed_first else (self.relu(x), x)
            return sum(self.layer(each) for each in both)  # type: ignore[no-any-return, return-value]

    x = volume(64, 6)
    net = seeded(Twice()).eval()
    network = calibrated(net, x, ("fp32", "w8a8"), plan=FULL_RANGE)
    reference = copy.deepcopy(network)
    reference.relu.__class__ = nn.ReLU
    for each in (network, reference):
        qz.set_mode(each, 8)
    assert torch.equal(network(x), reference(x))
    if signed_first:
        assert (network(x) - net(x)).abs().mean() < 0.05 * net(x).std()

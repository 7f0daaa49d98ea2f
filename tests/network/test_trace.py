"""trace: which norm belongs to which layer, which inputs are shared, and what must not be joined."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from nets import MODES, calibrated, differing, images, outputs, seeded, skip_net, tensors_in
from torch import Tensor, nn

import quantizable as qz
from quantizable.errors import ModeError
from quantizable.modes import parse_modes
from quantizable.network import BitSpecificNorm, Plan, conversion_of, quantized_layers

Step = Callable[["Parts", Tensor], Any]


class Parts(nn.Module):
    """Convolutions, norms, a linear layer, and a forward given as a function."""

    def __init__(self, step: Step) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 1)
        self.bn, self.bn2 = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.tokens, self.over_tokens, self.over_features = nn.Linear(6, 7), nn.BatchNorm1d(5), nn.BatchNorm1d(7)
        self.step = step

    def forward(self, x: Tensor) -> Any:
        return self.step(self, x)


def traced(step: Step, x: Tensor | None = None) -> Any:
    return conversion_of(qz.convert(Parts(step).eval(), MODES, example=images() if x is None else x)).structure


@dataclass
class Output:
    """What some networks return."""

    features: Tensor
    logits: Tensor


def _in_place(net: Parts, x: Tensor) -> Tensor:
    y = net.conv(x)
    y += 1
    return net.bn(y)


def _kept_as_attribute_of_a_dataclass(net: Parts, x: Tensor) -> Output:
    y = net.conv(x)
    return Output(y, net.bn(y))


def _sometimes_without(net: Parts, x: Tensor) -> Tensor:
    return net.conv(net.bn(net.conv(x)))


JOINED: dict[str, Step] = {
    "in a row": lambda net, x: net.bn(net.conv(x)),
    "with an activation behind": lambda net, x: net.bn(net.conv(x)).relu_(),
    "its shape looked at": lambda net, x: (lambda y: net.bn(y) * y.shape[0] * y.size(1))(net.conv(x)),
    "called twice together": lambda net, x: net.bn(net.conv(net.bn(net.conv(x)))),
    "the norm's output read twice": lambda net, x: (lambda y: y + y.relu())(net.bn(net.conv(x))),
    "behind a linear layer": lambda net, x: net.over_features(net.tokens(x)),
}
APART: dict[str, Step] = {
    "also added to a skip": lambda net, x: (lambda y: net.bn(y) + y)(net.conv(x)),
    "also returned": lambda net, x: (lambda y: (net.bn(y), y))(net.conv(x)),
    "also returned in a mapping": lambda net, x: (lambda y: {"out": net.bn(y), "raw": [y]})(net.conv(x)),
    "also returned in a dataclass": _kept_as_attribute_of_a_dataclass,
    "read by two norms": lambda net, x: (lambda y: net.bn(y) + net.bn2(y))(net.conv(x)),
    "changed in place between": _in_place,
    "an operation between": lambda net, x: net.bn(net.conv(x).relu()),
    "viewed as well": lambda net, x: (lambda y: net.bn(y) + y.flatten().mean())(net.conv(x)),
    "a layer called with two norms": lambda net, x: net.bn2(net.conv(net.bn(net.conv(x)))),
    "a layer called once without": _sometimes_without,
    "a norm behind two layers": lambda net, x: net.bn(net.conv(x)) + net.bn(net.other(x)),
    "a norm called once alone": lambda net, x: net.bn(net.conv(x)) + net.bn(x),
    "over another axis than the layer's channels": lambda net, x: net.over_tokens(net.tokens(x)),
    "transposed between": lambda net, x: net.over_features(net.tokens(x).transpose(1, 2)),
}
TOKENS = ("over another axis than the layer's channels", "transposed between")


@pytest.mark.parametrize("case", JOINED)
def test_a_norm_that_alone_reads_a_layer_is_one_unit_with_it(case: str) -> None:
    """A norm belongs to a layer if, each time, the norm is the only reader of the layer's output."""
    is_linear = case == "behind a linear layer"
    expected = ("tokens", "over_features") if is_linear else ("conv", "bn")
    assert traced(JOINED[case], torch.randn(4, 6) if is_linear else None).norms == (expected,)


@pytest.mark.parametrize("case", APART)
def test_a_norm_with_company_stays_by_itself(case: str) -> None:
    """Counter-examples: joining would change what another reader gets, or what the norm does."""
    x = torch.randn(2, 5, 6) if case in TOKENS else images()
    assert traced(APART[case], x).norms == ()


@pytest.mark.parametrize("case", [*JOINED, *APART])
def test_joined_or_not_eight_bits_are_close_to_float(case: str) -> None:
    """Whatever the trace decided, the network in 8 bits computes nearly what the float network does."""
    x = torch.randn(16, 5, 6) if case in TOKENS else torch.randn(16, 6) if "linear" in case else images(16)
    net = seeded(Parts({**JOINED, **APART}[case])).eval()
    quantizable = calibrated(net, x, ("fp32", "w8a8"), plan=Plan(channel_rms=None))
    for module in quantizable.modules():
        if isinstance(module, BitSpecificNorm):  # calibration takes the statistics of this batch; compare with the float ones
            module.refresh()
    with torch.no_grad(), qz.use_mode(quantizable, 8):
        found, expected = (tensors_in(each(x)) for each in (quantizable, net))
    assert len(found) == len(expected) > 0
    for own, reference in zip(found, expected, strict=True):
        tolerance = 0.2 if "called" in case else 0.02  # a layer has one step, whose second input may be wider than its first
        assert (own - reference).abs().mean() < tolerance * reference.std()


def test_the_order_of_a_deep_network_is_found() -> None:
    """First, last, norms and shared inputs of a network with a shortcut; the training flag is as before."""
    net = skip_net().train()
    structure = conversion_of(qz.convert(net, MODES, example=images())).structure
    assert (structure.first, structure.last) == ("conv1", "fc")
    assert set(structure.norms) == {("conv1", "bn1"), ("conv2", "bn2"), ("shortcut.0", "shortcut.1")}
    assert structure.shared_inputs == (("shortcut.0", "conv2"),)
    assert all(module.training for module in net.modules())


SHARED: dict[str, tuple[Step, bool]] = {
    "one tensor": (lambda net, x: (lambda y: net.conv(y) + net.other(y))(x.relu()), True),
    "a copy": (lambda net, x: net.conv(x) + net.other(x.clone()), False),
    "changed in place between": (lambda net, x: (lambda y: net.conv(y) + net.other(y.relu_()))(x * 1), False),
    "a layer called twice": (lambda net, x: (lambda y: net.conv(y) + net.other(y) + net.conv(y + 1))(x.relu()), False),
}


@pytest.mark.parametrize("case", SHARED)
def test_layers_that_read_one_tensor_share_its_codes(case: str) -> None:
    """Shared inputs: one quantizer; never where the tensor's values differ between the readers."""
    step, is_shared = SHARED[case]
    quantizable = qz.convert(Parts(step).eval(), {"fp32": {}, "w4a4": {"*": 4}}, example=images())
    layers = quantized_layers(quantizable)
    assert (layers["conv"].input_quantizers is layers["other"].input_quantizers) == is_shared


def test_layers_of_different_widths_share_nothing() -> None:
    """A quantizer has one width: the 8-bit first layer keeps its own."""
    step = SHARED["one tensor"][0]
    quantizable = qz.convert(Parts(step).eval(), (32, 4), plan=Plan(last_bits=None), example=images())
    layers = quantized_layers(quantizable)
    assert layers["conv"].input_quantizers is not layers["other"].input_quantizers
    assert conversion_of(quantizable).structure.shared_inputs == ()


def _round_trip(network: nn.Module, folder: Any) -> nn.Module:
    qz.save(network, folder)
    return qz.load(folder, skip_net(seed=7))


COPIES: dict[str, Callable[[nn.Module, Any], nn.Module]] = {
    "deepcopy": lambda network, _: copy.deepcopy(network),
    "pickle": lambda network, _: pickle.loads(pickle.dumps(network)),
    "save and load": _round_trip,
    "view": lambda network, _: qz.at(network, 4),
}


@pytest.mark.parametrize("how", COPIES)
def test_sharing_survives(how: str, tmp_path: Any) -> None:
    """Sharing survives deepcopy, pickle, save and load, a view, and a mode added afterwards."""
    x = images()
    quantizable = calibrated(skip_net(), x)
    made = COPIES[how](quantizable, tmp_path)
    layers = quantized_layers(made)
    assert layers["conv2"].input_quantizers is layers["shortcut.0"].input_quantizers
    if how != "view":
        assert differing(outputs(made.eval(), x), outputs(quantizable, x)) == []
    qz.network.add_mode(quantizable, parse_modes("w3a3")[0])
    layers = quantized_layers(quantizable)
    assert layers["conv2"].input_quantizers["w3a3"] is layers["shortcut.0"].input_quantizers["w3a3"]


def test_a_mode_added_with_two_widths_for_shared_codes_is_refused() -> None:
    """Layers that share a quantizer cannot have two widths; the network stays as it was."""
    quantizable = calibrated(skip_net(), images())
    names = list(quantizable.state_dict())
    with pytest.raises(ModeError, match=r"shortcut\.0 and conv2 share codes, found 2 and 3 bits; give both the same"):
        qz.network.add_mode(quantizable, parse_modes({"w3a3": {"shortcut.0": 2}})[0])
    assert list(quantizable.state_dict()) == names
    assert [mode.name for mode in qz.modes_of(quantizable)] == list(MODES)

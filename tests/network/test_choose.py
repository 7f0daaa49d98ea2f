"""What becomes of each module: layers that stay float and why, patterns that keep float, patterns that name the wrong thing."""

from __future__ import annotations

import types

import pytest
import torch
from nets import MODES, calibrated, images, outputs, seeded, skip_net
from torch import Tensor, nn

import quantizable as qz
from quantizable.errors import PlanError
from quantizable.network import Plan, QuantizedLayer, layer_reports, quantized_layers


def became(network: nn.Module) -> dict[str, str]:
    return {report.name: report.became for report in layer_reports(network)}


class OwnForward(nn.Conv2d):
    """A convolution that does more than its base."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


class OwnConvolution(nn.Conv2d):
    """A convolution that replaces the inner method that the base's forward calls."""

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return super()._conv_forward(input, weight + 1, bias)


class OwnNorm(nn.BatchNorm2d):
    """A batch norm that does more than its base."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 1


def patched() -> nn.Module:
    """Return a layer whose forward was replaced on the object, as wrappers of other packages do."""
    layer = nn.Conv2d(3, 4, 3)
    layer.forward = types.MethodType(lambda self, x: nn.functional.conv2d(x, self.weight * 3, self.bias), layer)  # type: ignore[method-assign]
    return layer


FLOAT_LAYERS = {
    "reflect": (lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"), "padding_mode 'reflect' is not zeros"),
    "circular": (lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), "padding_mode 'circular' is not zeros"),
    "own forward": (lambda: OwnForward(3, 4, 3), "OwnForward has a forward of its own"),
    "own convolution": (lambda: OwnConvolution(3, 4, 3), "OwnConvolution has a forward of its own"),
    "patched object": (patched, "Conv2d has a forward of its own"),
    "transposed": (lambda: nn.ConvTranspose2d(3, 4, 3), "ConvTranspose2d is none of the classes that can be quantized"),
}


@pytest.mark.parametrize("kind", FLOAT_LAYERS)
def test_layers_that_cannot_be_quantized_stay_float_with_a_reason(kind: str) -> None:
    """Issue: they stay float with a reason; they compute what they did, in every mode."""
    make, reason = FLOAT_LAYERS[kind]
    net = seeded(nn.Sequential(make(), nn.Flatten(), nn.Linear(4 * 36 if kind not in ("reflect", "circular") else 4 * 64, 5)))
    if kind == "transposed":
        net[2] = seeded(nn.Linear(400, 5))
    net.eval()
    quantizable = calibrated(net, images())
    assert became(quantizable)["0"] == f"float: {reason}"
    assert list(quantized_layers(quantizable)) == ["2"]
    for mode in MODES:
        with qz.use_mode(quantizable, mode):
            assert torch.equal(quantizable[0](images()), net[0](images()))


@pytest.mark.parametrize("kind", FLOAT_LAYERS)
def test_naming_a_layer_that_cannot_be_quantized_raises(kind: str) -> None:
    """Issue: or raise when the plan named them."""
    make, reason = FLOAT_LAYERS[kind]
    net = nn.Sequential(make(), nn.Linear(4, 4))
    with pytest.raises(PlanError, match=f"'0' of quantizer 'lsq' names '0', which cannot be quantized: {reason}"):
        qz.convert(net, MODES, plan=Plan(quantizers=(("0", "lsq"),)))
    with pytest.raises(PlanError, match="'0' of mode 'w4a4' names '0', which cannot be quantized"):
        qz.convert(net, {"w4a4": {"0": 8}})


def test_naming_a_layer_that_is_kept_float_raises() -> None:
    """A plan that contradicts itself is refused, not obeyed in part."""
    with pytest.raises(PlanError, match=r"'fc' of quantizer 'lsq' names 'fc', which cannot be quantized: pattern 'f\?'"):
        qz.convert(skip_net(), MODES, plan=Plan(quantizers=(("fc", "lsq"),), keep_float=("f?",)))


def test_other_modules_with_weights_are_left_alone_with_a_reason() -> None:
    """LayerNorm, embeddings, recurrent layers, and free parameters keep their class and are told of."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.zeros(4))
            self.embed, self.norm, self.lstm, self.fc = nn.Embedding(5, 4), nn.LayerNorm(4), nn.LSTM(4, 4), nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.fc(self.lstm(self.norm(self.embed(x) + self.token))[0])

    net = seeded(Net()).eval()
    quantizable = qz.convert(net, MODES)
    for name in ("embed", "norm", "lstm"):
        assert type(quantizable.get_submodule(name)) is type(net.get_submodule(name))
    found = became(quantizable)
    assert list(found) == ["(root)", "embed", "norm", "lstm", "fc"]
    assert all(text.startswith("float: ") for name, text in found.items() if name != "fc")
    assert "LayerNorm is none of the classes" in found["norm"]


def test_a_norm_with_a_forward_of_its_own_serves_all_modes_as_it_is() -> None:
    """Its formula is not known: it keeps computing what it did, with one set."""
    net = seeded(nn.Sequential(nn.Conv2d(3, 4, 3), OwnNorm(4), nn.Flatten(), nn.Linear(144, 2))).eval()
    quantizable = calibrated(net, images())
    assert type(quantizable[1]) is OwnNorm
    assert became(quantizable)["1"].startswith("float: OwnNorm")
    x = torch.randn(2, 4, 6, 6)
    with qz.use_mode(quantizable, 4):
        assert torch.equal(quantizable[1](x), net[1](x))


def test_patterns_keep_layers_float() -> None:
    """Issue: skip=["fc*"]; a pattern that fits a module keeps all layers in it float, and every mode then uses the float layer."""
    net, x = skip_net(), images()
    quantizable = calibrated(net, x, skip=["fc*", "shortcut"])
    assert list(quantized_layers(quantizable)) == ["conv1", "conv2"]
    assert type(quantizable.fc) is nn.Linear
    assert became(quantizable)["fc"] == "float: pattern 'fc*'"
    assert became(quantizable)["shortcut.0"] == "float: pattern 'shortcut'"
    assert not quantizable.shortcut[1]._is_absorbed
    assert set(outputs(quantizable, x)) == set(MODES)


@pytest.mark.parametrize(("pattern", "nearest"), [("conv3", "conv"), ("fcs", "fc"), ("shortcut.0.weight", "shortcut.0")])
def test_a_pattern_that_fits_nothing_raises_with_the_nearest_name(pattern: str, nearest: str) -> None:
    """Errors: a skip pattern is never ignored."""
    with pytest.raises(PlanError, match=f"pattern '{pattern}' to keep float fits no layer; the nearest name is '{nearest}"):
        qz.convert(skip_net(), MODES, skip=[pattern])


def test_skips_add_to_the_plan() -> None:
    """`skip` is the plan's keep_float, continued."""
    quantizable = qz.convert(skip_net(), MODES, plan=Plan(keep_float=("conv1",)), skip=("fc",))
    assert [type(module) for module in (quantizable.conv1, quantizable.fc)] == [nn.Conv2d, nn.Linear]
    assert isinstance(quantizable.conv2, QuantizedLayer)

"""What conversion keeps of every module: hooks, dtype, training flag, requires_grad."""

from __future__ import annotations

import copy

import pytest
import torch
from nets import MODES, SkipNet, calibrated, images, skip_net
from torch import nn

import quantizable as qz
from quantizable.network import quantized_layers


def test_hooks_are_kept_and_called_in_every_mode() -> None:
    """Forward pre-hooks, forward hooks, and backward hooks of the user's modules."""
    calls: list[str] = []
    net = skip_net()
    net.conv2.register_forward_pre_hook(lambda *_: calls.append("before"))
    net.conv2.register_forward_hook(lambda *_: calls.append("after"))
    net.fc.register_full_backward_hook(lambda *_: calls.append("backward"))
    quantizable = calibrated(net, images())
    for mode in MODES:
        calls.clear()
        with qz.use_mode(quantizable, mode):
            quantizable(images()).sum().backward()
        assert calls == ["before", "after", "backward"], mode


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("is_training", [False, True])
def test_the_dtype_of_the_network_is_kept(dtype: torch.dtype, is_training: bool) -> None:
    """A float64 and a bfloat16 network: parameters, norms of all modes, and outputs keep their dtype; fp32 mode stays equal."""
    net, x = skip_net().to(dtype), images(16).to(dtype)
    quantizable = calibrated(net, x).train(is_training)
    reference = copy.deepcopy(net).train(is_training)
    for module in quantizable.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_mean.dtype is dtype
    for mode in MODES:
        with qz.use_mode(quantizable, mode):
            y = quantizable(x)
        assert y.dtype is dtype
        assert torch.isfinite(y).all()
        if mode == "fp32":
            assert torch.equal(y, reference(x))
        y.float().sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_signed_inputs_get_a_zero_point_in_every_dtype(dtype: torch.dtype) -> None:
    """Law, Activations: signed inputs have a zero point; a cast of the input must not hide its sign."""
    net, x = skip_net().to(dtype), images(16).to(dtype)
    quantizable = calibrated(net, x)
    layers = quantized_layers(quantizable)
    assert float(layers["conv1"].input_quantizers["w4a4"].zero_point) > 0
    assert float(layers["conv2"].input_quantizers["w4a4"].zero_point) == 0


def test_training_flags_are_kept_module_by_module() -> None:
    """A frozen norm in a training network stays frozen; what conversion adds follows the module that it serves."""
    net = SkipNet().train()
    net.bn1.eval()
    net.shortcut.eval()
    quantizable = qz.convert(net, MODES, example=images())
    flags = {name: module.training for name, module in net.named_modules()}
    for name, module in quantizable.named_modules():
        owner = next(parent for parent in _outwards(name) if parent in flags)
        assert module.training == flags[owner], name
    assert not any(module.training for module in qz.convert(net.eval(), MODES).modules())


def test_requires_grad_flags_are_kept() -> None:
    """Frozen parameters stay frozen, the norms of all modes like the norm they come from."""
    net = SkipNet()
    net.conv1.requires_grad_(False)
    net.bn1.requires_grad_(False)
    quantizable = qz.convert(net, MODES)
    for name, parameter in net.named_parameters():
        assert quantizable.get_parameter(name).requires_grad == parameter.requires_grad, name
    assert not any(parameter.requires_grad for parameter in quantizable.bn1.mode_norms.parameters())
    assert all(parameter.requires_grad for parameter in quantizable.bn2.mode_norms.parameters())


def _outwards(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:count]) for count in range(len(parts), 0, -1)] + [""]

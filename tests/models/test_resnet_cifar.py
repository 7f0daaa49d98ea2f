"""CIFAR's residual networks: the published sizes, shapes at any width, and the two kinds of shortcut."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from quantizable.errors import RecipeError
from quantizable.models import CifarResNet, WideStemResNet
from quantizable.models.resnet_cifar import Block, DenseBlock, ZeroPadShortcut

PUBLISHED = {20: 269_722, 32: 464_154, 44: 658_586, 56: 853_018}  # parameters, 10 classes
WIDE_STEM = {8: 112_452, 20: 306_884, 32: 501_316}  # 100 classes


def n_parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(("depth", "count"), PUBLISHED.items())
@pytest.mark.parametrize("dense", [False, True])
def test_the_number_of_parameters_is_the_published_one(depth: int, count: int, dense: bool) -> None:
    """Shortcuts have no weights, so dense ones change neither number nor names."""
    network = CifarResNet(depth, num_classes=10, dense_shortcuts=dense)
    assert n_parameters(network) == count
    assert list(network.state_dict()) == list(CifarResNet(depth, num_classes=10).state_dict())


@pytest.mark.parametrize(("depth", "count"), WIDE_STEM.items())
def test_the_wide_stem_form_has_the_published_size(depth: int, count: int) -> None:
    """Its linear layer sees 2 x 2 features a channel."""
    network = WideStemResNet(depth, num_classes=100)
    assert n_parameters(network) == count
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 100)


@pytest.mark.parametrize("width", [0.5, 1, 1.25, 2])
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize(("side", "channels"), [(32, 3), (33, 3), (8, 1)])
def test_any_width_and_size_give_logits(width: float, dense: bool, side: int, channels: int) -> None:
    """Odd sides too: shortcut and convolution agree on the rounded-up half."""
    network = CifarResNet(8, num_classes=7, width=width, dense_shortcuts=dense, in_channels=channels)
    assert network(torch.randn(2, channels, side, side)).shape == (2, 7)
    assert network.layer3[0].conv1.out_channels == round(64 * width)


def test_the_shortcut_is_every_second_pixel_between_zero_channels() -> None:
    """Option A of the paper, with an odd number of new channels on purpose."""
    x = torch.randn(2, 4, 6, 5)
    y = ZeroPadShortcut(4, 9, 2)(x)
    assert y.shape == (2, 9, 3, 3)
    assert torch.equal(y[:, 2:6], x[:, :, ::2, ::2])
    assert not y[:, :2].any()
    assert not y[:, 6:].any()


@pytest.mark.parametrize(("block", "expected"), [(Block, [1.0, 0.0]), (DenseBlock, [1.0, 1.0])])
def test_a_block_without_weights_is_its_shortcuts(block: type[Block], expected: list[float]) -> None:
    """With zero convolutions a positive input passes through; the dense block's first half passes it on too."""
    layer = block(3, 3, 1).eval()
    nn.init.zeros_(layer.conv1.weight)
    nn.init.zeros_(layer.conv2.weight)
    x = torch.rand(2, 3, 4, 4) + 0.1
    inside = {}
    layer.relu1.register_forward_hook(lambda _, __, y: inside.update(y=y))
    assert torch.equal(layer(x), x * expected[0])
    assert torch.equal(inside["y"], x * expected[1])


def test_every_relu_is_a_module_of_its_own() -> None:
    """A converter replaces them place by place; none works in place."""
    relus = [m for m in CifarResNet(20, num_classes=10).modules() if isinstance(m, nn.ReLU)]
    assert len(relus) == len(set(map(id, relus))) == 19
    assert not any(relu.inplace for relu in relus)


@pytest.mark.parametrize("depth", [2, 18, 21])
def test_a_depth_that_does_not_exist_is_refused(depth: int) -> None:
    """6n + 2 layers."""
    for network in (CifarResNet, WideStemResNet):
        with pytest.raises(RecipeError, match=rf"depth must be 6n \+ 2, found {depth}"):
            network(depth, num_classes=10)


def test_a_width_without_channels_is_refused() -> None:
    """0.01 of 16 channels is none."""
    with pytest.raises(RecipeError, match=r"width 0\.01 leaves no channel"):
        CifarResNet(8, num_classes=10, width=0.01)

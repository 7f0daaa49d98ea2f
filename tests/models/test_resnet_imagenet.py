"""ImageNet's residual networks: torchvision's sizes and names."""

from __future__ import annotations

import pytest
import torch

from quantizable.errors import RecipeError
from quantizable.models import ImagenetResNet


@pytest.mark.parametrize(("depth", "count", "n_names"), [(18, 11_689_512, 122), (34, 21_797_672, 218), (50, 25_557_032, 320)])
def test_size_and_names_are_torchvisions(depth: int, count: int, n_names: int) -> None:
    """Parameters and entries of the state_dict, as published with torchvision's weights."""
    with torch.device("meta"):
        network = ImagenetResNet(depth, num_classes=1000)
    assert sum(p.numel() for p in network.parameters()) == count
    names = list(network.state_dict())
    assert len(names) == n_names
    last = "bn3" if depth == 50 else "bn2"
    expected = {"conv1.weight", "bn1.running_var", "layer2.0.downsample.0.weight", "layer2.0.downsample.1.bias", "fc.bias"}
    assert {*expected, f"layer4.1.{last}.weight"} <= set(names)


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize(("stem", "side", "last"), [("imagenet", 64, 2), ("cifar", 32, 4)])
def test_the_stem_decides_how_much_is_pooled(depth: int, stem: str, side: int, last: int) -> None:
    """1/32 of the side with ImageNet's stem, 1/8 with CIFAR's."""
    network = ImagenetResNet(depth, num_classes=5, stem=stem).eval()
    sides = []
    network.layer4.register_forward_hook(lambda _, __, y: sides.append(y.shape[-1]))
    with torch.no_grad():
        assert network(torch.zeros(1, 3, side, side)).shape == (1, 5)
    assert sides == [last]


def test_the_bottleneck_strides_in_its_middle() -> None:
    """As the weights of torchvision expect; the paper strides in the first convolution."""
    with torch.device("meta"):
        first = ImagenetResNet(50, num_classes=10).layer2[0]
    assert [first.conv1.stride, first.conv2.stride, first.conv3.stride] == [(1, 1), (2, 2), (1, 1)]


def test_an_unknown_layout_or_stem_is_refused() -> None:
    """One line with what exists."""
    with pytest.raises(RecipeError, match="no layout of depth 20; choose 18, 34, 50"):
        ImagenetResNet(20, num_classes=10)
    with pytest.raises(RecipeError, match="no stem is named 'tiny'"):
        ImagenetResNet(18, num_classes=10, stem="tiny")

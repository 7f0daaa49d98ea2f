"""Residual networks for 32 x 32 images (He, Zhang, Ren, Sun, arXiv 1512.03385, section 4.2), 6n + 2 layers.

Shortcuts are of their option A: no weights; where the shape changes, every second pixel, and zero channels on both sides.
With dense shortcuts every convolution has one of its own (Liu et al., arXiv 1808.00278), which one-bit networks need; the
parameters and their names stay the same. Every ReLU is a module of its own, so that a converter can see each place.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from quantizable.errors import RecipeError


class CifarResNet(nn.Module):
    """Maps images float32 (n, in_channels, H, W) to logits float32 (n, num_classes).

    Args:
        depth: 6n + 2: 8, 14, 20, 32, 44, 56.
        num_classes: outputs.
        width: factor of the 16, 32 and 64 channels; above 0.
        dense_shortcuts: a shortcut around every convolution instead of every second one.
        in_channels: 3 for colour.

    Raises:
        RecipeError: another depth, or a width that leaves no channel.
    """

    def __init__(self, depth: int, *, num_classes: int, width: float = 1, dense_shortcuts: bool = False, in_channels: int = 3) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise RecipeError(f"resnet for CIFAR: depth must be 6n + 2, found {depth}; choose 8, 14, 20, 32, 44 or 56")
        channels = [round(16 * width), round(32 * width), round(64 * width)]
        if channels[0] < 1:
            raise RecipeError(f"resnet for CIFAR: width {width} leaves no channel; choose for example 1 or 0.5")
        block = DenseBlock if dense_shortcuts else Block
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(in_channels, channels[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels[0])
        self.relu = nn.ReLU()
        self.layer1 = _stage(block, channels[0], channels[0], stride=1, blocks=blocks)
        self.layer2 = _stage(block, channels[0], channels[1], stride=2, blocks=blocks)
        self.layer3 = _stage(block, channels[1], channels[2], stride=2, blocks=blocks)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(channels[2], num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        out: Tensor = self.linear(self.pool(x).flatten(1))
        return out


class Block(nn.Module):
    """Two convolutions with a shortcut around both: relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Identity() if stride == 1 and inputs == outputs else ZeroPadShortcut(inputs, outputs, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        out: Tensor = self.relu2(self.bn2(self.conv2(y)) + self.shortcut(x))
        return out


class DenseBlock(Block):
    """The same two convolutions with a shortcut around each: y = relu(bn1(conv1(x)) + shortcut(x)), relu(bn2(conv2(y)) + y)."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)) + self.shortcut(x))
        out: Tensor = self.relu2(self.bn2(self.conv2(y)) + y)
        return out


class ZeroPadShortcut(nn.Module):
    """Keeps every `stride`-th pixel and adds zero channels: (n, inputs, H, W) to (n, outputs, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.before = (outputs - inputs) // 2
        self.after = outputs - inputs - self.before

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, :: self.stride, :: self.stride]
        return functional.pad(x, (0, 0, 0, 0, self.before, self.after))


def initialize(network: nn.Module) -> None:
    """Draw all convolution weights from a normal distribution of deviation sqrt(2 / fan_out), as He et al. do."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _stage(block: type[Block], inputs: int, outputs: int, *, stride: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(block(inputs, outputs, stride), *(block(outputs, outputs, 1) for _ in range(blocks - 1)))

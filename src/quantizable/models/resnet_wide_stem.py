"""Residual networks for 32 x 32 images with a wide stem, the form of some published CIFAR-100 weights.

They differ from He et al.'s: 64 channels leave the stem and the stages have 16, 32 and 64; where the shape changes, the
shortcut is a 1x1 convolution and a norm; a ReLU follows each stage but not each block; 2 x 2 features remain per channel.
"""

from __future__ import annotations

from torch import Tensor, nn

from quantizable.errors import RecipeError
from quantizable.models.resnet_cifar import initialize

_STEM_CHANNELS = 64


class WideStemResNet(nn.Module):
    """Maps images float32 (n, 3, 32, 32) to logits float32 (n, num_classes).

    Raises:
        RecipeError: depth is not 6n + 2.
    """

    def __init__(self, depth: int, *, num_classes: int) -> None:
        super().__init__()
        if depth < 8 or depth % 6 != 2:
            raise RecipeError(f"wide-stem resnet: depth must be 6n + 2, found {depth}; choose 8, 20 or 32")
        blocks = (depth - 2) // 6
        self.conv1 = nn.Conv2d(3, _STEM_CHANNELS, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_STEM_CHANNELS)
        self.relu = nn.ReLU()
        self.layer1 = _stage(_STEM_CHANNELS, 16, stride=1, blocks=blocks)
        self.relu1 = nn.ReLU()
        self.layer2 = _stage(16, 32, stride=2, blocks=blocks)
        self.relu2 = nn.ReLU()
        self.layer3 = _stage(32, 64, stride=2, blocks=blocks)
        self.relu3 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.linear = nn.Linear(64 * 2 * 2, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu1(self.layer1(x))
        x = self.relu2(self.layer2(x))
        x = self.relu3(self.layer3(x))
        out: Tensor = self.linear(self.pool(x).flatten(1))
        return out


class LinearBlock(nn.Module):
    """Two convolutions and a shortcut, with no ReLU on the sum: bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        out: Tensor = self.bn2(self.conv2(y)) + self.shortcut(x)
        return out


def _stage(inputs: int, outputs: int, *, stride: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(LinearBlock(inputs, outputs, stride), *(LinearBlock(outputs, outputs, 1) for _ in range(blocks - 1)))

"""A small convolutional network for digits of 8 x 8 pixels: big enough to survive one bit, small enough for a laptop."""

from __future__ import annotations

from torch import Tensor, nn

from quantizable.errors import RecipeError
from quantizable.models.resnet_cifar import initialize


class DigitsNet(nn.Module):
    """Maps images float32 (n, in_channels, H, W) to logits float32 (n, num_classes).

    Three 3x3 convolutions of 32, 64 and 64 channels, each with norm and ReLU, the last of stride 2; mean over space; linear.
    56,554 parameters and 1.8 million multiplications an 8 x 8 image at width 1.

    Args:
        num_classes: outputs.
        width: factor of the channels; above 0.
        in_channels: 1 for grey images.

    Raises:
        RecipeError: a width that leaves no channel.
    """

    def __init__(self, *, num_classes: int, width: float = 1, in_channels: int = 1) -> None:
        super().__init__()
        first, second = round(32 * width), round(64 * width)
        if first < 1:
            raise RecipeError(f"digits_net: width {width} leaves no channel; choose for example 1 or 0.5")
        self.conv1 = nn.Conv2d(in_channels, first, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(first, second, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(second)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(second, second, 3, stride=2, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(second)
        self.relu3 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(second, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.bn1(self.conv1(x)))
        x = self.relu2(self.bn2(self.conv2(x)))
        x = self.relu3(self.bn3(self.conv3(x)))
        out: Tensor = self.linear(self.pool(x).flatten(1))
        return out

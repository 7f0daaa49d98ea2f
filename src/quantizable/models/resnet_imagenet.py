"""ResNet-18, -34 and -50 (He et al., arXiv 1512.03385, table 1), with the parameter names of torchvision's weights.

The 50-layer network strides in its 3x3 convolutions, as torchvision's does. With the CIFAR stem the first convolution is
3x3 without stride and no pooling follows, for images of 32 or 64 pixels.
"""

from __future__ import annotations

from torch import Tensor, nn

from quantizable.errors import RecipeError
from quantizable.models.resnet_cifar import initialize


class ImagenetResNet(nn.Module):
    """Maps images float32 (n, 3, H, W) to logits float32 (n, num_classes).

    Args:
        depth: 18, 34 or 50.
        num_classes: outputs.
        stem: "imagenet" (7x7, stride 2, pooling) or "cifar" (3x3, stride 1).

    Raises:
        RecipeError: another depth or stem.
    """

    def __init__(self, depth: int, *, num_classes: int, stem: str = "imagenet") -> None:
        super().__init__()
        if depth not in _LAYOUTS:
            raise RecipeError(f"resnet for ImageNet: no layout of depth {depth}; choose {', '.join(map(str, _LAYOUTS))}")
        if stem not in ("imagenet", "cifar"):
            raise RecipeError(f"resnet for ImageNet: no stem is named {stem!r}; choose 'imagenet' or 'cifar'")
        block, blocks = _LAYOUTS[depth]
        if stem == "imagenet":
            self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
            self.maxpool: nn.Module = nn.MaxPool2d(3, stride=2, padding=1)
        else:
            self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
            self.maxpool = nn.Identity()
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        grown = block.expansion
        self.layer1 = _stage(block, 64, 64, stride=1, blocks=blocks[0])
        self.layer2 = _stage(block, 64 * grown, 128, stride=2, blocks=blocks[1])
        self.layer3 = _stage(block, 128 * grown, 256, stride=2, blocks=blocks[2])
        self.layer4 = _stage(block, 256 * grown, 512, stride=2, blocks=blocks[3])
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512 * grown, num_classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        out: Tensor = self.fc(self.avgpool(x).flatten(1))
        return out


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut: relu(bn2(conv2(relu(bn1(conv1(x))))) + shortcut(x))."""

    expansion = 1  # output channels, as a multiple of `width`

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(inputs, width, stride)
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        out: Tensor = self.relu2(self.bn2(self.conv2(y)) + self.downsample(x))
        return out


class Bottleneck(nn.Module):
    """A 1x1, a 3x3 and a 1x1 convolution, the last four times as wide, and a shortcut around all three."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu2 = nn.ReLU()
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _shortcut(inputs, 4 * width, stride)
        self.relu3 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu1(self.bn1(self.conv1(x)))
        y = self.relu2(self.bn2(self.conv2(y)))
        out: Tensor = self.relu3(self.bn3(self.conv3(y)) + self.downsample(x))
        return out


_LAYOUTS: dict[int, tuple[type[BasicBlock] | type[Bottleneck], tuple[int, int, int, int]]] = {
    18: (BasicBlock, (2, 2, 2, 2)),
    34: (BasicBlock, (3, 4, 6, 3)),
    50: (Bottleneck, (3, 4, 6, 3)),
}


def _shortcut(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return a 1x1 convolution and a norm where the shape changes, else nothing (an empty sequence passes its input on)."""
    if stride == 1 and inputs == outputs:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))


def _stage(block: type[BasicBlock] | type[Bottleneck], inputs: int, width: int, *, stride: int, blocks: int) -> nn.Sequential:
    outputs = width * block.expansion
    return nn.Sequential(block(inputs, width, stride), *(block(outputs, width, 1) for _ in range(blocks - 1)))

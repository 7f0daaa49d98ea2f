"""Small networks of the families that freeze, and how their torch and reference runs are compared."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

import quantizable as qz
from quantizable.graph import IntegerConv, IntegerLinear, IntegerModel, trace
from quantizable.models import build
from quantizable.network import QuantizedLayer, quantized_layers

MODES = ("w8a8", "w4a4", "w2a4", "w1a1")


class InvertedResidual(nn.Module):
    """As in MobileNetV2: 1x1 up, 3x3 depthwise, 1x1 down without activation, twice, the second with a skip; ReLU6."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(inplace=True))
        self.first, self.second = self._block(8, 8, 2), self._block(8, 8, 1)
        self.head = nn.Linear(8, 5)

    @staticmethod
    def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
        width = 3 * inputs
        return nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU6(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, groups=width, bias=False), nn.BatchNorm2d(width), nn.ReLU6(inplace=True),
            nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(self.stem(x))
        x = x + self.second(x)
        out: Tensor = self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))
        return out


class SqueezeExcite(nn.Module):
    """As in MobileNetV3: hardswish, and channels gated by a hard sigmoid of their means."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(12)
        self.down, self.up = nn.Conv2d(12, 4, 1), nn.Conv2d(4, 12, 1)
        self.last = nn.Conv2d(12, 6, 5, padding="same")
        self.act, self.relu, self.gate = nn.Hardswish(), nn.ReLU(), nn.Hardsigmoid()
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.bn(self.conv(x)))
        x = x * self.gate(self.up(self.relu(self.down(x.mean((2, 3), keepdim=True)))))
        out: Tensor = self.fc(F.silu(self.last(x)).mean((2, 3)))
        return out


class DenseBlock(nn.Module):
    """As in DenseNet: norm, ReLU, convolution, everything before it concatenated; average pooling between."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 6, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(width) for width in (6, 10))
        self.convs = nn.ModuleList(nn.Conv2d(width, 4, 3, padding=1, bias=False) for width in (6, 10))
        self.norm = nn.BatchNorm2d(14)
        self.pool = nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False)
        self.fc = nn.Linear(14, 5)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.conv0(x)]
        for norm, conv in zip(self.norms, self.convs, strict=True):
            parts.append(conv(F.relu(norm(torch.cat(parts, 1)))))
        x = self.pool(F.relu(self.norm(torch.cat(parts, 1)), inplace=True))
        out: Tensor = self.fc(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))
        return out


class ConvNextBlock(nn.Module):
    """As in ConvNeXt: 7x7 depthwise, layer norm over the channels, linear, GELU, linear, a scale per channel, skip."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 2, stride=2)
        self.mix = nn.Conv2d(8, 8, 7, padding=3, groups=8)
        self.norm = nn.LayerNorm(8, eps=1e-6)
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)
        self.act = nn.GELU()
        self.scale = nn.Parameter(torch.ones(8, 1, 1))
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        y = self.norm(self.mix(x).permute(0, 2, 3, 1))
        y = self.down(self.act(self.up(y))).permute(0, 3, 1, 2)
        out: Tensor = self.head((x + self.scale * y).mean((2, 3)))
        return out


class Vgg(nn.Module):
    """As VGG: convolutions with bias and ReLU, max pooling, linear layers behind a fixed grid of means."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2, 2), nn.Conv2d(6, 8, 3, padding=1),
            nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        )  # fmt: skip
        self.avgpool = nn.AdaptiveAvgPool2d((2, 3))
        self.classifier = nn.Sequential(nn.Linear(48, 10), nn.ReLU(True), nn.Dropout(), nn.Linear(10, 5))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))
        return out


class Sequence1d(nn.Module):
    """Convolutions over one axis: dilated, grouped, used twice; a one-axis norm and pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 8, 5, padding=2, dilation=2)
        self.twice = nn.Conv1d(8, 8, 3, padding=1, groups=4)
        self.norm = nn.BatchNorm1d(8)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.conv(x.flatten(2))))
        x = torch.tanh(self.twice(torch.sigmoid(self.twice(F.max_pool1d(x, 3, 2)))))
        a, b = x.chunk(2, 1)
        out: Tensor = self.fc(torch.cat([b - 0.5 * a, a / 3], 1).mean(-1))
        return out


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet8": lambda: build("resnet8", num_classes=5, width=0.5),
    "digits_net": lambda: build("digits_net", num_classes=5, width=0.25, in_channels=3),
    "mobilenet_v2": InvertedResidual,
    "squeeze_excite": SqueezeExcite,
    "densenet": DenseBlock,
    "convnext": ConvNextBlock,
    "vgg": Vgg,
    "sequence": Sequence1d,
}


def images(n: int, size: tuple[int, int], seed: int = 1) -> Tensor:
    """Return signed images, float32 (n, 3, *size)."""
    return torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(seed))


def made(name: str, size: tuple[int, int] = (17, 14), modes: tuple[str, ...] = MODES) -> nn.Module:
    """Return a network of NETWORKS with drawn weights and norms, converted, calibrated on images of `size`, in evaluation."""
    torch.manual_seed(7)
    network = NETWORKS[name]().eval()
    with torch.no_grad():
        for key, tensor in network.state_dict().items():
            if key.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.2)
            elif key.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.ndim == 1 and key.endswith("weight"):
                tensor.uniform_(0.5, 1.5)
    x = images(8, size, seed=2)
    converted = qz.convert(network, modes, example=x).eval()
    qz.calibrate(converted, [x])
    return converted


def torch_units(network: nn.Module, x: Tensor, mode: str) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Return (logits, {layer: its output, a unit's with its norm}) of `network` in `mode`; calls after the first are ``layer@n``."""
    found: dict[str, NDArray[np.float32]] = {}

    def hook(module: QuantizedLayer, args: object, out: Tensor) -> None:
        name, count = module._layer_name, sum(key.split("@")[0] == module._layer_name for key in found)
        found[f"{name}@{count}" if count else name] = out.numpy().copy()

    handles = [layer.register_forward_hook(hook) for layer in quantized_layers(network).values()]
    with torch.no_grad(), qz.use_mode(network, mode):
        logits = network(x).numpy()
    for handle in handles:
        handle.remove()
    return logits, found


def reference_units(model: IntegerModel, x: Tensor, mode: str) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Return (logits, {layer: its output}) of the reference."""
    edges = trace(model, x.numpy(), mode)
    return edges[model.output], {node.name: edges[node.name] for node in model.nodes if isinstance(node, IntegerConv | IntegerLinear)}

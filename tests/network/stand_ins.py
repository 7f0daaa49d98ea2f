"""Classes with the names, attributes and arithmetic of timm's and torchvision's, so that no test needs those packages."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def _called(module: str) -> type:
    def rename(cls: type) -> type:
        cls.__module__ = module
        return cls

    return rename  # type: ignore[return-value]


def _pad_same(x: Tensor, layer: nn.Conv2d) -> Tensor:
    pads: list[int] = []
    for axis in (1, 0):
        size, stride = x.shape[2 + axis], layer.stride[axis]
        total = max((-(-size // stride) - 1) * stride + (layer.kernel_size[axis] - 1) * layer.dilation[axis] + 1 - size, 0)
        pads += [total // 2, total - total // 2]
    return F.pad(x, pads)


@_called("timm.layers.conv2d_same")
class Conv2dSame(nn.Conv2d):
    """As many zeros as TensorFlow pads, found from the size of the input."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(_pad_same(x, self), self.weight, self.bias, self.stride, (0, 0), self.dilation, self.groups)


@_called("timm.layers.std_conv")
class ScaledStdConv2d(nn.Conv2d):
    """Weights standardised per output channel, times a learned gain."""

    def __init__(self, inputs: int, outputs: int, kernel: int, **options: int) -> None:
        super().__init__(inputs, outputs, kernel, **options)  # type: ignore[arg-type]
        self.gain = nn.Parameter(torch.ones(outputs, 1, 1, 1))
        self.scale, self.eps = self.weight[0].numel() ** -0.5, 1e-6

    def standardised(self) -> Tensor:
        rows, gain = self.weight.reshape(1, self.out_channels, -1), (self.gain * self.scale).view(-1)
        return F.batch_norm(rows, None, None, gain, training=True, momentum=0.0, eps=self.eps).reshape_as(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.standardised(), self.bias, self.stride, self.padding, self.dilation, self.groups)


@_called("timm.layers.std_conv")
class ScaledStdConv2dSame(ScaledStdConv2d):
    """The same with padding found from the size of the input, or known before."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, same_pad: bool, **options: int) -> None:
        super().__init__(inputs, outputs, kernel, **options)
        self.same_pad = same_pad

    def forward(self, x: Tensor) -> Tensor:
        x = _pad_same(x, self) if self.same_pad else x
        return F.conv2d(x, self.standardised(), self.bias, self.stride, self.padding, self.dilation, self.groups)


@_called("timm.layers.norm_act")
class BatchNormAct2d(nn.BatchNorm2d):
    """A batch norm, then drop and activation."""

    def __init__(self, channels: int, act: nn.Module) -> None:
        super().__init__(channels)
        self.drop, self.act = nn.Identity(), act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(super().forward(x)))  # type: ignore[no-any-return]


class _Frozen(nn.Module):
    def __init__(self, channels: int, act: nn.Module | None = None) -> None:
        super().__init__()
        self.eps = 1e-5
        for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.0), ("running_var", 1.0)):
            self.register_buffer(name, torch.full((channels,), value))
        if act is not None:
            self.drop, self.act = nn.Identity(), act

    def normalised(self, x: Tensor) -> Tensor:
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return x * scale.view(1, -1, 1, 1) + (self.bias - self.running_mean * scale).view(1, -1, 1, 1)


@_called("torchvision.ops.misc")
class FrozenBatchNorm2d(_Frozen):
    """Statistics and affine are buffers."""

    def forward(self, x: Tensor) -> Tensor:
        return self.normalised(x)


@_called("timm.layers.norm_act")
class FrozenBatchNormAct2d(_Frozen):
    """The same, then drop and activation."""

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.drop(self.normalised(x)))  # type: ignore[no-any-return]

"""Layers that multiply by weights, made switchable: convolutions and linear layers of torch, and relatives of timm.

A layer keeps its class's behaviour in fp32 and its place, name, hooks, and parameters (see switchable.py). A new kind of layer
is one row in KINDS.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quantizable.errors import CalibrationError
from quantizable.network.norms import BitSpecificNorm
from quantizable.network.quantizers import ActivationQuantizer, Codes, WeightQuantizer
from quantizable.network.switchable import Switchable
from quantizable.network.unit import unit

_PRE_ACTIVATION = "_quantizable_pre_activation"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one class of layers computes: its operation without bias, its weight, and where the channels are.

    operate: (layer, input, weight) -> output without bias; padding adds zeros.
    weight: layer -> the float weight that multiplies the input, (out, ...).
    channel_dim: axis of the channels in input and output, 1 or -1.
    n_inputs: layer -> channels of the input.
    """

    operate: Callable[[Any, Tensor, Tensor], Tensor]
    weight: Callable[[Any], Tensor]
    channel_dim: int
    n_inputs: Callable[[Any], int]


class QuantizedLayer(Switchable):
    """What every switchable layer adds to its own class; `convert` sets these attributes."""

    _layer_name: str
    _kind: Kind
    _bits: dict[str, tuple[int, int]]  # mode name -> (weight bits, activation bits)
    _norm: tuple[BitSpecificNorm, ...]  # the norm computed together with the layer; a tuple, so that it is no child
    weight_quantizer: WeightQuantizer
    input_quantizers: nn.ModuleDict
    bias: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output in the mode of its Switch: (N, ...) in the dtype of `x`."""
        mode = self._switch.mode
        if mode.is_float:
            return super().forward(x)  # type: ignore[no-any-return]
        with torch.autocast(x.device.type, enabled=False):
            return self._integer_forward(x, mode.name).to(x.dtype)

    def _integer_forward(self, x: Tensor, mode: str) -> Tensor:
        weight_bits, bits = self._bits[mode]
        codes = self.input_codes(x, mode)
        weight = self._kind.weight(self).float()
        integers = self.weight_quantizer(weight, mode, weight_bits)
        norm = self._norm[0].of(mode) if self._norm else None
        bound = weight[0].numel() * (2**weight_bits - 1)

        def operate(q: Tensor, v: Tensor) -> Tensor:
            return self._kind.operate(self, q, v)

        bias = None if self.bias is None else self.bias.float()
        return unit(operate, codes, integers, bias, norm, bound=bound, bits=bits, axis=self._kind.channel_dim)

    def input_codes(self, x: Tensor, mode: str, quantizers: nn.ModuleDict | None = None) -> Codes:
        """Return the codes of the input; a step not yet estimated is taken from this batch when the layer trains.

        Raises:
            CalibrationError: no step yet, and the layer is in evaluation.
        """
        quantizer = (self.input_quantizers if quantizers is None else quantizers)[mode]
        assert isinstance(quantizer, ActivationQuantizer)
        before_relu = getattr(x, _PRE_ACTIVATION, None) if quantizer.reads_pre_activation else None
        if not quantizer.is_ready:
            if not self.training:
                raise CalibrationError(f"{self._layer_name}: no step in mode {mode}; call calibrate(network, loader), or train first")
            _estimate(quantizer, x.float(), x if before_relu is None else before_relu)
        codes: Codes = quantizer((x if before_relu is None else before_relu).float())
        return codes


class QuantizedReLU(Switchable):
    """A ReLU that hands the value before it on to the quantizers behind it.

    A quantizer with z = 0 clips at zero itself; given the value before the ReLU its gradient window reaches both sides of the
    lowest threshold. What other readers get is unchanged. Only the gradient differs, so evaluation does without.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return max(x, 0), shape and dtype of `x`."""
        if self._switch.mode.is_float or not torch.is_grad_enabled() or torch.compiler.is_compiling():
            return super().forward(x)  # type: ignore[no-any-return]
        out = F.relu(x)
        setattr(out, _PRE_ACTIVATION, x)
        return out


def kind_of(module: nn.Module) -> Kind | str:
    """Return how `module` multiplies by weights, or why it cannot be quantized."""
    for base in type(module).__mro__:
        kind = KINDS.get(f"{base.__module__}.{base.__qualname__}")
        if kind is None:
            continue
        if type(module).forward is not base.forward:
            return f"{type(module).__name__} has a forward of its own"
        if getattr(module, "padding_mode", "zeros") != "zeros":
            return f"padding_mode {module.padding_mode!r} is not zeros"
        return kind
    return f"{type(module).__name__} is no layer that multiplies by weights"


def multiply(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
    """Return the product x W^T over the last axis."""
    return F.linear(x, weight)


def _estimate(quantizer: ActivationQuantizer, x: Tensor, source: Tensor) -> None:
    quantizer.estimate(source.float(), is_signed=source is x and bool((x < 0).any()))
    if torch.distributed.is_available() and torch.distributed.is_initialized():  # all processes start from one step
        for tensor in (*quantizer.parameters(), *quantizer.buffers()):
            torch.distributed.broadcast(tensor.data, 0)


def _convolve(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
    convolution = (F.conv1d, F.conv2d, F.conv3d)[weight.ndim - 3]
    return convolution(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)


def _convolve_same(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
    """Convolve with as many zeros around as give ceil(size / stride) outputs, one more behind than before where odd."""
    pads: list[int] = []
    for axis in (3, 2):  # F.pad counts from the last axis
        stride, dilation, kernel = layer.stride[axis - 2], layer.dilation[axis - 2], weight.shape[axis]
        outputs = -(-x.shape[axis] // stride)
        total = max((outputs - 1) * stride + (kernel - 1) * dilation + 1 - x.shape[axis], 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), weight, None, layer.stride, 0, layer.dilation, layer.groups)


def _weight(layer: Any) -> Tensor:
    return layer.weight  # type: ignore[no-any-return]


def _standardised(layer: Any) -> Tensor:
    return layer.get_weight()  # type: ignore[no-any-return]


def _in_features(layer: Any) -> int:
    return layer.in_features  # type: ignore[no-any-return]


def _in_channels(layer: Any) -> int:
    return layer.in_channels  # type: ignore[no-any-return]


_CONVOLUTION = Kind(_convolve, _weight, 1, _in_channels)
KINDS: dict[str, Kind] = {  # by name, so that timm need not be there
    "torch.nn.modules.conv.Conv1d": _CONVOLUTION,
    "torch.nn.modules.conv.Conv2d": _CONVOLUTION,
    "torch.nn.modules.conv.Conv3d": _CONVOLUTION,
    "torch.nn.modules.linear.Linear": Kind(multiply, _weight, -1, _in_features),
    "timm.layers.conv2d_same.Conv2dSame": Kind(_convolve_same, _weight, 1, _in_channels),
    "timm.layers.std_conv.ScaledStdConv2d": Kind(_convolve, _standardised, 1, _in_channels),
    "timm.layers.std_conv.ScaledStdConv2dSame": Kind(_convolve_same, _standardised, 1, _in_channels),
}

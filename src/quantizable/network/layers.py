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
from quantizable.network import fused
from quantizable.network.handover import Grid, has_codes, relu_with_codes
from quantizable.network.norms import BitSpecificNorm
from quantizable.network.quantizers import ActivationQuantizer, Codes, WeightQuantizer
from quantizable.network.quantizers.nested import NestedActivationQuantizer, NestedWeightQuantizer
from quantizable.network.switchable import Switchable
from quantizable.network.unit import Norm, unit

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
    _widths: tuple[int, ...]  # the weight bits of all modes, which are coded together
    _norm: tuple[BitSpecificNorm, ...]  # the norm computed together with the layer; a tuple, so that it is no child
    weight_quantizer: WeightQuantizer
    input_quantizers: nn.ModuleDict
    _reads_relu: bool  # True: the input is a ReLU's, which leaves the clipping at zero to the quantizer
    _next_quantizers: tuple[nn.ModuleDict, ...]  # of the layer that reads the output, one or none; a tuple, so that it is no child
    _n_axes: int  # of the weight, and of a batch: an input with one less is a single image or vector
    bias: Tensor | None

    def forward(self, input: Tensor) -> Tensor:  # named as in torch's own layers: some networks call by keyword
        """Return the layer's output in the mode of its Switch: (N, ...) in the dtype of `input`."""
        mode = self._switch.mode
        if mode.is_float:
            return self._float_forward(input)
        with torch.autocast(input.device.type, enabled=False):
            if input.ndim < self._n_axes:
                return self._integer_forward(input.unsqueeze(0), mode.name).squeeze(0).to(input.dtype)
            return self._integer_forward(input, mode.name).to(input.dtype)

    def _float_forward(self, x: Tensor) -> Tensor:
        """Return what the layer's own class does; in training its gradients may be multiplied in bfloat16."""
        layer: Any = self
        if self.training and self._kind == _CONVOLUTION and not isinstance(layer.padding, str) and fused.speeds_up(x, layer.weight):
            geometry = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups}
            return fused.float_convolution(x, layer.weight, self.bias, **geometry)
        return super().forward(x)  # type: ignore[no-any-return]

    def _integer_forward(self, x: Tensor, mode: str) -> Tensor:
        weight_bits, bits = self._bits[mode]
        quantizer, x = self.ready_input(x, mode)
        norm = self._norm[0].of(mode) if self._norm else None
        y = self._fused(x.float(), quantizer, mode, norm)
        if y is not None:
            return y
        codes: Codes = quantizer(x.float())
        weight = self._kind.weight(self).float()
        integers = self.weight_quantizer(weight, mode, weight_bits)
        bound = weight[0].numel() * (2**weight_bits - 1)

        def operate(q: Tensor, v: Tensor) -> Tensor:
            return self._kind.operate(self, q, v)

        bias = None if self.bias is None else self.bias.float()
        return unit(operate, codes, integers, bias, norm, bound=bound, bits=bits, axis=self._kind.channel_dim)

    def ready_input(self, x: Tensor, mode: str, quantizers: nn.ModuleDict | None = None) -> tuple[ActivationQuantizer, Tensor]:
        """Return the quantizer of the input and what it takes: `x`, or the value before the ReLU that made `x`.

        A step not yet estimated is taken from this batch when the layer trains.

        Raises:
            CalibrationError: no step yet, and the layer is in evaluation.
        """
        quantizer = (self.input_quantizers if quantizers is None else quantizers)[mode]
        assert isinstance(quantizer, ActivationQuantizer)
        before_relu = _before_relu(x) if quantizer.reads_pre_activation and not quantizer.is_signed else None
        source = x if before_relu is None else before_relu
        if not quantizer.is_ready:
            if not self.training:
                raise CalibrationError(f"{self._layer_name}: no step in mode {mode}; call calibrate(network, loader), or train first")
            if not bool(torch.isfinite(source).all()):
                raise CalibrationError(f"{self._layer_name}: its input in mode {mode} is not finite; check the float network and the data")
            is_signed = before_relu is None and not self._reads_relu and bool((x < 0).any())
            _estimate(quantizer, source.float(), is_signed=is_signed)
        return quantizer, source

    def _fused(self, x: Tensor, quantizer: ActivationQuantizer, mode: str, norm: Norm | None) -> Tensor | None:
        """Return the unit's output from fused.py, or None where that does not reach."""
        layer: Any = self
        if type(quantizer) is not NestedActivationQuantizer or torch.compiler.is_compiling() or not takes_codes(self):
            return None
        assert isinstance(self.weight_quantizer, NestedWeightQuantizer)
        if not fused.is_available() or not fused.fits(x, layer.weight, norm):
            return None
        if x.shape[1] != layer.in_channels:  # torch's own words for the wrong number
            return None
        return fused.fused_unit(
            x, layer.weight, layer.bias, norm,
            channel_range=self.weight_quantizer.channel_range, weight_bits=self._bits[mode][0], all_bits=self._widths,
            log_step=quantizer.log_step, zero_point=float(quantizer.zero_point), activation_bits=quantizer.bits,
            window=quantizer.window, next_grid=_next_grid(self._next_quantizers, mode, layer.out_channels),
            stride=layer.stride, padding=layer.padding, dilation=layer.dilation, groups=layer.groups,
        )  # fmt: skip


class QuantizedReLU(Switchable):
    """A ReLU that hands the value before it on to the quantizers behind it.

    A quantizer with z = 0 clips at zero itself; given the value before the ReLU its gradient window reaches both sides of the
    lowest threshold, and its estimate knows how far values lie below. What other readers get is unchanged.
    """

    _next_quantizers: tuple[nn.ModuleDict, ...]  # as in QuantizedLayer
    _is_needless: bool  # True: only such quantizers read the output, so that in integer modes the input can stand for it

    def forward(self, input: Tensor) -> Tensor:
        """Return max(input, 0), shape and dtype of `input`; `input` itself where the readers clip."""
        if self._switch.mode.is_float or torch.compiler.is_compiling():
            return super().forward(input)  # type: ignore[no-any-return]
        if self._is_needless and not self._forward_hooks:  # a hook is a reader
            return input
        if torch.is_inference_mode_enabled() or input.is_inference():  # those tensors count no versions
            return super().forward(input)  # type: ignore[no-any-return]
        grid = _next_grid(self._next_quantizers, self._switch.mode.name, input.shape[1]) if fused.is_plain(input) else None
        if grid is not None and fused.is_available() and not has_codes(input):
            out = relu_with_codes(input, grid, fused.gradient_dtype())
        else:
            out = F.relu(input)
        setattr(out, _PRE_ACTIVATION, (input, input._version, out._version))
        return out


def takes_codes(layer: QuantizedLayer) -> bool:
    """Return True where the layer can compute from codes that were made for it."""
    is_nested = type(layer.weight_quantizer) is NestedWeightQuantizer
    return is_nested and layer._kind == _CONVOLUTION and not isinstance(layer.padding, str)


def kind_of(module: nn.Module) -> Kind | str:
    """Return how `module` multiplies by weights, or why it cannot be quantized."""
    for base in type(module).__mro__:
        kind = KINDS.get(f"{base.__module__}.{base.__qualname__}")
        if kind is None:
            continue
        if _has_own(module, base, "forward") or _has_own(module, base, "_conv_forward"):
            return f"{type(module).__name__} has a forward of its own"
        if getattr(module, "padding_mode", "zeros") != "zeros":
            return f"padding_mode {module.padding_mode!r} is not zeros"
        return kind
    return f"{type(module).__name__} is none of the classes that can be quantized"


def multiply(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
    """Return the product x W^T over the last axis."""
    return F.linear(x, weight)


def _has_own(module: nn.Module, base: type, method: str) -> bool:
    """Return True where `module` or its class replaces a method of `base`, which then may compute something else."""
    return method in module.__dict__ or getattr(type(module), method, None) is not getattr(base, method, None)


def _next_grid(quantizers: tuple[nn.ModuleDict, ...], mode: str, n_channels: int) -> Grid | None:
    """Return the grid of the layer that will read an output, None where there is none or it has no step yet."""
    if torch.is_inference_mode_enabled():  # codes are told from old ones by versions, which are not counted then
        return None
    for quantizer in (of_modes[mode] for of_modes in quantizers if mode in of_modes):
        if type(quantizer) is NestedActivationQuantizer and quantizer.is_ready and quantizer.n_channels == n_channels:
            return Grid(quantizer.log_step, float(quantizer.zero_point), quantizer.bits, quantizer.window)
    return None


def _before_relu(x: Tensor) -> Tensor | None:
    """Return the value before the ReLU that made `x`, or None; also None where either was changed in place since."""
    before, version, own_version = getattr(x, _PRE_ACTIVATION, (None, 0, 0))
    return before if before is not None and before._version == version and x._version == own_version else None


def _estimate(quantizer: ActivationQuantizer, x: Tensor, *, is_signed: bool) -> None:
    quantizer.estimate(x, is_signed=is_signed)
    if torch.distributed.is_available() and torch.distributed.is_initialized():  # all processes start from one step
        for tensor in (*quantizer.parameters(), *quantizer.buffers()):
            torch.distributed.broadcast(tensor.data, 0)


def _convolve(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
    convolution = (F.conv1d, F.conv2d, F.conv3d)[weight.ndim - 3]
    return convolution(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)


def _convolve_same(layer: Any, x: Tensor, weight: Tensor) -> Tensor:
    """Convolve with as many zeros around as give ceil(size / stride) outputs, one more behind than before where odd."""
    if not getattr(layer, "same_pad", True):  # timm: its padding was known when the layer was made
        return _convolve(layer, x, weight)
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
    """Return the weight with mean 0 and variance 1 in each output channel, times the channel's gain where it has one."""
    rows = layer.weight.reshape(1, layer.out_channels, -1)
    gain = (layer.gain * layer.scale).view(-1) if hasattr(layer, "gain") else None
    return F.batch_norm(rows, None, None, gain, training=True, momentum=0.0, eps=layer.eps).reshape_as(layer.weight)


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
    "timm.layers.linear.Linear": Kind(multiply, _weight, -1, _in_features),
    "timm.layers.conv2d_same.Conv2dSame": Kind(_convolve_same, _weight, 1, _in_channels),
    "timm.layers.std_conv.StdConv2d": Kind(_convolve, _standardised, 1, _in_channels),
    "timm.layers.std_conv.StdConv2dSame": Kind(_convolve_same, _standardised, 1, _in_channels),
    "timm.layers.std_conv.ScaledStdConv2d": Kind(_convolve, _standardised, 1, _in_channels),
    "timm.layers.std_conv.ScaledStdConv2dSame": Kind(_convolve_same, _standardised, 1, _in_channels),
}

"""What one layer or norm holds in each mode, in the form of the graph: codes of weights, steps, m and t.

The numbers are those of network/unit.py: m and t in float64, rounded once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quantizable.errors import CalibrationError, FreezeError
from quantizable.graph import FLOAT_MODE, AffineTable, QuantizeTable, UnitTable
from quantizable.network import ActivationQuantizer, BitSpecificNorm, QuantizedLayer, fold

F32 = NDArray[np.float32]


def codes_of(layer: QuantizedLayer) -> NDArray[np.uint8]:
    """Return the 8-bit codes of a layer's weights, in the weight's shape; its quantizer is of the family "nested"."""
    mode = next(iter(layer._bits))
    integers = layer.weight_quantizer(float_weight_of(layer), mode, 8).values
    codes = (integers + 255) / 2  # v = 2 code + 1 - 2^8
    assert bool((codes == codes.round()).all()), layer._layer_name
    stored: NDArray[np.uint8] = codes.numpy().astype(np.uint8)
    return stored


def float_weight_of(layer: QuantizedLayer) -> Tensor:
    """Return the float weight that multiplies the input, float32 (out, ...)."""
    weight: Tensor = layer._kind.weight(layer)
    return weight.detach().float().cpu().contiguous()


def quantize_table(layer: QuantizedLayer, mode: str) -> QuantizeTable:
    """Return bits, step, and zero point of a layer's input in one mode.

    Raises:
        CalibrationError: the mode has no step yet.
    """
    quantizer = layer.input_quantizers[mode]
    assert isinstance(quantizer, ActivationQuantizer)
    if not quantizer.is_ready:
        raise CalibrationError(f"{layer._layer_name}: no step in mode {mode}; call calibrate(network, loader), or train first")
    zero = torch.zeros((1, quantizer.n_channels), device=quantizer.zero_point.device)
    codes = quantizer(zero)
    return QuantizeTable(quantizer.bits, float(codes.step), float(codes.zero_point))


def unit_table(layer: QuantizedLayer, mode: str, inputs: QuantizeTable, *, is_padded: bool) -> UnitTable:
    """Return m and t of a layer and the norm it takes in, in one integer mode.

    Raises:
        FreezeError: the norm has no running statistics.
    """
    bits = layer._bits[mode][0]
    values, scale = layer.weight_quantizer(float_weight_of(layer), mode, bits)
    norm = _norm_of(layer._norm[0], mode, f"the norm behind {layer._layer_name}") if layer._norm else None
    multiplier, offset = fold(torch.tensor(inputs.step), scale, _bias(layer), norm)
    if inputs.zero_point == 0:
        return UnitTable(bits, _float32(multiplier), _float32(offset))
    taps = values.flatten(1).double().sum(1).float().double()  # V, rounded to float32 as in the network
    inside = offset - multiplier * inputs.zero_point * taps
    exact = torch.stack((multiplier, offset)).numpy() if is_padded else None
    return UnitTable(bits, _float32(multiplier), _float32(inside), exact)


def float_table(layer: QuantizedLayer) -> UnitTable:
    """Return m and t of a layer and the norm it takes in, in fp32: bias and norm alone."""
    norm = _norm_of(layer._norm[0], FLOAT_MODE, f"the norm behind {layer._layer_name}") if layer._norm else None
    ones = torch.ones(len(float_weight_of(layer)))
    multiplier, offset = fold(torch.tensor(1.0), ones, _bias(layer), norm)
    return UnitTable(32, _float32(multiplier), _float32(offset))


def affine_table(norm: BitSpecificNorm, mode: str, path: str) -> AffineTable:
    """Return m and t of a norm that no layer takes in, in one mode.

    Raises:
        FreezeError: the norm has no running statistics.
    """
    own = _norm_of(norm, mode, path)
    ones = torch.ones(len(own.running_mean))
    multiplier, offset = fold(torch.tensor(1.0), ones, None, own)
    return AffineTable(_float32(multiplier), _float32(offset))


def _norm_of(norm: BitSpecificNorm, mode: str, where: str) -> Any:
    own: Any = norm.of(mode)
    if own.running_mean is None:
        raise FreezeError(f"{where}: has no running statistics; make it with track_running_stats=True, and train or calibrate")
    return own


def _bias(layer: QuantizedLayer) -> Tensor | None:
    return None if layer.bias is None else layer.bias.detach().float().cpu()


def _float32(values: Tensor) -> F32:
    return values.detach().float().numpy()

"""Any nn.Module -> quantizable network: plan, convert, switch, describe, save.

layers, norms, attention: what modules become; unit: the arithmetic; quantizers/: one file a family; trace: what follows what.
"""

from __future__ import annotations

from quantizable.network.checkpoint import LoadReport, checksum, load, load_float, save
from quantizable.network.convert import add_mode, conversion_of, convert, quantized_layers, remove_mode
from quantizable.network.describe import LayerReport, describe, layer_reports
from quantizable.network.fused import set_gradient_dtype
from quantizable.network.layers import QuantizedLayer
from quantizable.network.norms import BitSpecificNorm
from quantizable.network.plan import Plan, Structure, nearest
from quantizable.network.quantizers import QUANTIZERS, ActivationQuantizer, WeightQuantizer
from quantizable.network.switch import at, get_mode, modes_of, set_mode, switch_of, unwrap, use_mode
from quantizable.network.unit import fold

__all__ = [
    "QUANTIZERS",
    "ActivationQuantizer",
    "BitSpecificNorm",
    "LayerReport",
    "LoadReport",
    "Plan",
    "QuantizedLayer",
    "Structure",
    "WeightQuantizer",
    "add_mode",
    "at",
    "checksum",
    "conversion_of",
    "convert",
    "describe",
    "fold",
    "get_mode",
    "layer_reports",
    "load",
    "load_float",
    "modes_of",
    "nearest",
    "quantized_layers",
    "remove_mode",
    "save",
    "set_gradient_dtype",
    "set_mode",
    "switch_of",
    "unwrap",
    "use_mode",
]

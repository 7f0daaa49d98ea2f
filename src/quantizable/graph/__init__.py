"""A frozen network as plain data, and what it computes.

model, nodes: IntegerModel and its operations; reference: the law in numpy, with functions and borders; check: proves a model sound.
"""

from __future__ import annotations

from quantizable.graph.accumulators import accumulator_bounds
from quantizable.graph.borders import Borders, borders_of, int_weights, offsets, out_size
from quantizable.graph.check import check
from quantizable.graph.functions import ERROR_BOUNDS, EXP_ERROR_BOUND, FUNCTIONS
from quantizable.graph.model import FLOAT_MODE, INPUT, FloatWeight, InputSpec, IntegerModel, WeightCodes, equal
from quantizable.graph.nodes import (
    NODE_KINDS,
    Activation,
    AdaptiveAvgPool,
    Add,
    Affine,
    AffineTable,
    AvgPool,
    Clip,
    Concat,
    Constant,
    Div,
    Flatten,
    GlobalMean,
    IntegerConv,
    IntegerLinear,
    LayerNorm,
    MaxPool,
    Mul,
    Node,
    Pad,
    Quantize,
    QuantizeTable,
    Reshape,
    Slice,
    Softmax,
    Transpose,
    UnitTable,
    sources_of,
)
from quantizable.graph.reference import input_table, quantize, ready_input, run, trace
from quantizable.graph.shapes import shapes_of
from quantizable.graph.windows import Window, adaptive_windows, n_windows, pool_windows

__all__ = [
    "ERROR_BOUNDS",
    "EXP_ERROR_BOUND",
    "FLOAT_MODE",
    "FUNCTIONS",
    "INPUT",
    "NODE_KINDS",
    "Activation",
    "AdaptiveAvgPool",
    "Add",
    "Affine",
    "AffineTable",
    "AvgPool",
    "Borders",
    "Clip",
    "Concat",
    "Constant",
    "Div",
    "Flatten",
    "FloatWeight",
    "GlobalMean",
    "InputSpec",
    "IntegerConv",
    "IntegerLinear",
    "IntegerModel",
    "LayerNorm",
    "MaxPool",
    "Mul",
    "Node",
    "Pad",
    "Quantize",
    "QuantizeTable",
    "Reshape",
    "Slice",
    "Softmax",
    "Transpose",
    "UnitTable",
    "WeightCodes",
    "Window",
    "accumulator_bounds",
    "adaptive_windows",
    "borders_of",
    "check",
    "equal",
    "input_table",
    "int_weights",
    "n_windows",
    "offsets",
    "out_size",
    "pool_windows",
    "quantize",
    "ready_input",
    "run",
    "shapes_of",
    "sources_of",
    "trace",
]

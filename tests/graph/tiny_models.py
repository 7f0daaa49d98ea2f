"""Tiny IntegerModels made by hand, and drawn ones, for the tests of this room."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from numpy.typing import NDArray

from quantizable.graph import (
    Activation,
    Flatten,
    FloatWeight,
    InputSpec,
    IntegerConv,
    IntegerLinear,
    IntegerModel,
    Quantize,
    QuantizeTable,
    UnitTable,
    WeightCodes,
    int_weights,
)
from strategies import BITS, STEPS

MODES = ("w8a8", "w2a4")
FACTORS = st.floats(2.0**-20, 2.0**4, width=32)


def tiny_model() -> IntegerModel:
    """Return codes, a 3x3 convolution, ReLU, codes, a linear layer; input (2, 5, 4) with a mean and std, modes w8a8 and w2a4."""
    rng = np.random.default_rng(5)
    conv, linear = (rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((3, 2, 3, 3), (4, 60)))
    tables = {mode: QuantizeTable(8, 0.015625, 127.5) for mode in MODES}
    hidden = {"w8a8": QuantizeTable(8, 0.0078125, 0.0), "w2a4": QuantizeTable(4, 0.125, 0.0)}
    convs = {mode: padded_table(conv, bits, 127.5, rng.uniform(0.5, 1, (2, 3)) * 1e-3) for mode, bits in (("w8a8", 8), ("w2a4", 2))}
    linears = {mode: plain_table(8, rng.uniform(0.5, 1, (2, 4)) * 1e-3) for mode in MODES}
    return IntegerModel(
        name="tiny",
        input=InputSpec((2, 5, 4), (0.5, 0.25), (0.25, 0.5)),
        modes=MODES,
        weights=(WeightCodes("conv", conv), WeightCodes("fc", linear, 8)),
        nodes=(
            Quantize("conv.input", "input", tables),
            IntegerConv("conv", "conv.input", "conv", (1, 1), ((1, 1), (1, 1)), (1, 1), 1, convs),
            Activation("relu", "conv", "relu"),
            Flatten("flat", "relu"),
            Quantize("fc.input", "flat", hidden),
            IntegerLinear("fc", "fc.input", "fc", linears),
        ),
        output="fc",
        class_names=("a", "b", "c", "d"),
    )


def with_float(model: IntegerModel) -> IntegerModel:
    """Return `model` with the mode fp32: float weights that are the codes' distance from 128."""
    floats = tuple(FloatWeight(w.name, w.codes.astype(np.float32) - 128) for w in model.weights)
    nodes = []
    for node in model.nodes:
        if isinstance(node, IntegerConv | IntegerLinear):
            table = next(iter(node.tables.values()))
            node = replace(node, tables={"fp32": UnitTable(32, table.multiplier, table.offset), **node.tables})
        nodes.append(node)
    return replace(model, modes=("fp32", *model.modes), nodes=tuple(nodes), float_weights=floats)


def plain_table(bits: int, values: NDArray[np.float64]) -> UnitTable:
    """Return the table of a layer without border classes; values: float64 (2, out), m and t."""
    return UnitTable(bits, *values.astype(np.float32))


def padded_table(codes: NDArray[np.uint8], bits: int, zero_point: float, exact: NDArray[np.float64]) -> UnitTable:
    """Return the table of a padded layer whose input has a zero point; exact: float64 (2, out)."""
    taps = int_weights(codes, bits).astype(np.int64).reshape(len(codes), -1).sum(1).astype(np.float32).astype(np.float64)
    inside = (exact[1] - exact[0] * zero_point * taps).astype(np.float32)
    return UnitTable(bits, exact[0].astype(np.float32), inside, exact)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[IntegerModel, NDArray[np.float32]]:
    """A model of one convolution over 1 or 2 axes in the one mode "w8a8", and a batch for it.

    Every geometry occurs: groups and depthwise, strides and dilations to 3, uneven padding, a kernel larger than the image.
    """
    rank, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    inside, out = draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(rank))
    dilation, stride = (tuple(draw(st.integers(1, 3)) for _ in range(rank)) for _ in range(2))
    padding = tuple((draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in range(rank))
    reach = [d * (k - 1) + 1 - sum(p) for d, k, p in zip(dilation, kernel, padding, strict=True)]
    size = tuple(max(least, 1) + draw(st.integers(0, 3)) for least in reach)
    codes = draw(arrays_of.arrays(np.uint8, (out, inside, *kernel)))
    bits, a = draw(BITS), draw(BITS)
    zero_point = draw(st.integers(0, 2 * (2**a - 1))) / 2
    quantize = Quantize("codes", "input", {"w8a8": QuantizeTable(a, draw(STEPS), zero_point)})
    exact = draw(arrays_of.arrays(np.float64, (2, out), elements=FACTORS))
    is_padded = any(map(any, padding))
    table = padded_table(codes, bits, zero_point, exact)
    if not (is_padded and zero_point):
        table = UnitTable(bits, table.multiplier, table.offset)
    conv = IntegerConv("conv", "codes", "conv", stride, padding, dilation, groups, {"w8a8": table})
    weights = (WeightCodes("conv", codes, 8 if bits == 8 else None),)
    spec = InputSpec((groups * inside, *size))
    model = IntegerModel("drawn", spec, ("w8a8",), weights, (quantize, conv), "conv")
    step = quantize.tables["w8a8"].step
    levels = draw(arrays_of.arrays(np.float32, (draw(st.integers(1, 2)), *spec.shape), elements=st.floats(-4, 2**a + 4, width=32)))
    return model, ((levels - np.float32(zero_point)) * np.float32(step)).astype(np.float32)

"""How large the integer sums of a model can grow: a bound per layer and mode from its weights, whatever the input."""

from __future__ import annotations

import numpy as np

from quantizable.errors import GraphError
from quantizable.graph.borders import int_weights
from quantizable.graph.model import FLOAT_MODE, IntegerModel
from quantizable.graph.nodes import IntegerConv, IntegerLinear, Quantize

LARGEST_SUM = 2**31 - 1


def accumulator_bounds(model: IntegerModel) -> dict[tuple[str, str], int]:
    """Return {(layer, mode): bound}: no sum of v q over any of the layer's taps, in any order, is larger in magnitude.

        bound = (2^a - 1) max over channels of max(sum of the positive v, -sum of the negative v)

    It is reached, up to padding: by the highest code at all weights of one sign, 0 elsewhere.
    """
    codes = {weight.name: weight.codes for weight in model.weights}
    nodes = {node.name: node for node in model.nodes}
    bounds = {}
    for node in model.nodes:
        if not isinstance(node, IntegerConv | IntegerLinear):
            continue
        quantizer = nodes[node.source]
        assert isinstance(quantizer, Quantize)
        for mode, table in node.tables.items():
            if mode == FLOAT_MODE:
                continue
            weight = int_weights(codes[node.weight], table.weight_bits).astype(np.int64)
            rows = weight.reshape(len(weight), -1)
            largest = max(int(np.maximum(rows, 0).sum(1).max()), int(np.maximum(-rows, 0).sum(1).max()))
            bounds[node.name, mode] = largest * (2 ** quantizer.tables[mode].bits - 1)
    return bounds


def check_accumulators(model: IntegerModel) -> None:
    """Return nothing where every integer sum fits int32.

    Raises:
        GraphError: one does not; names the layer and the mode.
    """
    for (layer, mode), bound in accumulator_bounds(model).items():
        if bound > LARGEST_SUM:
            raise GraphError(f"{model.name}: {layer}: sums reach {bound} in mode {mode}, int32 ends at {LARGEST_SUM}; use fewer bits there")

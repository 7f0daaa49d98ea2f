"""The bound of integer sums: never exceeded, reached, and refused beyond int32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from tiny_models import convolutions, tiny_model

from quantizable.errors import GraphError
from quantizable.graph import (
    Flatten,
    InputSpec,
    IntegerLinear,
    IntegerModel,
    Quantize,
    QuantizeTable,
    UnitTable,
    WeightCodes,
    accumulator_bounds,
    check,
    int_weights,
    trace,
)
from strategies import BITS


@given(drawn=convolutions())
def test_no_sum_exceeds_the_bound(drawn):
    """Promise: whatever the input, and at padded borders too."""
    model, x = drawn
    conv = model.nodes[1]
    ones = np.ones_like(conv.tables["w8a8"].multiplier)
    table = UnitTable(conv.tables["w8a8"].weight_bits, ones, 0 * ones)
    bare = replace(model, nodes=(model.nodes[0], replace(conv, tables={"w8a8": table})))  # y = float32(A): small, so exact
    sums = trace(bare, x, "w8a8")["conv"]
    assert np.abs(sums).max() <= accumulator_bounds(model)["conv", "w8a8"]


@given(codes=arrays_of.arrays(np.uint8, (3, 5)), bits=BITS, activation_bits=BITS, lowest=st.booleans())
def test_the_bound_is_reached_by_the_highest_code_at_all_weights_of_one_sign(codes, bits, activation_bits, lowest):
    """Promise: the bound is no larger than it must be."""
    model = _linear(codes, bits, activation_bits)
    v = int_weights(codes, bits).astype(np.int64)
    top = 2**activation_bits - 1
    reached = max(abs(int(row @ ((row < 0 if lowest else row > 0) * top))) for row in v)
    other = max(abs(int(row @ ((row > 0 if lowest else row < 0) * top))) for row in v)
    assert accumulator_bounds(model)["fc", "w8a8"] == max(reached, other)


def test_a_sum_beyond_int32_is_refused():
    """Promise: int32 is enough for every model that passes; 33,026 weights of 255 at codes of 255 are not."""
    most = (2**31 - 1) // (255 * 255)
    check(_linear(np.full((1, most), 255, np.uint8), 8, 8))
    with pytest.raises(GraphError, match=rf"line: fc: sums reach {(most + 1) * 255 * 255} in mode w8a8, int32 ends at 2147483647"):
        check(_linear(np.full((1, most + 1), 255, np.uint8), 8, 8))


def test_bounds_are_given_for_each_layer_and_integer_mode():
    """Fewer bits, smaller bound."""
    bounds = accumulator_bounds(tiny_model())
    assert set(bounds) == {(layer, mode) for layer in ("conv", "fc") for mode in ("w8a8", "w2a4")}
    assert bounds["conv", "w2a4"] < bounds["conv", "w8a8"]


def _linear(codes: np.ndarray, bits: int, activation_bits: int) -> IntegerModel:
    one = np.ones(len(codes), np.float32)
    nodes = (
        Flatten("flat", "input"),
        Quantize("codes", "flat", {"w8a8": QuantizeTable(activation_bits, 1.0, 0.0)}),
        IntegerLinear("fc", "codes", "fc", {"w8a8": UnitTable(bits, one, one)}),
    )
    weights = (WeightCodes("fc", codes, 8 if bits == 8 else None),)
    return IntegerModel("line", InputSpec((codes.shape[1],)), ("w8a8",), weights, nodes, "fc")

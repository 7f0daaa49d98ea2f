"""The reference against integers counted one by one, and what it says to inputs that do not fit."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import floor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from tiny_models import MODES, convolutions, tiny_model, with_float

from quantizable.errors import GraphError
from quantizable.graph import (
    GlobalMean,
    InputSpec,
    IntegerModel,
    QuantizeTable,
    borders_of,
    check,
    input_table,
    int_weights,
    out_size,
    quantize,
    run,
    trace,
)
from strategies import BITS, STEPS


@given(drawn=convolutions())
def test_a_convolution_is_the_sum_over_its_valid_taps_counted_one_by_one(drawn):
    """Law, Accumulation: A in Python's integers, padded positions skipped; then m and t of the pixel's own taps."""
    model, x = drawn
    check(model)
    edges = trace(model, x, "w8a8")
    q, y = edges["codes"], edges["conv"]
    conv = model.nodes[1]
    table, zero_point = conv.tables["w8a8"], model.nodes[0].tables["w8a8"].zero_point
    codes = model.weights[0].codes
    per_group = len(codes) // conv.groups
    for n, o, *place in product(*map(range, y.shape)):
        total, taps = 0, 0
        for c, *tap in product(*map(range, codes.shape[1:])):
            where = [j * s - p[0] + k * d for j, s, p, k, d in zip(place, conv.stride, conv.padding, tap, conv.dilation, strict=True)]
            if all(0 <= i < size for i, size in zip(where, q.shape[2:], strict=True)):
                v = 2 * (int(codes[(o, c, *tap)]) >> (8 - table.weight_bits)) + 1 - 2**table.weight_bits
                total += v * int(q[(n, o // per_group * codes.shape[1] + c, *where)])
                taps += v
        m, t = table.multiplier[o], table.offset[o]
        if table.exact is not None:
            t = np.float32(table.exact[1, o] - table.exact[0, o] * zero_point * taps)
        assert y[(n, o, *place)] == np.float32(np.float32(total) * m) + t


@given(drawn=convolutions())
def test_a_border_class_holds_exactly_the_taps_inside_the_image(drawn):
    """Law, Accumulation: an output's class tells its valid taps; no two classes of an axis are the same."""
    model, _ = drawn
    conv, kernel, size = model.nodes[1], model.weights[0].codes.shape[2:], model.input.shape[1:]
    borders = borders_of(conv, size, kernel)
    assert borders.class_of.shape == out_size(conv, size, kernel)
    for place in product(*map(range, borders.class_of.shape)):
        for tap in product(*map(range, kernel)):
            where = [j * s - p[0] + k * d for j, s, p, k, d in zip(place, conv.stride, conv.padding, tap, conv.dilation, strict=True)]
            is_inside = all(0 <= i < n for i, n in zip(where, size, strict=True))
            assert borders.valid[(borders.class_of[place], *tap)] == is_inside


def test_a_padded_3x3_has_nine_border_classes():
    """Law, Accumulation: corners, edges, and the inside."""
    conv = tiny_model().nodes[1]
    assert len(borders_of(conv, (5, 4), (3, 3)).valid) == 9
    assert len(borders_of(conv, (1, 1), (3, 3)).valid) == 1


@given(x=arrays_of.arrays(np.float32, (8,), elements=st.floats(-1000, 1000, width=32)), step=STEPS, bits=BITS, halves=st.integers(0, 510))
def test_codes_are_rounded_half_to_even_from_the_exact_sum_of_rounded_parts(x, step, bits, halves):
    """Law, Activations: 1/d, the product, and the sum are each rounded to float32, then rint and clip, here in fractions."""
    zero_point = min(halves, 2 * (2**bits - 1)) / 2
    codes = quantize(x, QuantizeTable(bits, step, zero_point))
    assert codes.dtype == np.uint8
    for value, code in zip(x, codes, strict=True):
        scaled = np.float32(value * np.float32(1 / step))
        exact = Fraction(float(np.float32(scaled + np.float32(zero_point))))
        nearest = floor(exact + Fraction(1, 2))
        if exact + Fraction(1, 2) == nearest and nearest % 2:
            nearest -= 1
        assert code == min(max(nearest, 0), 2**bits - 1)


def test_numbers_beyond_the_range_get_the_outermost_codes_and_nan_gets_zero():
    """Law, Activations: a code is defined for every float32."""
    x = np.array([np.inf, -np.inf, np.nan, 3e38, -3e38], np.float32)
    assert quantize(x, QuantizeTable(4, 2.0**-10, 3.5)).tolist() == [15, 0, 0, 15, 0]


@given(codes=arrays_of.arrays(np.uint8, (9,)), bits=BITS)
def test_integer_weights_of_fewer_bits_are_odd_and_read_from_the_top(codes, bits):
    """Law, Weights: v = 2 (code >> (8 - b)) + 1 - 2^b."""
    v = int_weights(codes, bits)
    assert (v % 2 == 1).all()
    assert (np.abs(v) <= 2**bits - 1).all()
    assert v.tolist() == [2 * int(format(code, "08b")[:bits], 2) + 1 - 2**bits for code in codes.tolist()]


@given(images=arrays_of.arrays(np.uint8, (2, 5, 4, 2)))
def test_bytes_and_the_numbers_they_stand_for_give_the_same_edges(images):
    """Law, Between layers: uint8 and float input agree, code by code, in every mode."""
    model = tiny_model()
    f = (1 / (255 * np.array(model.input.std))).astype(np.float32)
    o = (-np.array(model.input.mean) / np.array(model.input.std)).astype(np.float32)
    floats = np.moveaxis(images.astype(np.float32) * f + o, -1, 1)
    for mode in MODES:
        from_bytes, from_floats = trace(model, images, mode), trace(model, np.ascontiguousarray(floats), mode)
        assert all(np.array_equal(from_bytes[name], from_floats[name]) for name in from_bytes)


def test_the_table_of_bytes_is_that_of_the_data_rooms_normalisation():
    """Promise: images normalised by the data room and bytes given to a model are the same numbers."""
    from quantizable.data.augment import normalize

    spec = InputSpec((3, 1, 256), (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    every_byte = np.repeat(np.arange(256, dtype=np.uint8)[None, None, :, None], 3, axis=3)
    normalized = normalize(every_byte, mean=spec.mean, std=spec.std).numpy()
    assert np.array_equal(input_table(spec), normalized[0, :, 0])


def test_fp32_multiplies_the_float_weights():
    """Promise: fp32 is the float network up to the order of sums; Quantize passes its input on."""
    model = with_float(tiny_model())
    check(model)
    x = np.random.default_rng(0).normal(size=(2, 2, 5, 4)).astype(np.float32)
    edges = trace(model, x, "fp32")
    assert np.array_equal(edges["conv.input"], x)
    conv = model.nodes[1].tables["fp32"]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))).astype(np.float64)
    middle = (padded[:, None, :, 2:5, 1:4] * model.float_weights[0].values[None]).sum((2, 3, 4))
    expected = middle * conv.multiplier + conv.offset
    assert np.abs(edges["conv"][:, :, 2, 1] - expected).max() <= 2.0**-22 * np.abs(expected).max()


def test_fewer_rows_of_a_batch_change_nothing():
    """Law: each image of a batch is computed alone."""
    model = tiny_model()
    x = np.random.default_rng(1).normal(size=(3, 2, 5, 4)).astype(np.float32)
    whole = run(model, x, "w2a4")
    assert whole.shape == (3, 4)
    assert all(np.array_equal(run(model, x[i : i + 1], "w2a4")[0], whole[i]) for i in range(3))


WRONG = {
    "mode": (np.zeros((1, 2, 5, 4), np.float32), "w4a4", "'w4a4' is none of its modes, which are w8a8, w2a4"),
    "dtype": (np.zeros((1, 2, 5, 4)), "w8a8", "must be float32 or uint8, found float64"),
    "channels": (np.zeros((1, 3, 5, 4), np.float32), "w8a8", r"float32 must be \(N, 2, 5, 4\), found \(1, 3, 5, 4\)"),
    "one image": (np.zeros((2, 5, 4), np.float32), "w8a8", r"found \(2, 5, 4\)"),
    "bytes with channels second": (np.zeros((1, 2, 5, 4), np.uint8), "w8a8", r"must be \(N, H, W, 2\), channels last"),
    "size": (np.zeros((1, 2, 6, 4), np.float32), "w8a8", r"tiny: fc: needs \(N, ..., 60\); found \(1, 72\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_an_input_that_does_not_fit_is_refused_in_one_line(name):
    """Promise: nothing is guessed about an input."""
    x, mode, message = WRONG[name]
    with pytest.raises(GraphError, match=message):
        run(tiny_model(), x, mode)


def test_bytes_without_a_normalisation_are_refused():
    """Promise: a byte has no meaning of its own."""
    model = replace(tiny_model(), input=InputSpec((2, 5, 4)))
    with pytest.raises(GraphError, match="uint8 needs the mean and std"):
        run(model, np.zeros((1, 5, 4, 2), np.uint8), "w8a8")


def test_a_model_without_fixed_sizes_runs_images_of_other_sizes():
    """Promise: only operations with sizes of their own bind a model to the example's."""
    model = tiny_model()
    free = IntegerModel("free", model.input, MODES, model.weights[:1], (*model.nodes[:3], GlobalMean("mean", "relu", False)), "mean")
    check(free)
    assert run(free, np.zeros((1, 2, 9, 7), np.float32), "w8a8").shape == (1, 3)

"""The engine against the reference on drawn models: every kind of node, alone and joined to others, in odd shapes."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_models import MODE, differing_modes, models, same
from frozen import every_kind, small, tiny
from hypothesis import given, settings
from tiny_models import convolutions, tiny_model, with_float

from quantizable.engine import Session
from quantizable.graph import NODE_KINDS, InputSpec, IntegerModel, Quantize, QuantizeTable, Softmax, run


@settings(max_examples=300)
@given(drawn=models())
def test_drawn_models_give_what_the_reference_gives(drawn):
    """Law: equal float32 after any order of operations, broadcast, moved, fused or not; NaN and infinities too."""
    model, x = drawn
    assert same(Session(model).run(x), run(model, x, MODE))


@settings(max_examples=150)
@given(drawn=convolutions())
def test_drawn_convolutions_give_what_the_reference_gives(drawn):
    """Law, Accumulation: groups, strides, dilations, uneven padding, zero points, kernels larger than the image."""
    model, x = drawn
    assert same(Session(model, threads=2).run(x), run(model, x, MODE))


@pytest.mark.parametrize("make", [tiny, small, every_kind, tiny_model])
@pytest.mark.parametrize("n", [0, 1, 3])
def test_small_models_give_what_the_reference_gives(make, n):
    """Law, in every integer mode, with zero points and border classes; a batch of nothing gives nothing."""
    model = make()
    x = np.random.default_rng(n).normal(0, 1, (n, *model.input.shape)).astype(np.float32)
    session = Session(model)
    if n == 0:
        assert session.run(x).shape == (0, *session.run(np.zeros((1, *model.input.shape), np.float32)).shape[1:])
    else:
        assert differing_modes(session, model, x) == []


def test_the_small_models_hold_every_kind_of_node():
    """What the tests above promise is about all operations."""
    held = {type(node).__name__ for make in (small, every_kind, tiny_model) for node in make().nodes}
    assert held == set(NODE_KINDS)


def test_fp32_differs_from_the_reference_by_roundings_alone():
    """Both add in float64, in orders of their own: after rounding to float32 at most the last place differs a layer."""
    for model in (small(), every_kind(), with_float(tiny_model())):
        x = np.random.default_rng(1).normal(0, 1, (3, *model.input.shape)).astype(np.float32)
        session = Session(model)
        assert session.mode == "fp32"
        np.testing.assert_allclose(session.run(x), run(model, x, "fp32"), rtol=1e-5, atol=1e-6)


def test_extreme_values_get_the_codes_of_the_law():
    """Law, Activations: half to even, NaN 0, infinities at the ends; the codes are seen through a layer of weight +-1."""
    model = tiny(("w8a8",))
    node = model.nodes[0]
    quantizer = Quantize(node.name, node.source, {"w8a8": QuantizeTable(8, 2.0**-4, 127.5)})
    model = IntegerModel(model.name, model.input, model.modes, model.weights, (quantizer, *model.nodes[1:]), model.output)
    values = [np.nan, np.inf, -np.inf, 3e38, -3e38, 0.0, 0.03125, -0.03125, 0.09375, 7.96875, 8.0, -7.96875, -8.0, 1e-45, 5.0]
    x = np.array(values, np.float32).reshape(-1, 3)
    assert same(Session(model).run(x), run(model, x, "w8a8"))


def test_the_exponential_of_every_float16_is_the_references():
    """Page, integer_model: the formulas are the same operation by operation; softmax over (0, x) shows exp for negative x."""
    x = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float32)
    pairs = np.stack([np.zeros_like(x), x], axis=1)
    model = IntegerModel("exp", InputSpec((2,)), (MODE,), (), (Softmax("p", "input", 1),), "p")
    assert same(Session(model).run(pairs), run(model, pairs, MODE))

"""One model for each way of not holding together, and the line it must get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from tiny_models import tiny_model, with_float

from quantizable.errors import GraphError
from quantizable.graph import (
    Activation,
    Affine,
    AffineTable,
    AvgPool,
    Clip,
    Concat,
    Constant,
    IntegerModel,
    LayerNorm,
    MaxPool,
    Mul,
    Pad,
    Quantize,
    QuantizeTable,
    Reshape,
    Slice,
    Softmax,
    Transpose,
    UnitTable,
    WeightCodes,
    check,
)

NAN = float("nan")


def test_sound_models_pass():
    """Promise: the checks refuse nothing sound."""
    check(tiny_model())
    check(with_float(tiny_model()))


def field(**changes: object) -> Callable[[], IntegerModel]:
    return lambda: replace(tiny_model(), **changes)


def of_input(**changes: object) -> Callable[[], IntegerModel]:
    return lambda: replace(tiny_model(), input=replace(tiny_model().input, **changes))


def of_weight(index: int, /, **changes: object) -> Callable[[], IntegerModel]:
    def made() -> IntegerModel:
        weights = list(tiny_model().weights)
        weights[index] = replace(weights[index], **changes)
        return replace(tiny_model(), weights=tuple(weights))

    return made


def of_node(name: str, /, **changes: object) -> Callable[[], IntegerModel]:
    def made() -> IntegerModel:
        model = tiny_model()
        return replace(model, nodes=tuple(replace(node, **changes) if node.name == name else node for node in model.nodes))

    return made


def of_table(name: str, /, **changes: object) -> Callable[[], IntegerModel]:
    def made() -> IntegerModel:
        tables = next(node.tables for node in tiny_model().nodes if node.name == name)
        return of_node(name, tables={**tables, "w2a4": replace(tables["w2a4"], **changes)})()

    return made


def with_node(node: object) -> Callable[[], IntegerModel]:
    """A node more, which reads the float edge "relu", (N, 3, 5, 4)."""
    return lambda: replace(tiny_model(), nodes=(*tiny_model().nodes, node))


def of_float(**changes: object) -> Callable[[], IntegerModel]:
    return lambda: replace(with_float(tiny_model()), **changes)


def f32(*values: float) -> np.ndarray:
    return np.array(values, np.float32)


FLOATS = with_float(tiny_model()).float_weights
TABLE = {mode: QuantizeTable(8, 1.0, 0.0) for mode in ("w8a8", "w2a4")}
WRONG: dict[str, tuple[Callable[[], IntegerModel], str]] = {
    "no modes": (field(modes=()), "the list is empty"),
    "a misspelt mode": (field(modes=("w8a8", "w9a9")), "weight bits must be 1 to 8, found 9"),
    "modes out of order": (field(modes=("w2a4", "w8a8")), r"from the highest to the lowest, .* write \('w8a8', 'w2a4'\)"),
    "no integer mode": (of_float(modes=("fp32",)), "needs an integer mode"),
    "fp32 without weights": (of_float(float_weights=()), "has mode fp32 but no float weights"),
    "weights without fp32": (field(float_weights=FLOATS), "has float weights but no mode fp32"),
    "an empty input": (of_input(shape=()), r"1 to 3 sizes of at least 1, found \(\)"),
    "an input of no height": (of_input(shape=(2, 0, 4)), r"found \(2, 0, 4\)"),
    "an input of a bool": (of_input(shape=(2, True, 4)), r"found \(2, True, 4\)"),
    "a mean too many": (of_input(mean=(0.5, 0.5, 0.5)), "mean needs 2 values, one a channel, found 3"),
    "a mean without a std": (of_input(std=()), "std needs 2 values, one a channel, found 0"),
    "a mean that is NaN": (of_input(mean=(NAN, 0.0)), "mean must be finite"),
    "a std of zero": (of_input(std=(0.0, 1.0)), r"std must be from 2\^-30 to 2\^30"),
    "codes of int8": (of_weight(0, codes=np.zeros((3, 2, 3, 3), np.int8)), "must be uint8 of 2 to 4 axes, found int8"),
    "codes of one axis": (of_weight(0, codes=np.zeros(3, np.uint8)), r"found uint8 of shape \(3,\)"),
    "no codes": (of_weight(0, codes=np.zeros((0, 2, 3, 3), np.uint8)), r"shape \(0, 2, 3, 3\)"),
    "weights of one name": (of_weight(0, name="fc"), "two weights are named 'fc'"),
    "a weight without a name": (of_weight(0, name=""), "a weight needs a name"),
    "codes that no layer reads": (
        lambda: replace(tiny_model(), weights=(*tiny_model().weights, WeightCodes("x", np.zeros((1, 1), np.uint8)))),
        "codes 'x' are read by no layer",
    ),
    "always_bits of a layer with fewer": (of_weight(0, always_bits=8), r"always_bits is 8, the modes use \[2, 8\]"),
    "always_bits of 4": (of_weight(1, always_bits=4), "always_bits is 4"),
    "a float weight without codes": (of_float(float_weights=(*FLOATS, replace(FLOATS[0], name="x"))), "float weight 'x' has no codes"),
    "a float weight missing": (of_float(float_weights=FLOATS[:1]), "codes 'fc' have no float weight"),
    "a float weight of another shape": (of_float(float_weights=(replace(FLOATS[0], values=f32(1)), FLOATS[1])), "shape of its codes"),
    "a float weight of NaN": (of_float(float_weights=(replace(FLOATS[0], values=FLOATS[0].values * np.float32(NAN)), FLOATS[1])), "finite"),
    "an edge read too early": (of_node("conv.input", source="relu"), "reads edge 'relu', which nothing before it makes"),
    "a cycle": (of_node("relu", source="relu"), "reads edge 'relu', which nothing before it makes"),
    "two edges of one name": (of_node("relu", name="conv"), "two edges are named 'conv'"),
    "an edge named input": (of_node("relu", name="input"), "two edges are named 'input'"),
    "codes where float32 belongs": (of_node("relu", source="conv.input"), "Activation reads float32, edge 'conv.input' carries codes"),
    "float32 where codes belong": (of_node("fc", source="flat"), "IntegerLinear reads codes, edge 'flat' carries float32"),
    "an unknown weight": (of_node("fc", weight="x"), "no weight is named 'x'; known are conv, fc"),
    "a kernel for a linear layer": (of_node("fc", weight="conv"), "IntegerLinear cannot use codes of 4 axes"),
    "an unknown output": (field(output="x"), "the output 'x' is no float32 edge"),
    "an output of codes": (field(output="fc.input"), "the output 'fc.input' is no float32 edge"),
    "an unknown function": (of_node("relu", function="rule"), "no function is named 'rule'; known are relu"),
    "a class name too many": (field(class_names=tuple("abcde")), r"5 class names for outputs of shape \(1, 4\)"),
    "class names alike": (field(class_names=tuple("abca")), "two classes are named 'a'"),
    "a table missing": (of_node("conv.input", tables={"w8a8": TABLE["w8a8"]}), "has tables for w8a8, needs w8a8, w2a4"),
    "a table too many": (of_node("fc.input", tables={**TABLE, "w1a1": TABLE["w8a8"]}), "has tables for w8a8, w2a4, w1a1"),
    "activation bits of 9": (of_table("fc.input", bits=9), "mode w2a4: activation bits must be 1 to 8, found 9"),
    "activation bits of True": (of_table("fc.input", bits=True), "activation bits must be 1 to 8, found True"),
    "a step of zero": (of_table("fc.input", step=0.0), r"step must be a float32 number from 2\^-30 to 2\^30, found 0.0"),
    "a step of NaN": (of_table("fc.input", step=NAN), "step must be .* found nan"),
    "a step that float32 rounds": (of_table("fc.input", step=0.1), "step must be a float32 number"),
    "a zero point of 1/4": (of_table("fc.input", zero_point=0.25), "zero point must be a multiple of 1/2 from 0 to 15, found 0.25"),
    "a zero point above the codes": (of_table("fc.input", zero_point=15.5), "from 0 to 15, found 15.5"),
    "a zero point of NaN": (of_table("fc.input", zero_point=NAN), "found nan"),
    "weight bits of 0": (of_table("fc", weight_bits=0), "weight bits must be 1 to 8, found 0"),
    "a multiplier of NaN": (of_table("fc", multiplier=f32(1, NAN, 1, 1)), "multiplier must be finite, found 1 of 4"),
    "a multiplier too short": (of_table("fc", multiplier=f32(1)), r"multiplier must be float32 \(4,\), found float32 \(1,\)"),
    "an offset of float64": (of_table("fc", offset=np.zeros(4)), r"offset must be float32 \(4,\), found float64"),
    "exact missing": (of_table("conv", exact=None), "exact is missing, the zero point is 127.5"),
    "exact too many": (of_table("fc", exact=np.zeros((2, 4))), "exact is there, the zero point is 0.0"),
    "exact of another shape": (of_table("conv", exact=np.zeros((2, 4))), r"exact must be finite float64 \(2, 3\)"),
    "exact of NaN": (of_table("conv", exact=np.full((2, 3), NAN)), "exact must be finite"),
    "exact that disagrees": (of_table("conv", exact=np.zeros((2, 3))), "exact disagrees with multiplier and offset"),
    "a stride of zero": (of_node("conv", stride=(0, 1)), "stride must be an integer from 1"),
    "a stride for one axis": (of_node("conv", stride=(1,)), "stride needs 2 values, one an axis"),
    "a dilation of a float": (of_node("conv", dilation=(1.0, 1)), "dilation must be an integer from 1 .* found 1.0"),
    "negative padding": (of_node("conv", padding=((1, 1), (-1, 1))), "padding must be an integer from 0 .* found -1"),
    "groups that do not divide": (of_node("conv", groups=2), "groups must divide the 3 output channels, found 2"),
    "groups beyond the input": (of_node("conv", groups=3), r"conv: needs \(N, 6\) and 2 axes of space; found \(1, 2, 5, 4\)"),
    "a linear layer of other features": (of_input(shape=(2, 5, 5)), r"fc: needs \(N, ..., 60\); found \(1, 75\)"),
    "a kernel beyond the image": (
        of_node("conv", dilation=(4, 1)),
        r"conv: a kernel of \(3, 3\) does not fit; found \(1, 2, 5, 4\)",
    ),
    "an affine of other channels": (
        with_node(Affine("n", "relu", {mode: AffineTable(f32(1, 1), f32(0, 0)) for mode in TABLE})),
        r"n: needs \(N, 2, ...\); found \(1, 3, 5, 4\)",
    ),
    "an affine of NaN": (with_node(Affine("n", "relu", {m: AffineTable(f32(NAN, 1, 1), f32(0, 0, 0)) for m in TABLE})), "found 1 of 3"),
    "a constant of the batch": (
        lambda: replace(tiny_model(), nodes=(*tiny_model().nodes, Constant("c", np.ones((2, 1), np.float32)), Mul("n", "c", "flat"))),
        "axis 0 must stay the batch",
    ),
    "a constant of float64": (with_node(Constant("n", np.ones(1))), "values must be finite float32"),
    "shapes that do not broadcast": (with_node(Mul("n", "flat", "fc")), "n: needs shapes that broadcast"),
    "edges of other axes": (with_node(Mul("n", "relu", "fc")), "n: needs edges of as many axes as one another"),
    "concat along the batch": (with_node(Concat("n", ("relu", "relu"), 0)), "axis must be an integer from 1"),
    "concat of other shapes": (with_node(Concat("n", ("relu", "flat"), 1)), "n: needs shapes that differ in axis 1 alone"),
    "concat of nothing": (with_node(Concat("n", (), 1)), "needs sources, found none"),
    "a clip upside down": (with_node(Clip("n", "relu", 6.0, 0.0)), "low must not be above high"),
    "a clip of NaN": (with_node(Clip("n", "relu", NAN, 6.0)), "low must be a finite float32 number"),
    "pooling with much padding": (with_node(MaxPool("n", "relu", (2, 2), (2, 2), (2, 0), (1, 1))), "at most half the kernel"),
    "pooling that does not fit": (with_node(AvgPool("n", "relu", (6, 2), (2, 2), (0, 0))), r"a window of \(6, 2\) does not fit"),
    "pooling of padding alone": (with_node(MaxPool("n", "relu", (2, 1), (1, 1), (1, 0), (6, 1))), "a window would see padding alone"),
    "pooling over three axes": (with_node(AvgPool("n", "relu", (1, 1, 1), (1,), (0,))), "kernel must have 1 or 2 sizes"),
    "a reshape of other size": (with_node(Reshape("n", "relu", (7, -1))), "n: needs as many values"),
    "a reshape of two unknowns": (with_node(Reshape("n", "relu", (-1, -1))), "one size may be -1"),
    "a transpose of the batch": (with_node(Transpose("n", "relu", (1, 0, 2, 3))), "axes must be 0 and then the others"),
    "a transpose of other axes": (with_node(Transpose("n", "relu", (0, 2, 1))), "n: needs 3 axes"),
    "a layer norm of other axes": (with_node(LayerNorm("n", "relu", 1, 1.0, f32(1, 1), None)), r"n: needs \(N, ..., 2\)"),
    "a layer norm of the batch": (with_node(LayerNorm("n", "relu", 4, 1.0, None, None)), "n: needs more than 4 axes"),
    "a layer norm without epsilon": (with_node(LayerNorm("n", "relu", 1, 0.0, None, None)), "epsilon must be above 0"),
    "a softmax of the batch": (with_node(Softmax("n", "relu", 0)), "axis must be an integer from 1"),
    "a softmax of no axis": (with_node(Softmax("n", "relu", 4)), "n: needs an axis 4"),
    "padding for other axes": (with_node(Pad("n", "relu", ((1, 1),), 0.0)), "n: needs 2 axes"),
    "padding by infinity": (with_node(Pad("n", "relu", ((0, 0),) * 3, float("inf"))), "value must be a finite float32 number"),
    "padding beyond memory": (with_node(Pad("n", "relu", ((0, 2**31 - 1),) * 3, 0.0)), "an edge holds 1 to 2147483647 values"),
    "a slice of nothing": (with_node(Slice("n", "relu", 1, 3, None, 1)), "an edge holds 1 to"),
    "a slice backwards": (with_node(Slice("n", "relu", 1, 0, None, -1)), "step must be an integer from 1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_model_that_does_not_hold_together_is_refused_in_one_line(name):
    """Promise: a GraphError of one line that names the model, the place, and what was found."""
    made, message = WRONG[name]
    with pytest.raises(GraphError, match=message) as caught:
        check(made())
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("tiny: ")


def test_every_kind_of_activation_and_quantize_passes_where_it_is_sound():
    """The nodes that the wrong ones above are made of are not refused for themselves."""
    check(with_node(Activation("n", "relu", "gelu"))())
    check(with_node(Quantize("n", "relu", TABLE))())
    check(with_node(MaxPool("n", "relu", (2, 2), (2, 2), (1, 0), (1, 1)))())
    assert UnitTable(8, f32(1), f32(0)).exact is None

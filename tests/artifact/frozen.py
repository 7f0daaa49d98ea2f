"""Small frozen networks for the tests of the file format, drawn from seeded generators."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantizable.graph import (
    FLOAT_MODE,
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
    FloatWeight,
    GlobalMean,
    InputSpec,
    IntegerConv,
    IntegerLinear,
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
from quantizable.modes import parse_mode

MODES = (FLOAT_MODE, "w8a8", "w4a4", "w2a2", "w1a1")


class Frozen:
    """Collects nodes and weights of a network; every draw comes from one generator."""

    def __init__(self, seed: int, modes: tuple[str, ...], shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(seed)
        self.modes, self.shape = modes, shape
        self.nodes: list[object] = []
        self.weights: list[WeightCodes] = []

    def add(self, node) -> str:
        self.nodes.append(node)
        return node.name

    def f32(self, *shape: int) -> np.ndarray:
        return self.rng.normal(0, 1, shape).astype(np.float32)

    def quantize(self, name: str, source: str, *, zero_points: bool = False, always_8: bool = False) -> str:
        tables = {}
        for mode in self.modes:
            if mode == FLOAT_MODE:
                continue
            bits = 8 if always_8 else parse_mode(mode).activation_bits
            step = float(np.float32(self.rng.uniform(0.5, 2) / 2**bits))
            tables[mode] = QuantizeTable(bits, step, (2**bits - 1) / 2 if zero_points else 0.0)
        return self.add(Quantize(name, source, tables))

    def unit(self, name: str, source: str, shape: tuple[int, ...], *, always_8: bool = False, **geometry) -> str:
        """Add codes of `shape` and the layer that reads them."""
        self.weights.append(WeightCodes(name, self.rng.integers(0, 256, shape, dtype=np.uint8), 8 if always_8 else None))
        steps = next(node for node in self.nodes if node.name == source).tables
        is_padded = any(map(any, geometry.get("padding", ())))
        tables = {mode: self.table(mode, always_8, None if mode == FLOAT_MODE else steps[mode], is_padded) for mode in self.modes}
        if len(shape) == 2:
            return self.add(IntegerLinear(name, source, name, tables))
        rank = len(shape) - 2
        defaults = {"stride": (1,) * rank, "padding": ((0, 0),) * rank, "dilation": (1,) * rank, "groups": 1}
        return self.add(IntegerConv(name, source, name, **{**defaults, **geometry}, tables=tables))

    def table(self, mode: str, always_8: bool, quantizer: QuantizeTable | None, is_padded: bool) -> UnitTable:
        weight = self.weights[-1].codes
        if quantizer is None:
            return UnitTable(32, np.ones(len(weight), np.float32), self.f32(len(weight)))
        bits = 8 if always_8 else parse_mode(mode).weight_bits
        exact = self.rng.normal(0, 1, (2, len(weight))) * [[quantizer.step / 2**bits], [1]]
        if not is_padded or quantizer.zero_point == 0:
            return UnitTable(bits, exact[0].astype(np.float32), exact[1].astype(np.float32))
        v = 2 * (weight >> (8 - bits)).astype(np.int64) + 1 - 2**bits
        taps = v.reshape(len(weight), -1).sum(1).astype(np.float32).astype(np.float64)
        inside = exact[1] - exact[0] * quantizer.zero_point * taps
        return UnitTable(bits, exact[0].astype(np.float32), inside.astype(np.float32), exact)

    def model(self, name: str, output: str, **more) -> IntegerModel:
        floats = [FloatWeight(weight.name, self.f32(*weight.codes.shape)) for weight in self.weights]
        has_float = FLOAT_MODE in self.modes
        spec = InputSpec(self.shape, *more.pop("normalisation", ()))
        nodes, weights = tuple(self.nodes), tuple(self.weights)
        model = IntegerModel(name, spec, self.modes, weights, nodes, output, float_weights=tuple(floats) if has_float else (), **more)
        check(model)
        return model


def tiny(modes: tuple[str, ...] = ("w2a2", "w1a1"), seed: int = 0) -> IntegerModel:
    """One layer of 3x3 codes, which fill no whole byte."""
    net = Frozen(seed, modes, (3,))
    net.unit("fc", net.quantize("q", "input"), (3, 3))
    return net.model("tiny", "fc")


def small(seed: int = 1) -> IntegerModel:
    """First and last layer of 8 bits, padding with and without zero points, a shortcut, float weights, names of classes."""
    net = Frozen(seed, MODES, (2, 5, 5))
    net.unit("stem", net.quantize("q0", "input", always_8=True, zero_points=True), (4, 2, 3, 3), always_8=True, padding=((1, 1), (1, 1)))
    net.add(Activation("relu", "stem", "relu"))
    net.unit("conv", net.quantize("q1", "relu"), (4, 4, 3, 3), padding=((1, 1), (0, 2)))
    net.add(Add("sum", "conv", "relu"))
    net.unit("wise", net.quantize("q2", "sum", zero_points=True), (4, 1, 3, 3), groups=4, stride=(2, 2), padding=((1, 1), (1, 1)))
    net.add(GlobalMean("mean", "wise", keep_axes=False))
    net.unit("fc", net.quantize("q3", "mean", always_8=True, zero_points=True), (3, 4), always_8=True)
    return net.model("small", "fc", class_names=("cat", "dog, or wolf", "émeu"), normalisation=((0.1, 0.2), (0.3, 0.7)))


def every_kind(seed: int = 2) -> IntegerModel:
    """Every kind of node at least once, optional fields with and without a value."""
    net = Frozen(seed, MODES, (2, 4, 4))
    net.add(Pad("pad", "input", ((0, 0), (1, 1), (1, 1)), 0.25))
    net.add(Slice("slice", "pad", 2, 0, None, 1))
    net.add(Slice("crop", "slice", 3, 1, 5, 1))
    net.add(MaxPool("max", "crop", (2, 2), (1, 1), (1, 1), (1, 1), True))
    net.unit("conv", net.quantize("q", "max"), (4, 2, 1, 1))
    net.add(Affine("norm", "conv", {mode: AffineTable(net.f32(4), net.f32(4)) for mode in MODES}))
    net.add(Clip("clip", "norm", 0.0, 6.0))
    net.add(AvgPool("avg", "clip", (3, 2), (1, 1), (0, 1), False, False))
    net.add(AdaptiveAvgPool("grid", "avg", (2, 3)))
    net.add(Constant("one", net.f32(1, 4, 1, 1)))
    net.add(Constant("half", np.array(0.5, np.float32)))
    net.add(Mul("gate", "grid", "one"))
    net.add(Add("shift", "gate", "half"))
    net.add(Div("share", "shift", "half"))
    net.add(Concat("cat", ("share", "grid"), 1))
    net.add(Transpose("last", "cat", (0, 2, 3, 1)))
    net.add(LayerNorm("ln", "last", 1, 2.0**-17, net.f32(8), net.f32(8)))
    net.add(LayerNorm("plain", "ln", 1, 2.0**-20, None, None))
    net.add(Activation("act", "plain", "gelu"))
    net.add(GlobalMean("mean", "act", True))
    net.add(Reshape("flat", "act", (-1,)))
    net.add(Flatten("flatter", "flat"))
    net.unit("fc", net.quantize("q2", "flatter", zero_points=True), (2, 48))
    net.add(Softmax("out", "fc", 1))
    return net.model("every_kind", "out")


def resnet20(seed: int = 3) -> IntegerModel:
    """The layers of ResNet-20 for CIFAR-10 in four integer modes: 271 thousand codes."""
    net = Frozen(seed, MODES[1:], (3, 32, 32))
    padding = ((1, 1), (1, 1))
    x = net.unit(
        "conv1", net.quantize("conv1.input", "input", always_8=True, zero_points=True), (16, 3, 3, 3), always_8=True, padding=padding
    )
    x, width = net.add(Activation("relu", x, "relu")), 16
    for stage, channels in enumerate((16, 32, 64), start=1):
        for block in range(3):
            at, stride = f"layer{stage}.{block}", 2 if channels != width else 1
            y = net.unit(
                f"{at}.conv1", net.quantize(f"{at}.conv1.input", x), (channels, width, 3, 3), stride=(stride,) * 2, padding=padding
            )
            y = net.add(Activation(f"{at}.relu1", y, "relu"))
            y = net.unit(f"{at}.conv2", net.quantize(f"{at}.conv2.input", y), (channels, channels, 3, 3), padding=padding)
            if channels != width:
                x = net.add(Slice(f"{at}.rows", x, 2, 0, None, 2))
                x = net.add(Slice(f"{at}.columns", x, 3, 0, None, 2))
                x = net.add(Pad(f"{at}.pad", x, (((channels - width) // 2,) * 2, (0, 0), (0, 0)), 0.0))
            x = net.add(Activation(f"{at}.relu2", net.add(Add(f"{at}.add", y, x)), "relu"))
            width = channels
    x = net.add(GlobalMean("mean", x, keep_axes=False))
    net.unit("fc", net.quantize("fc.input", x, always_8=True), (10, 64), always_8=True)
    return net.model("resnet20", "fc")


def cut_codes(model: IntegerModel, bits: int) -> IntegerModel:
    """Return `model` with the codes that `bits` planes give: the lower bits of layers stored as planes are 0."""
    weights = [w if w.always_bits else replace(w, codes=w.codes >> (8 - bits) << (8 - bits)) for w in model.weights]
    return replace(model, weights=tuple(weights))

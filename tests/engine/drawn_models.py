"""Models of float operations drawn one after another, each valid for the shape that reaches it; and the comparison with the reference."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantizable.engine import Session
from quantizable.graph import (
    FUNCTIONS,
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
    run,
    shapes_of,
)

MODE = "w8a8"


def same(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> bool:
    """Return True where shape, dtype and every value are equal; NaN equals NaN, and 0 equals -0."""
    return ours.dtype == theirs.dtype and np.array_equal(ours, theirs, equal_nan=True)


def differing_modes(session: Session, model: IntegerModel, x: NDArray[np.generic]) -> list[str]:
    """Return the integer modes in which the session and the reference give other results."""
    found = []
    for mode in model.integer_modes:
        session.set_mode(mode)
        if not same(session.run(x), run(model, x, mode)):
            found.append(mode)
    return found


@st.composite
def models(draw: st.DrawFn) -> tuple[IntegerModel, NDArray[np.float32]]:
    """A model of 1 to 7 nodes after its input (C, H, W), and a batch of 1 to 3 for it, a NaN or an infinity among its values at times."""
    size = tuple(draw(st.integers(1, 5)) for _ in range(3))
    drawn = _Drawn(draw, np.random.default_rng(draw(st.integers(0, 2**16))), InputSpec(size))
    for _ in range(draw(st.integers(1, 7))):
        drawn.append()
    x = drawn.rng.normal(0, 2, (draw(st.integers(1, 3)), *size)).astype(np.float32)
    special = draw(st.sampled_from((None, None, None, np.nan, np.inf, -np.inf)))
    if special is not None:
        x.flat[draw(st.integers(0, x.size - 1))] = special
    return drawn.model(), x


class _Drawn:
    """The nodes so far; every float32 edge may be read again."""

    def __init__(self, draw: st.DrawFn, rng: np.random.Generator, spec: InputSpec) -> None:
        self.draw, self.rng, self.spec = draw, rng, spec
        self.nodes: list[object] = []
        self.weights: list[WeightCodes] = []
        self.edges = ["input"]

    def model(self) -> IntegerModel:
        return IntegerModel("drawn", self.spec, (MODE,), tuple(self.weights), tuple(self.nodes), self.edges[-1])

    def append(self) -> None:
        """Add the first of some drawn operations that fits; ReLU always does."""
        source = self.edges[-1] if self.draw(st.integers(0, 3)) else self.draw(st.sampled_from(self.edges))
        shape = shapes_of(self.model())[source]
        kinds = [kind for kind, least in _KINDS.items() if len(shape) >= least]
        before = len(self.nodes), len(self.weights)
        name = f"n{len(self.nodes)}"
        getattr(self, self.draw(st.sampled_from(kinds)))(name, source, shape)
        self.edges.append(name)
        try:
            check(self.model())
        except ValueError:
            self.edges.pop()
            del self.nodes[before[0] :], self.weights[before[1] :]
            self.nodes.append(Activation(name, source, "relu"))
            self.edges.append(name)

    def f32(self, *shape: int) -> NDArray[np.float32]:
        return self.rng.normal(0, 1, shape).astype(np.float32)

    def axis(self, shape: tuple[int, ...]) -> int:
        return self.draw(st.integers(1, len(shape) - 1))

    def function(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        self.nodes.append(Activation(name, source, self.draw(st.sampled_from(sorted(FUNCTIONS)))))

    def clip(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        self.nodes.append(Clip(name, source, 0.0, 6.0))

    def affine(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        self.nodes.append(Affine(name, source, {MODE: AffineTable(self.f32(shape[1]), self.f32(shape[1]))}))

    def broadcast(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        kind = self.draw(st.sampled_from((Add, Mul, Div)))
        small = tuple(size if self.draw(st.booleans()) else 1 for size in (1, *shape[1:]))
        self.nodes.append(Constant(f"{name}.c", self.f32(*small[self.draw(st.integers(0, len(small))) :])))
        pair = (source, f"{name}.c") if self.draw(st.booleans()) else (f"{name}.c", source)
        self.nodes.append(kind(name, *pair))

    def two_edges(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        kind = self.draw(st.sampled_from((Add, Add, Mul)))
        self.nodes.append(kind(name, source, self.draw(st.sampled_from(self.edges))))

    def concat(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        sources = (source, self.draw(st.sampled_from(self.edges)), source)
        self.nodes.append(Concat(name, sources[: self.draw(st.integers(1, 3))], self.axis(shape)))

    def slice(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        axis = self.axis(shape)
        start = self.draw(st.integers(0, shape[axis] - 1))
        self.nodes.append(Slice(name, source, axis, start, self.draw(st.none() | st.integers(start + 1, shape[axis] + 1)), 2))

    def pad(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        sizes = st.tuples(st.integers(0, 2), st.integers(0, 2))
        self.nodes.append(Pad(name, source, tuple(self.draw(sizes) for _ in shape[1:]), 0.5))

    def transpose(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        self.nodes.append(Transpose(name, source, (0, *self.draw(st.permutations(range(1, len(shape)))))))

    def reshape(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        self.nodes.append(Reshape(name, source, self.draw(st.sampled_from(((-1,), (1, -1), (-1, shape[-1]), (shape[1], -1, 1))))))

    def softmax(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        self.nodes.append(Softmax(name, source, self.axis(shape)))

    def layer_norm(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        n_axes = self.draw(st.integers(1, len(shape) - 1))
        weight, bias = (self.f32(*shape[-n_axes:]) if self.draw(st.booleans()) else None for _ in range(2))
        self.nodes.append(LayerNorm(name, source, n_axes, 2.0**-17, weight, bias))

    def mean(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        self.nodes.append(GlobalMean(name, source, self.draw(st.booleans())))

    def pool(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        rank = len(shape) - 2
        kernel, stride = (tuple(self.draw(st.integers(1, 3)) for _ in range(rank)) for _ in range(2))
        padding = tuple(self.draw(st.integers(0, k // 2)) for k in kernel)
        ceil, kind = self.draw(st.booleans()), self.draw(st.integers(0, 2))
        if kind == 0:
            self.nodes.append(MaxPool(name, source, kernel, stride, padding, tuple(self.draw(st.integers(1, 2)) for _ in kernel), ceil))
        elif kind == 1:
            self.nodes.append(AvgPool(name, source, kernel, stride, padding, ceil, self.draw(st.booleans())))
        else:
            self.nodes.append(AdaptiveAvgPool(name, source, kernel))

    def linear(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        table = self.unit(name, source, (self.draw(st.integers(1, 9)), shape[-1]))
        self.nodes.append(IntegerLinear(name, f"{name}.q", name, {MODE: table}))

    def conv(self, name: str, source: str, shape: tuple[int, ...]) -> None:
        kernel = tuple(self.draw(st.integers(1, 3)) for _ in shape[2:])
        table = self.unit(name, source, (self.draw(st.integers(1, 9)), shape[1], *kernel))
        ones = (1,) * len(kernel)
        self.nodes.append(IntegerConv(name, f"{name}.q", name, ones, ((1, 1),) * len(kernel), ones, 1, {MODE: table}))

    def unit(self, name: str, source: str, shape: tuple[int, ...]) -> UnitTable:
        """Add codes of `shape` and the quantizer of the layer that reads them; return the layer's table."""
        bits = self.draw(st.integers(1, 8))
        self.nodes.append(Quantize(f"{name}.q", source, {MODE: QuantizeTable(bits, 0.03125, 0.0)}))
        self.weights.append(WeightCodes(name, self.rng.integers(0, 256, shape, dtype=np.uint8)))
        return UnitTable(self.draw(st.integers(1, 7)), self.f32(shape[0]) / np.float32(64), self.f32(shape[0]))


_KINDS = {  # method: the least number of axes that it needs
    "function": 2, "clip": 2, "affine": 2, "broadcast": 2, "two_edges": 2, "concat": 2, "slice": 2, "pad": 2, "transpose": 2,
    "reshape": 2, "softmax": 2, "layer_norm": 2, "linear": 2, "mean": 3, "pool": 3, "conv": 3,
}  # fmt: skip

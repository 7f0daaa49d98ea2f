"""The operations of an IntegerModel, one small dataclass each; what each computes stands in reference.py.

Every node makes one edge of its own name and reads edges by name. An edge carries float32, or the uint8 codes of a Quantize.
Axes count the batch, which is axis 0 and stays there. `tables` maps the name of a mode to what the node needs in it.
A new operation is one class here, in NODE_KINDS, and one row each in reference.py and shapes.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class QuantizeTable:
    """bits: 1 to 8. step: d > 0, a float32 number. zero_point: z, a multiple of 1/2 from 0 to 2^bits - 1."""

    bits: int
    step: float
    zero_point: float


@dataclass(frozen=True, slots=True)
class Quantize:
    """Codes q = clip(rint(x (1/d) + z), 0, 2^bits - 1), uint8, of a float32 edge; no table for fp32, where x passes through."""

    name: str
    source: str
    tables: Mapping[str, QuantizeTable]


@dataclass(frozen=True, slots=True, eq=False)
class UnitTable:
    """What turns the sums A of one layer into float32 in one mode: y = float32(A) m + t.

    weight_bits: b, 1 to 8; 32 in fp32, where A is the float32 product of the float weight and the float input.
    multiplier: m, float32 (out,).
    offset: t where all taps are valid, float32 (out,).
    exact: float64 (2, out), m and the offset o of A - z V before rounding; None where the border needs no other t: the input's
        zero point is 0, or nothing is padded. Then t = float32(o - m z V[class]), also for the class of all taps valid.
    """

    weight_bits: int
    multiplier: NDArray[np.float32]
    offset: NDArray[np.float32]
    exact: NDArray[np.float64] | None = None


@dataclass(frozen=True, slots=True)
class IntegerConv:
    """A convolution over 1 or 2 axes of codes (N, C, ...), float32 out.

    weight: name of the WeightCodes. stride, dilation: per axis. padding: per axis (before, after); padded positions are no taps.
    """

    name: str
    source: str
    weight: str
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    tables: Mapping[str, UnitTable]


@dataclass(frozen=True, slots=True)
class IntegerLinear:
    """A product over the last axis of codes (N, ..., in), float32 (N, ..., out)."""

    name: str
    source: str
    weight: str
    tables: Mapping[str, UnitTable]


@dataclass(frozen=True, slots=True, eq=False)
class AffineTable:
    """multiplier: m, offset: t; float32 (C,)."""

    multiplier: NDArray[np.float32]
    offset: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Affine:
    """x m + t per channel of axis 1: a norm that no layer before it takes in."""

    name: str
    source: str
    tables: Mapping[str, AffineTable]


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """values: float32, of a shape that broadcasts against the edges it meets, batch axis included; () is one number."""

    name: str
    values: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Add:
    """left + right, shapes broadcast."""

    name: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Mul:
    """left * right, shapes broadcast."""

    name: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Div:
    """left / right, shapes broadcast."""

    name: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Concat:
    """The sources one after another along `axis`."""

    name: str
    sources: tuple[str, ...]
    axis: int


@dataclass(frozen=True, slots=True)
class Clip:
    """min(max(x, low), high): ReLU6 is low 0, high 6; float32 numbers."""

    name: str
    source: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Activation:
    """A function of FUNCTIONS in functions.py, applied to every value: "relu", "hardswish", "gelu", ..."""

    name: str
    source: str
    function: str


@dataclass(frozen=True, slots=True)
class MaxPool:
    """The largest value under each window over the last axes, one or two; padded positions count for nothing.

    All fields per axis. padding: on both sides, at most half the kernel. ceil_mode: a last window may reach beyond the end, as
    long as it starts before the end of the left-padded input.
    """

    name: str
    source: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    ceil_mode: bool = False


@dataclass(frozen=True, slots=True)
class AvgPool:
    """The sum under each window in row-major order, divided once by the window's size; see MaxPool for the windows.

    count_include_pad: padded positions count in the size, as zeros; what reaches beyond the padding never does.
    """

    name: str
    source: str
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    ceil_mode: bool = False
    count_include_pad: bool = True


@dataclass(frozen=True, slots=True)
class AdaptiveAvgPool:
    """The mean of size[i] windows an axis, from floor(j n / size) to ceil((j + 1) n / size); row-major sum, one division."""

    name: str
    source: str
    size: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class GlobalMean:
    """The mean over all axes after the first two, row-major sum, one division: (N, C), or (N, C, 1, ...) with keep_axes."""

    name: str
    source: str
    keep_axes: bool


@dataclass(frozen=True, slots=True)
class Flatten:
    """(N, ...) to (N, product of the rest)."""

    name: str
    source: str


@dataclass(frozen=True, slots=True)
class Reshape:
    """(N, ...) to (N, *shape), row-major; one of `shape` may be -1, what is left."""

    name: str
    source: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Transpose:
    """Axes in a new order: axis i of the result is axis axes[i] of the source; axes[0] is 0."""

    name: str
    source: str
    axes: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LayerNorm:
    """Normalisation over the last n_axes axes, then weight and bias (float32 of those axes' shape, or None); see reference.py."""

    name: str
    source: str
    n_axes: int
    epsilon: float
    weight: NDArray[np.float32] | None
    bias: NDArray[np.float32] | None


@dataclass(frozen=True, slots=True)
class Softmax:
    """exp(x - max) / sum along `axis`; see reference.py."""

    name: str
    source: str
    axis: int


@dataclass(frozen=True, slots=True)
class Pad:
    """`value` around the source: padding is (before, after), each 0 or more, for every axis but the batch."""

    name: str
    source: str
    padding: tuple[tuple[int, int], ...]
    value: float


@dataclass(frozen=True, slots=True)
class Slice:
    """source[start:stop:step] along one axis, not the batch: 0 <= start, stop None for the end, step >= 1."""

    name: str
    source: str
    axis: int
    start: int
    stop: int | None
    step: int


Node = (
    Quantize | IntegerConv | IntegerLinear | Affine | Constant | Add | Mul | Div | Concat | Clip | Activation | MaxPool | AvgPool
    | AdaptiveAvgPool | GlobalMean | Flatten | Reshape | Transpose | LayerNorm | Softmax | Pad | Slice
)  # fmt: skip
NODE_KINDS: dict[str, type[Node]] = {
    kind.__name__: kind
    for kind in (
        Quantize, IntegerConv, IntegerLinear, Affine, Constant, Add, Mul, Div, Concat, Clip, Activation, MaxPool, AvgPool,
        AdaptiveAvgPool, GlobalMean, Flatten, Reshape, Transpose, LayerNorm, Softmax, Pad, Slice,
    )
}  # fmt: skip


def sources_of(node: Node) -> tuple[str, ...]:
    """Return the edges that a node reads, in order."""
    if isinstance(node, Constant):
        return ()
    if isinstance(node, Add | Mul | Div):
        return node.left, node.right
    return node.sources if isinstance(node, Concat) else (node.source,)

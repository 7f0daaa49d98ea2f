"""Integer weights of a layer for all its bit widths, coded in one pass and kept until the weight changes.

Law: docs/arithmetic.md, "Weights". The plain form: quantizers/straight_through.py.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from quantizable.network import passes
from quantizable.network.convolution import EXACT, Borders, Geometry, pack

_LARGEST_CODE = 255


@dataclass(slots=True, eq=False)
class CodedWeight:
    """The integer weights of one layer at one bit width.

    v8: int8 (out, ...): v; at 8 bits code - 128, as v = 2 (code - 128) + 1 does not fit.
    wide: bfloat16 (out, ...): v, exact.
    scale: float32 (out,): sum(W v) / sum(v v), at least 2^-30.
    """

    bits: int
    v8: Tensor
    wide: Tensor
    scale: Tensor
    _packed: dict[str, tuple[object, Tensor]] = field(default_factory=dict)

    def packed(self, geometry: Geometry, input_shape: torch.Size) -> Tensor:
        """Return `v8` as the convolution wants it for inputs of this shape; the last one is kept."""
        key = (geometry, input_shape)
        found = self._packed.get("v8")
        if found is None or found[0] != key:
            found = self._packed["v8"] = (key, pack(self.v8, geometry, input_shape))
        return found[1]

    def taps(self, borders: Borders) -> Tensor:
        """Return V, the sum of the weights of the valid taps, float32 (classes, out); the last one is kept."""
        found = self._packed.get("taps")
        if found is None or found[0] is not borders:
            found = self._packed["taps"] = (borders, borders.tap_sums(self.wide))
        return found[1]

    def digits(self) -> list[tuple[int, Tensor]]:
        """Return pairs (factor, int8 weights) whose weighted sum is `v8`, each so small that its sums stay below 2^24."""
        taps = self.v8[0].numel()
        width = 7
        while width > 2 and taps * _LARGEST_CODE << (width - 1) >= EXACT:
            width -= 1
        rest, factor, parts = self.v8.int(), 1, []
        while bool(rest.any()):
            part = ((rest + (1 << (width - 1))) & ((1 << width) - 1)) - (1 << (width - 1))  # the lowest bits, signed
            parts.append((factor, part.to(torch.int8)))
            rest = (rest - part) >> width
            factor <<= width
        return parts or [(1, self.v8)]


@dataclass(slots=True, eq=False)
class _Entry:
    weight: weakref.ref[Tensor]
    stamp: tuple[int, int, int]  # addresses and a checksum of weight and range
    bits: tuple[int, ...]
    coded: dict[int, CodedWeight]


_kept: dict[int, _Entry] = {}  # id of a weight -> its codes; an entry goes when its weight goes


def code_weight(weight: Tensor, channel_range: Tensor, bits: Sequence[int]) -> dict[int, CodedWeight]:
    """Return the integer weights of every width in `bits`, from the last call where nothing has changed since.

    "Changed" is a checksum of all values: a version counter would miss writes through `.data`. It reads the weight once,
    which costs 0.3 % of a training step of ResNet-18.

    Args:
        weight: W, float32 (out, ...).
        channel_range: r > 0, float32 (out,).
        bits: the widths that the layer needs in any mode, each 1 to 8.
    """
    widths = tuple(sorted(set(bits)))
    dense = _rows_first(weight.detach())
    ranges = channel_range.detach().contiguous()
    stamp = (dense.data_ptr(), ranges.data_ptr(), passes.checksum(dense, passes.checksum(ranges)))
    key = id(weight)
    entry = _kept.get(key)
    if entry is not None and entry.weight() is weight and entry.stamp == stamp and entry.bits == widths:
        return entry.coded
    v8, wide, scale = passes.code_weights(dense, ranges, widths)
    coded = {b: CodedWeight(b, v8[j], wide[j], scale[j]) for j, b in enumerate(widths)}
    _kept[key] = _Entry(weakref.ref(weight, lambda _, key=key: _kept.pop(key, None)), stamp, widths, coded)  # type: ignore[misc]
    return coded


def _rows_first(weight: Tensor) -> Tensor:
    """Return `weight` without gaps and with its first axis outermost."""
    if weight.is_contiguous() or (weight.ndim == 4 and weight.is_contiguous(memory_format=torch.channels_last)):
        return weight
    return weight.contiguous()

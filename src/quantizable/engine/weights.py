"""The weights of a session, laid out for its kernels: made from the codes when a mode is prepared, shared by modes of equal bits."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantizable import _native
from quantizable.engine.arena import ALIGNMENT
from quantizable.engine.kernels import Kernels
from quantizable.graph import FLOAT_MODE, IntegerConv, IntegerLinear, IntegerModel, int_weights

Layer = IntegerConv | IntegerLinear
Key = tuple[str, int, int, str]  # weight, bits, groups, kernel


class Weights:
    """Packed weights by what they are: the weight, its bits, groups, and the kernel that reads them."""

    def __init__(self, model: IntegerModel, kernels: Kernels) -> None:
        self._codes = {weight.name: weight.codes for weight in model.weights}
        self._floats = {weight.name: weight.values for weight in model.float_weights}
        self._layers = [node for node in model.nodes if isinstance(node, IntegerConv | IntegerLinear)]
        self._kernels = kernels
        self._packed: dict[Key, NDArray[np.uint8]] = {}

    @property
    def size_bytes(self) -> int:
        """Bytes of all that is packed now."""
        return sum(packed.nbytes for packed in list(self._packed.values()))

    def prepare(self, mode: str) -> None:
        """Pack the weights of all layers in `mode`, where they are not yet."""
        kernel = self._kernels.name("conv", "f32" if mode == FLOAT_MODE else "u8")
        for layer in self._layers:
            self.of(layer, mode, kernel)

    def keep(self, modes: Iterable[str]) -> None:
        """Free what none of `modes` reads; programs that hold it keep it alive."""
        kept = {(layer.weight, layer.tables[mode].weight_bits) for mode in modes for layer in self._layers}
        self._packed = {key: packed for key, packed in self._packed.items() if key[:2] in kept}

    def of(self, layer: Layer, mode: str, kernel: str) -> NDArray[np.uint8]:
        """Return the weights of one layer in `mode` as `kernel` wants them, packed now where they are not yet."""
        bits = layer.tables[mode].weight_bits
        groups = layer.groups if isinstance(layer, IntegerConv) else 1
        key = (layer.weight, bits, groups, kernel)
        if key not in self._packed:
            weight: NDArray[Any] = self._floats[layer.weight] if mode == FLOAT_MODE else int_weights(self._codes[layer.weight], bits)
            self._packed[key] = _pack(np.ascontiguousarray(weight), groups, kernel)
        return self._packed[key]


def _pack(weight: NDArray[Any], groups: int, kernel: str) -> NDArray[np.uint8]:
    out, inputs, *size = weight.shape
    height, width = (1,) * (2 - len(size)) + tuple(size)
    shape = (out, inputs, height, width, groups)
    n_bytes = _native.engine_packed_bytes(kernel, shape)
    room = np.empty(n_bytes + ALIGNMENT, np.uint8)
    start = -room.ctypes.data % ALIGNMENT
    packed = room[start : start + n_bytes]
    _native.engine_pack(kernel, shape, weight.ctypes.data, packed.ctypes.data)
    return packed

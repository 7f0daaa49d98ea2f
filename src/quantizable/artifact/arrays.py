"""Arrays: the header names their type and shape where they belong, a section holds their bytes, in the same order.

``{"f32": [16, 3]}`` in the header stands for the next 16 * 3 float32 numbers of the section. Order is that of the header's text,
so keys in sorted order. Every array starts at a multiple of 8 bytes of its section; the bytes between are 0.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from quantizable.artifact.canonical import Value
from quantizable.artifact.refusal import refusal, shown

Array: TypeAlias = NDArray[Any]
Tree: TypeAlias = "str | int | bool | Array | list[Tree] | dict[str, Tree] | None"  # a Value with its arrays in place

ALIGNMENT = 8
MAX_AXES = 8
TYPES: dict[str, np.dtype[Any]] = {"f32": np.dtype("<f4"), "f64": np.dtype("<f8"), "i64": np.dtype("<i8")}  # little-endian
_NAMES = {dtype: name for name, dtype in TYPES.items()}


def take_out(tree: Tree, blobs: list[bytes]) -> Value:
    """Return `tree` with a name of type and shape for every array, whose bytes are appended to `blobs`, padded."""
    if isinstance(tree, np.ndarray):
        dtype = tree.dtype.newbyteorder("<")
        blobs.append(pad(np.ascontiguousarray(tree, dtype).tobytes(), ALIGNMENT))
        return {_NAMES[dtype]: list(tree.shape)}
    if isinstance(tree, dict):
        return {key: take_out(tree[key], blobs) for key in sorted(tree)}
    return [take_out(item, blobs) for item in tree] if isinstance(tree, list) else tree


def put_back(value: Value, cursor: Cursor) -> Tree:
    """Return `value` with its arrays in place, taken from `cursor`, read-only."""
    if isinstance(value, dict):
        if is_array(value):
            return cursor.take(*type_and_shape(value, where=cursor.where))
        return {key: put_back(value[key], cursor) for key in sorted(value)}
    return [put_back(item, cursor) for item in value] if isinstance(value, list) else value


def size_of(value: Value, *, where: str) -> int:
    """Return the bytes that the arrays named in `value` take in a section."""
    return sum(_padded(dtype.itemsize * prod(shape)) for dtype, shape in _arrays_of(value, where))


def is_array(value: Value) -> bool:
    """Return True where `value` stands for an array."""
    return isinstance(value, dict) and len(value) == 1 and next(iter(value)) in TYPES


def type_and_shape(value: Value, *, where: str) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """Return the dtype and shape that a name such as ``{"f32": [16, 3]}`` states."""
    assert isinstance(value, dict)
    ((name, shape),) = value.items()
    return TYPES[name], checked_shape(shape, where=where)


def checked_shape(shape: Value, *, where: str) -> tuple[int, ...]:
    """Return `shape` as a tuple; raise ArtifactError unless it is a list of at most 8 whole numbers from 1 up."""
    if not isinstance(shape, list) or len(shape) > MAX_AXES or not all(type(size) is int and size >= 1 for size in shape):
        raise refusal(where, "shape", f"the header gives a shape of {shown(shape)}, a shape is at most {MAX_AXES} whole numbers from 1 up")
    return tuple(size for size in shape if isinstance(size, int))


def pad(data: bytes, multiple: int) -> bytes:
    """Return `data` with zeros behind it up to a multiple of `multiple` bytes."""
    return data + bytes(-len(data) % multiple)


def check_padding(data: memoryview, *, where: str, section: str) -> None:
    """Raise ArtifactError unless all of `data` is 0."""
    if any(data):
        raise refusal(where, "padding", f"section {section!r} has a byte other than 0 between its contents", section=section)


class Cursor:
    """A section read array by array. Its length was checked against the header: what is asked for is there."""

    def __init__(self, data: memoryview, *, where: str, section: str) -> None:
        self.where, self.section = where, section
        self._data, self._offset = data, 0

    def take(self, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Array:
        """Return the next array, a view of the section's bytes in the machine's byte order."""
        start, size = self._offset, dtype.itemsize * prod(shape)
        self._offset = start + _padded(size)
        assert self._offset <= len(self._data)
        check_padding(self._data[start + size : self._offset], where=self.where, section=self.section)
        found = np.frombuffer(self._data[start : start + size], dtype).reshape(shape)
        return found.astype(dtype.newbyteorder("="), copy=False)

    def finish(self) -> None:
        """Raise ArtifactError unless the rest of the section is 0."""
        check_padding(self._data[self._offset :], where=self.where, section=self.section)


def _arrays_of(value: Value, where: str) -> Iterator[tuple[np.dtype[Any], tuple[int, ...]]]:
    if is_array(value):
        yield type_and_shape(value, where=where)
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _arrays_of(item, where)


def _padded(size: int) -> int:
    return size + -size % ALIGNMENT

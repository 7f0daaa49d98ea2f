"""A batch is read as data; whatever else its pickle asks for is refused by name."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from quantizable.data.cifar_batch import read_batch
from quantizable.errors import DataError


def read(raw: bytes) -> tuple[np.ndarray, np.ndarray]:
    return read_batch(raw, label_key=b"labels", where="data_batch_1")


@pytest.mark.parametrize("protocol", [2, 3, 4])
def test_planes_become_pixels(protocol: int) -> None:
    """Row k of the file holds the red plane, then green, then blue."""
    data = np.random.default_rng(0).integers(0, 256, (3, 3072), dtype=np.uint8)
    x, y = read(pickle.dumps({b"data": data, b"labels": [7, 0, 9]}, protocol=protocol))
    assert x.dtype == np.uint8
    assert x.shape == (3, 32, 32, 3)
    for channel in range(3):
        assert np.array_equal(x[..., channel].reshape(3, 1024), data[:, 1024 * channel : 1024 * (channel + 1)])
    assert y.dtype == np.int64
    assert y.tolist() == [7, 0, 9]


def test_the_opcodes_of_the_official_files_are_read(batch_files: dict[str, bytes]) -> None:
    """data_batch_1 of the fixture is written as Python 2 did; the plain unpickler reads the same from it."""
    raw = batch_files["data_batch_1"]
    x, y = read(raw)
    plain = pickle.loads(raw, encoding="bytes")
    assert np.array_equal(x.transpose(0, 3, 1, 2).reshape(len(x), -1), plain[b"data"])
    assert y.tolist() == plain[b"labels"]


def test_cifar100_takes_the_fine_labels() -> None:
    """A batch of CIFAR-100 holds two lists; the one that is named is read."""
    batch = {b"data": np.zeros((2, 3072), np.uint8), b"fine_labels": [99, 4], b"coarse_labels": [19, 0]}
    _, y = read_batch(pickle.dumps(batch, protocol=2), label_key=b"fine_labels", where="train")
    assert y.tolist() == [99, 4]
    with pytest.raises(DataError, match="lacks an array 'data' or a list 'labels'"):
        read(pickle.dumps(batch, protocol=2))


class _Attack:
    """Unpickles into a call."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_calls_the_system_is_refused_and_not_run(protocol: int, tmp_path: Path) -> None:
    """No code runs: the file that the attack would make is not there, and the forbidden name is in the message."""
    mark = tmp_path / "attacked"
    raw = pickle.dumps({b"data": _Attack(os.mkdir, str(mark)), b"labels": [0]}, protocol=protocol)
    with pytest.raises(DataError, match=rf"data_batch_1: the pickle asks for '{os.mkdir.__module__}\.mkdir'"):
        read(raw)
    assert not mark.exists()
    pickle.loads(raw)  # the attack is real
    assert mark.exists()


@pytest.mark.parametrize(
    ("module", "name"),
    [("builtins", "eval"), ("builtins", "getattr"), ("numpy", "load"), ("numpy.core.multiarray", "scalar"), ("copyreg", "_reconstructor")],
)
def test_any_other_global_is_refused(module: str, name: str) -> None:
    """Also those that look harmless, or belong to NumPy."""
    with pytest.raises(DataError, match=rf"asks for '{module}\.{name}'"):
        read(b"\x80\x02c" + module.encode() + b"\n" + name.encode() + b"\n.")


def test_a_size_that_is_only_claimed_allocates_nothing() -> None:
    """An array of 2^31 - 1 rows with three bytes is no array."""
    head = b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nJ\xff\xff\xff\x7f\x85U\x01btR"
    state = b"(K\x01J\xff\xff\xff\x7fM\x00\x0c\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR\x89U\x03abctb"
    with pytest.raises(DataError, match="not an array uint8"):
        read(head + state + b"U\x06labels](K\x01eu.")


def test_a_truncated_batch_is_refused_at_every_length(batch_files: dict[str, bytes]) -> None:
    """Each prefix of the file gives one DataError, never another exception. (Inside the pixels every 97th length is tried.)"""
    raw = batch_files["data_batch_1"]
    assert len(read(raw)[1]) == 4
    for size in [*range(250), *range(250, len(raw) - 80, 97), *range(len(raw) - 80, len(raw))]:
        with pytest.raises(DataError, match=r"^data_batch_1: "):
            read(raw[:size])


@pytest.mark.parametrize(
    "content",
    [
        [1, 2],
        {b"data": np.zeros((2, 3072), np.uint8)},
        {b"labels": [1, 2]},
        {b"data": np.zeros((2, 3071), np.uint8), b"labels": [1, 2]},
        {b"data": np.zeros((2, 3072), np.int8), b"labels": [1, 2]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 2, 3]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, "2"]},
        {b"data": np.zeros((2, 3072), np.uint8), b"labels": [1, 2**70]},
        {b"data": np.zeros((2, 3072), np.uint8, order="F"), b"labels": [1, 2]},
    ],
    ids=["list", "no labels", "no data", "narrow", "signed", "too many labels", "text label", "huge label", "Fortran order"],
)
def test_what_is_no_batch_is_refused(content: object) -> None:
    """A pickle may be harmless and still be something else."""
    with pytest.raises(DataError, match="fetch the archive again"):
        read(pickle.dumps(content, protocol=2))

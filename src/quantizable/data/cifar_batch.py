"""One CIFAR batch file: a pickle, read without running any code that it names.

A batch is a dict with `data`, a uint8 array (n, 3072) with the red plane first, and a list of labels. Its pickle needs three
names, all of which stand for passive stand-ins here, not for NumPy's own: even array sizes that the file only claims
allocate nothing. Any other name is refused before it is imported.
"""

from __future__ import annotations

import io
import pickle
from typing import Any

import numpy as np
import numpy.typing as npt

from quantizable.errors import DataError


def read_batch(raw: bytes, *, label_key: bytes, where: str) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return images uint8 (n, 32, 32, 3) RGB and labels int64 (n,) of a batch file's bytes.

    Args:
        label_key: b"labels" (CIFAR-10) or b"fine_labels" (CIFAR-100).

    Raises:
        DataError: the pickle names something that a batch does not need (it is named), is damaged, or is no batch.
    """
    try:
        found: object = _BatchUnpickler(io.BytesIO(raw), encoding="bytes").load()
    except DataError as error:
        raise DataError(f"{where}: {error}") from None
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{where}: not a whole pickle of a CIFAR batch ({type(error).__name__}); fetch the archive again") from error
    if not isinstance(found, dict):
        raise DataError(f"{where}: holds a {type(found).__name__}, not a dict; fetch the archive again")
    batch = {key.encode() if isinstance(key, str) else key: value for key, value in found.items()}
    data, labels = batch.get(b"data"), batch.get(label_key)
    if not isinstance(data, _Array) or not isinstance(labels, list):
        raise DataError(f"{where}: lacks an array 'data' or a list '{label_key.decode()}'; fetch the archive again")
    pixels = data.pixels(where=where)
    if len(labels) != len(pixels) or not all(type(label) is int and 0 <= label < 2**31 for label in labels):
        raise DataError(
            f"{where}: needs {len(pixels)} whole numbers in '{label_key.decode()}', found {len(labels)} entries; fetch the archive again"
        )
    planes = pixels.reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.asarray(labels, dtype=np.int64)


class _Dtype:
    """Stands for numpy.dtype: remembers the name, takes the state, does nothing."""

    def __init__(self, name: object = None, *_: object) -> None:
        self.name = name

    def __setstate__(self, state: object) -> None:
        pass


class _Array:
    """Stands for numpy.ndarray: remembers the state (version, shape, dtype, Fortran order, bytes)."""

    def __init__(self, *_: object) -> None:
        self.state: object = None

    def __setstate__(self, state: object) -> None:
        self.state = state

    def pixels(self, *, where: str) -> npt.NDArray[np.uint8]:
        """Return the bytes as (n, 3072)."""
        match self.state:
            case (int(), (int(n), 3072), _Dtype(name=b"u1" | "u1"), False | 0, bytes(raw)) if n > 0 and len(raw) == n * 3072:
                return np.frombuffer(raw, dtype=np.uint8).reshape(n, 3072)
        raise DataError(f"{where}: 'data' is not an array uint8 (n, 3072) with all its bytes; fetch the archive again")


def _latin_bytes(text: object, encoding: object = "latin1") -> bytes:
    """Stands for _codecs.encode, by which Python 3 writes bytes into old pickles."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise pickle.UnpicklingError("not latin1 text")
    return text.encode("latin1")


_STAND_INS: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,  # NumPy 1, and the official files
    ("numpy._core.multiarray", "_reconstruct"): _Array,  # NumPy 2
    ("_codecs", "encode"): _latin_bytes,
}


class _BatchUnpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        stand_in = _STAND_INS.get((module_name, global_name))
        if stand_in is None:
            raise DataError(
                f"the pickle asks for '{module_name}.{global_name}', which no CIFAR batch needs; "
                "do not trust this file, fetch the archive again"
            )
        return stand_in

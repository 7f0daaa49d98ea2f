"""Tiny stand-ins for the real data sets: CIFAR in its official layout, and folders of image files."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantizable.data import CIFAR10, CifarArchive, Images


def python2_batch(data: np.ndarray, labels: list[int]) -> bytes:
    """The opcodes in which Python 2 and its NumPy wrote the official batches: protocol 2, byte strings, old module names."""
    raw = data.tobytes()
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        b"(K\x01J" + len(data).to_bytes(4, "little") + b"M\x00\x0c\x86cnumpy\ndtype\n(U\x02u1K\x00K\x01tR"
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89T" + len(raw).to_bytes(4, "little") + raw + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(U\x04data" + array + b"U\x06labels" + numbers + b"U\x0bbatch_labelU\x05batchu."


@pytest.fixture
def batch_files() -> dict[str, bytes]:
    """The six batch files of a CIFAR-10 with 20 training and 10 test images."""
    rng = np.random.default_rng(7)
    files = {}
    for number, name in enumerate((*CIFAR10.train, *CIFAR10.test)):
        n = 10 if name in CIFAR10.test else 4
        data = rng.integers(0, 256, (n, 3072), dtype=np.uint8)
        labels = [(number + i) % 10 for i in range(n)]
        if number == 0:
            files[name] = python2_batch(data, labels)
        else:
            files[name] = pickle.dumps({b"data": data, b"labels": labels}, protocol=2 if number % 2 else 4)
    return files


@pytest.fixture
def tar_of() -> Callable[[dict[str, bytes]], bytes]:
    """Packs batch files into an archive of the official layout."""

    def pack(files: dict[str, bytes]) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w:gz") as tar:
            for name, raw in files.items():
                member = tarfile.TarInfo(f"{CIFAR10.folder}/{name}")
                member.size = len(raw)
                tar.addfile(member, io.BytesIO(raw))
        return out.getvalue()

    return pack


@pytest.fixture
def archive_of() -> Callable[[bytes], CifarArchive]:
    """CIFAR-10's description with the checksum of these bytes, and an address where nothing listens."""

    def describe(raw: bytes, url: str = "http://127.0.0.1:1/cifar-10-python.tar.gz") -> CifarArchive:
        return replace(CIFAR10, url=url, md5=hashlib.md5(raw).hexdigest())

    return describe


@pytest.fixture
def random_images() -> Images:
    """50 random colour images of 9 x 7 in five classes of different size."""
    rng = np.random.default_rng(3)
    x = rng.integers(0, 256, (50, 9, 7, 3), dtype=np.uint8)
    y = np.sort(rng.integers(0, 5, 50)).astype(np.int64)
    return Images(x, y, tuple("abcde"), (0.5, 0.4, 0.3), (0.2, 0.3, 0.4))


@pytest.fixture
def image_root(tmp_path: Path) -> Path:
    """A folder in the ImageNet layout: three classes of 6, 5 and 4 training and 2 test images, JPEG and PNG."""
    rng = np.random.default_rng(5)
    for part, counts in (("train", (6, 5, 4)), ("val", (2, 2, 2))):
        for name, count in zip(("cat", "dog", "elk"), counts, strict=True):
            folder = tmp_path / part / name
            folder.mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(9, 0).repeat(9, 1)
                Image.fromarray(pixels).save(folder / (f"{i}.JPEG" if i % 2 else f"{i}.png"))
    return tmp_path

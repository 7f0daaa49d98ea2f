"""CIFAR-10 and CIFAR-100 (Krizhevsky, Nair, Hinton, 2009): 50,000 training and 10,000 test images of 32 x 32.

Looked for under the root, in this order: `<name>.npz`, the unpacked official folder, the official archive; else the archive
is downloaded. The archive is read where it lies and never unpacked to disk.
"""

from __future__ import annotations

import os
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from quantizable.data.cifar_batch import read_batch
from quantizable.data.download import download as fetch
from quantizable.data.download import md5_of
from quantizable.data.npz import read_arrays, splits_of
from quantizable.data.splits import Splits
from quantizable.errors import DataError


@dataclass(frozen=True, slots=True)
class CifarArchive:
    """Where an official archive is, how to know it, and what lies in it."""

    name: str
    url: str
    md5: str
    folder: str  # inside the archive
    train: tuple[str, ...]  # batch files, in order
    test: tuple[str, ...]
    label_key: bytes  # of the labels in a batch
    class_names: tuple[str, ...]
    mean: tuple[float, ...]  # of the training images, scale 0 to 1
    std: tuple[float, ...]

    @property
    def file_name(self) -> str:
        """The archive's own name, the end of its URL."""
        return self.url.rsplit("/", 1)[-1]


_CIFAR10_CLASSES = "airplane automobile bird cat deer dog frog horse ship truck"
_CIFAR100_CLASSES = (
    "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can "
    "castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin "
    "elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster "
    "man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck "
    "pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk "
    "skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger "
    "tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm"
)

CIFAR10 = CifarArchive(
    name="cifar10",
    url="https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    md5="c58f30108f718f92721af3b95e74349a",
    folder="cifar-10-batches-py",
    train=tuple(f"data_batch_{i}" for i in range(1, 6)),
    test=("test_batch",),
    label_key=b"labels",
    class_names=tuple(_CIFAR10_CLASSES.split()),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2470, 0.2435, 0.2616),
)

CIFAR100 = CifarArchive(
    name="cifar100",
    url="https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    md5="eb9058c3a382ffc7106e4002c42a8d85",
    folder="cifar-100-python",
    train=("train",),
    test=("test",),
    label_key=b"fine_labels",
    class_names=tuple(_CIFAR100_CLASSES.split()),
    mean=(0.5071, 0.4865, 0.4409),
    std=(0.2673, 0.2564, 0.2762),
)


def load_cifar(archive: CifarArchive, root: Path | None = None, *, download: bool = True) -> Splits:
    """Return the official training and test sets.

    Args:
        root: the folder that holds, or shall hold, the data; or an .npz file itself. Default: the user's cache folder.
        download: fetch the archive when nothing is found.

    Raises:
        DataError: nothing found and no download wanted or possible, or what was found is damaged.
    """
    base = cache_folder() if root is None else root
    batches = base / archive.folder
    tar = base / archive.file_name
    npz = base if base.suffix == ".npz" else base / f"{archive.name}.npz"
    if npz.is_file():
        return _splits(read_arrays(npz), archive, where=str(npz))
    if batches.is_dir():
        return _splits(_arrays(dict(_from_folder(batches, archive)), archive, where=batches), archive, where=archive.name)
    if not tar.is_file():
        if not download or base.suffix == ".npz":
            raise DataError(
                f"{archive.name}: found neither {npz.name} nor {archive.folder}/ nor {tar.name} in {npz.parent}; "
                f"put one there ({archive.url}), or allow the download"
            )
        fetch(archive.url, tar, md5=archive.md5)
    return _splits(_arrays(dict(_from_archive(tar, archive)), archive, where=tar), archive, where=archive.name)


def cache_folder() -> Path:
    """Return the folder for downloads: $XDG_CACHE_HOME/quantizable, or ~/.cache/quantizable."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "quantizable"


def _from_folder(folder: Path, archive: CifarArchive) -> Iterator[tuple[str, bytes]]:
    for name in (*archive.train, *archive.test):
        if not (folder / name).is_file():
            raise DataError(f"{folder}: lacks the file '{name}'; unpack {archive.file_name} again")
        yield name, (folder / name).read_bytes()


def _from_archive(tar: Path, archive: CifarArchive) -> Iterator[tuple[str, bytes]]:
    found = md5_of(tar)
    if found != archive.md5:
        raise DataError(f"{tar}: md5 is {found}, expected {archive.md5}; delete it and fetch it again from {archive.url}")
    try:
        with tarfile.open(tar, "r:gz") as file:
            wanted = {f"{archive.folder}/{name}": name for name in (*archive.train, *archive.test)}
            for member in file:
                content = file.extractfile(member) if member.name in wanted else None
                if content is not None:
                    yield wanted[member.name], content.read()
    except (tarfile.TarError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{tar}: not a whole .tar.gz ({error}); delete it and fetch it again from {archive.url}") from error


def _arrays(files: dict[str, bytes], archive: CifarArchive, *, where: Path) -> dict[str, npt.NDArray[Any]]:
    arrays: dict[str, npt.NDArray[Any]] = {}
    for part, names in (("train", archive.train), ("test", archive.test)):
        missing = [name for name in names if name not in files]
        if missing:
            raise DataError(f"{where}: lacks the file '{missing[0]}'; fetch it again from {archive.url}")
        parts = [read_batch(files[name], label_key=archive.label_key, where=f"{where}: {name}") for name in names]
        arrays[f"x_{part}"] = np.concatenate([x for x, _ in parts])
        arrays[f"y_{part}"] = np.concatenate([y for _, y in parts])
    return arrays


def _splits(arrays: dict[str, npt.NDArray[Any]], archive: CifarArchive, *, where: str) -> Splits:
    if arrays["x_train"].shape[1:] != (32, 32, 3):
        raise DataError(
            f"{where}: {archive.name} images are (32, 32, 3), found {arrays['x_train'].shape[1:]}; name the set 'npz' to use other images"
        )
    return splits_of(arrays, class_names=archive.class_names, mean=archive.mean, std=archive.std, where=where)

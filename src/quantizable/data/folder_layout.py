"""The ImageNet layout of image folders, and Tiny-ImageNet's variant of it.

root/train/<class>/**.jpg
root/val/<class>/**.jpg     optional; becomes the test set, for reporting
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from quantizable.data.decode import ResizedCrop
from quantizable.data.folder import FolderImages
from quantizable.data.splits import Splits
from quantizable.errors import DataError

_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
_EXPECTED = "expected train/<class>/*.jpg and, for the test set, val/<class>/*.jpg"
_TINY_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
_TINY_ANNOTATIONS = "val_annotations.txt"  # lines: file name, class, box


def load_folder(root: Path | None, *, download: bool = False) -> Splits:
    """Return the images under root/train and, where it is there, root/val as the test set; classes are the folder names, sorted.

    `download` is not used. Sizes are ImageNet's (224 of 256); `Splits.at_size` changes them.

    Raises:
        DataError: another layout, a class without images, or a class in val that train lacks.
    """
    if root is None:
        raise DataError(f"folder: no folder named; give it as root; {_EXPECTED}")
    train = _train(root)
    test = _by_class(root / "val", train.class_names, name=f"{root} val") if (root / "val").is_dir() else None
    return Splits(train=train, test=test, augment=ResizedCrop())


def load_tiny_imagenet(root: Path | None, *, download: bool = False) -> Splits:
    """Return Tiny-ImageNet's 100,000 training and 10,000 validation images (as the test set), 64 x 64, 200 classes.

    Args:
        root: the unpacked folder tiny-imagenet-200, or the folder it lies in. It is never downloaded.

    Raises:
        DataError: not there, or not that layout.
    """
    base = None if root is None else root / "tiny-imagenet-200" if (root / "tiny-imagenet-200").is_dir() else root
    if base is None or not (base / "train").is_dir():
        raise DataError(f"tiny-imagenet: no folder train/ in {base or 'no root'}; unpack {_TINY_URL} and give the folder as root")
    train = _train(base)
    annotations = base / "val" / _TINY_ANNOTATIONS
    if annotations.is_file():
        test = _annotated(annotations, train.class_names, name=f"{base} val")
    else:
        test = _by_class(base / "val", train.class_names, name=f"{base} val")
    # Every pixel counts at 64: no margin, and crops of at least a quarter of the area.
    splits = Splits(train=replace(train, size=64, resize=64), test=replace(test, size=64, resize=64))
    return replace(splits, augment=ResizedCrop(min_area=0.25))


def _train(root: Path) -> FolderImages:
    folder = root / "train"
    if not folder.is_dir():
        inside = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())[:3] if root.is_dir() else []
        found = f"found the folders {', '.join(inside)}" if inside else "found no such folder"
        raise DataError(f"{root}: {_EXPECTED}, {found}; make a folder train/ and move the classes into it")
    names = tuple(sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()))
    if not names:
        raise DataError(f"{folder}: holds no class folders; {_EXPECTED}")
    images = _by_class(folder, names, name=f"{root} train")
    empty = np.flatnonzero(np.bincount(images.y, minlength=len(names)) == 0)
    if empty.size:
        raise DataError(f"{folder / names[int(empty[0])]}: no image files ({', '.join(_ENDINGS)}); fill the class or remove its folder")
    return images


def _by_class(folder: Path, class_names: tuple[str, ...], *, name: str) -> FolderImages:
    """Return the images of a folder whose subfolders are among the classes."""
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; {_EXPECTED}")
    label_of = {class_name: label for label, class_name in enumerate(class_names)}
    files: list[str] = []
    labels: list[int] = []
    for found in sorted(entry.name for entry in os.scandir(folder) if entry.is_dir()):
        if found not in label_of:
            raise DataError(f"{folder / found}: class '{found}' is not among the {len(class_names)} of train; rename or remove it")
        inside = _image_files(folder / found)
        files += [os.path.join(found, file) for file in inside]
        labels += [label_of[found]] * len(inside)
    if not files:
        raise DataError(f"{folder}: holds no images; {_EXPECTED}")
    return FolderImages(folder, tuple(files), np.asarray(labels, dtype=np.int64), class_names, name=name)


def _image_files(folder: Path) -> list[str]:
    """Return the image files below a folder, relative to it, sorted."""
    found = []
    for place, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(place, name), folder) for name in names if name.lower().endswith(_ENDINGS)]
    return sorted(found)


def _annotated(annotations: Path, class_names: tuple[str, ...], *, name: str) -> FolderImages:
    """Return the images of val/images, labelled by the lines of val_annotations.txt."""
    label_of = {class_name: label for label, class_name in enumerate(class_names)}
    files: list[str] = []
    labels: list[int] = []
    for number, line in enumerate(annotations.read_text(encoding="utf-8").splitlines(), 1):
        parts = line.split("\t")
        if len(parts) < 2 or parts[1] not in label_of:
            raise DataError(f"{annotations}: line {number} names no class of train, found {line[:60]!r}; unpack the archive again")
        files.append(os.path.join("images", parts[0]))
        labels.append(label_of[parts[1]])
    return FolderImages(annotations.parent, tuple(files), np.asarray(labels, dtype=np.int64), class_names, name=name)

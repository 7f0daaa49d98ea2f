"""Image folders: found, labelled and decoded the same way whatever loads them; broken files are named."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from quantizable.data import FolderImages, Loader, ResizedCrop, load_data
from quantizable.data.decode import centre_box, random_box
from quantizable.errors import DataError


def folder(root: Path, size: int = 24) -> FolderImages:
    images = load_data("folder", root=root, image_size=size).train
    assert isinstance(images, FolderImages)
    return images


def test_the_layout_gives_files_and_labels(image_root: Path) -> None:
    """Classes are the folder names, sorted; val becomes the test set."""
    splits = load_data("folder", root=image_root, validation=3)
    assert splits.train.class_names == ("cat", "dog", "elk")
    assert splits.validation is not None
    assert splits.test is not None
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (12, 3, 6)
    assert np.bincount(splits.validation.y).tolist() == [1, 1, 1]
    assert splits.test.y.tolist() == [0, 0, 1, 1, 2, 2]


def test_tiny_imagenet_labels_its_val_by_a_list(image_root: Path) -> None:
    """train/<class>/images/*, val/images/* and val_annotations.txt; 64 x 64 without a margin."""
    root = image_root / "tiny-imagenet-200"
    for name in ("cat", "dog", "elk"):
        shutil.copytree(image_root / "train" / name, root / "train" / name / "images")
    (root / "val" / "images").mkdir(parents=True)
    lines = []
    for i, name in enumerate(("elk", "cat")):
        shutil.copy(image_root / "val" / name / "0.png", root / "val" / "images" / f"val_{i}.png")
        lines.append(f"val_{i}.png\t{name}\t0\t0\t62\t62\n")
    annotations = root / "val" / "val_annotations.txt"
    annotations.write_text("".join(lines))
    splits = load_data("tiny-imagenet", root=image_root)
    assert isinstance(splits.test, FolderImages)
    assert splits.test.y.tolist() == [2, 0]
    assert splits.test.decode(0).shape == (64, 64, 3)
    annotations.write_text(lines[0] + "val_1.png\tfox\n")
    with pytest.raises(DataError, match=r"val_annotations\.txt: line 2 names no class of train"):
        load_data("tiny-imagenet", root=root)


def test_workers_and_ranks_do_not_change_what_is_seen(image_root: Path) -> None:
    """A function of (seed, epoch, index): two workers, none, and two ranks give the same bytes."""
    images = folder(image_root)
    with_workers = list(Loader(images, batch_size=4, seed=2, augment=ResizedCrop(), workers=2))
    alone = list(Loader(images, batch_size=4, seed=2, augment=ResizedCrop(), workers=0))
    ranks = [list(Loader(images, batch_size=2, seed=2, augment=ResizedCrop(), workers=0, rank=rank, world_size=2)) for rank in (0, 1)]
    assert len(alone) == 3
    for i, (x, y) in enumerate(alone):
        assert x.shape == (4, 3, 24, 24)
        assert x.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(x, with_workers[i][0])
        assert torch.equal(y, with_workers[i][1])
        assert torch.equal(x, torch.cat([rank[i][0] for rank in ranks]))


def test_resuming_gives_the_same_images(image_root: Path) -> None:
    """Seek: the tail of the epoch; another epoch differs."""
    loader = Loader(folder(image_root), batch_size=4, seed=2, augment=ResizedCrop(), workers=0)
    whole = [x for x, _ in loader]
    other = [x for x, _ in loader]
    loader.set_epoch(0)
    loader.seek(1)
    assert all(torch.equal(a, b) for a, b in zip(whole[1:], [x for x, _ in loader], strict=True))
    assert not torch.equal(whole[0], other[0])


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_is_named(image_root: Path, workers: int) -> None:
    """One DataError with the path, from a worker too."""
    broken = image_root / "train" / "dog" / "1.JPEG"
    broken.write_bytes(broken.read_bytes()[:200])
    with pytest.raises(DataError, match=r"1\.JPEG: not a readable image") as caught:
        list(Loader.in_order(folder(image_root), batch_size=4, workers=workers))
    assert "\n" not in str(caught.value)
    assert str(broken) in str(caught.value)


def test_a_lost_worker_is_one_line(image_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that the system ends (out of memory, for example) stops the epoch with advice, not with a page of torch."""
    monkeypatch.setattr(FolderImages, "decode", lambda *_, **__: os._exit(1))
    with pytest.raises(DataError, match=r"a loader process was lost .*; use fewer workers") as caught:
        list(Loader.in_order(folder(image_root), batch_size=4, workers=1))
    assert "\n" not in str(caught.value)


def test_an_error_of_the_training_loop_passes_through(image_root: Path) -> None:
    """Only the loader's own failures become DataErrors."""
    batches = iter(Loader.in_order(folder(image_root), batch_size=4, workers=0))
    next(batches)
    assert isinstance(batches, Generator)
    with pytest.raises(RuntimeError, match="mine"):
        batches.throw(RuntimeError("mine"))


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_every_kind_of_image_becomes_rgb(image_root: Path, mode: str) -> None:
    """Grey, transparent, palette and print images occur in ImageNet."""
    path = image_root / "train" / "cat" / ("0.png" if mode != "CMYK" else "1.JPEG")
    image = Image.new("RGB", (40, 30), (200, 100, 50))
    (image.quantize(4) if mode == "P" else image.convert(mode)).save(path)
    images = folder(image_root)
    pixels = images.decode([Path(file).name for file in images.files].index(path.name))
    assert pixels.shape == (24, 24, 3)
    assert pixels.dtype == np.uint8
    assert np.ptp(pixels.reshape(-1, 3), axis=0).max() <= 2  # one colour stays one colour


@given(width=st.integers(1, 600), height=st.integers(1, 600), seed=st.integers(0, 2**32))
def test_a_random_part_lies_in_the_image_and_keeps_its_limits(width: int, height: int, seed: int) -> None:
    """Area and ratio stay in their ranges, to the rounding of whole pixels."""
    crop = ResizedCrop()
    left, top, right, bottom = random_box(crop, width=width, height=height, rng=np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    w, h = right - left, bottom - top
    assert (w - 0.5) / (h + 0.5) <= crop.max_ratio
    assert (h - 0.5) / (w + 0.5) <= crop.max_ratio
    if 3 / 4 <= width / height <= 4 / 3:  # else the centre may be taken, whatever its area
        assert (w + 0.5) * (h + 0.5) >= crop.min_area * width * height


def test_the_centre_is_that_of_resizing_and_cropping(image_root: Path) -> None:
    """One step from the file to the centre equals shrinking the shorter side to 36, then cutting 24 x 24, but for rounding."""
    images = folder(image_root, 24)
    images = FolderImages(images.root, images.files, images.y, images.class_names, size=24, resize=36)
    for index, file in enumerate(images.files):
        if not file.endswith(".png"):
            continue  # 72 x 54 files: the shorter side shrinks by 1.5, no pixel grid is shifted
        with Image.open(images.root / file) as image:
            plain = np.asarray(image.resize((48, 36), Image.Resampling.BILINEAR).crop((12, 6, 36, 30)))
        difference = np.abs(images.decode(index).astype(int) - plain)
        assert difference[2:-2, 2:-2].max() <= 1  # the outer pixels do not see their neighbours beyond the box


def test_a_mirrored_part_is_the_mirror_image(image_root: Path) -> None:
    """With and without flip the same part is taken, and about half the files are mirrored."""
    images = folder(image_root)
    mirrored = 0
    for index in range(len(images)):
        plain = images.decode(index, crop=ResizedCrop(flip=False), seed=9)
        maybe = images.decode(index, crop=ResizedCrop(), seed=9)
        is_mirrored = np.array_equal(maybe, plain[:, ::-1])
        assert is_mirrored or np.array_equal(maybe, plain)
        mirrored += is_mirrored
    assert 0 < mirrored < len(images)


def test_each_seed_epoch_and_file_has_a_crop_of_its_own(image_root: Path) -> None:
    """Changing any of the three changes the picture; repeating all three repeats it."""
    images = folder(image_root)
    crop = ResizedCrop()
    first = images.decode(0, crop=crop, seed=1, epoch=1)
    assert np.array_equal(first, images.decode(0, crop=crop, seed=1, epoch=1))
    assert not np.array_equal(first, images.decode(0, crop=crop, seed=2, epoch=1))
    assert not np.array_equal(first, images.decode(0, crop=crop, seed=1, epoch=2))
    twin = FolderImages(images.root, (images.files[0],) * 2, images.y[:2], images.class_names, size=24, resize=24)
    assert not np.array_equal(twin.decode(0, crop=crop), twin.decode(1, crop=crop))


def test_wrong_layouts_say_what_is_expected(image_root: Path) -> None:
    """Bare class folders, an empty class, an unknown class in val, no folder at all."""
    with pytest.raises(DataError, match=r"expected train/<class>/\*\.jpg .* found the folders cat, dog, elk"):
        load_data("folder", root=image_root / "train")
    (image_root / "flat" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no class folders"):
        load_data("folder", root=image_root / "flat")
    with pytest.raises(DataError, match="expected train/<class>"):
        load_data("folder", root=image_root / "nowhere")
    (image_root / "val" / "fox").mkdir()
    with pytest.raises(DataError, match="class 'fox' is not among the 3 of train"):
        load_data("folder", root=image_root)
    (image_root / "train" / "fox").mkdir()
    with pytest.raises(DataError, match="fox: no image files"):
        load_data("folder", root=image_root)


@pytest.mark.parametrize("wrong", [{"min_area": 0.0}, {"min_area": 1.5}, {"max_ratio": 0.5}])
def test_a_crop_outside_its_limits_is_refused(wrong: dict[str, float]) -> None:
    """Caught when the recipe is read."""
    with pytest.raises(DataError, match="resized crop: "):
        ResizedCrop(**wrong)


def test_the_centre_box_is_inside_and_square() -> None:
    """224 of 256 on a 500 x 375 photograph."""
    left, top, right, bottom = centre_box(224, 256, width=500, height=375)
    assert right - left == bottom - top == 375 * 224 / 256
    assert left + right == 500
    assert top + bottom == 375


def test_real_photographs_are_decoded(data_folder: Path, tmp_path: Path) -> None:
    """JPEGs of a real set through two workers: all come, none is constant, and drafts change little."""
    photographs = sorted((data_folder / "imagenet_dev" / "images").glob("*.jpg"))[:40]
    if not photographs:
        pytest.skip(f"no photographs in {data_folder}/imagenet_dev")
    for i, path in enumerate(photographs):
        place = tmp_path / "train" / f"class{i % 4}"
        place.mkdir(parents=True, exist_ok=True)
        (place / path.name).symlink_to(path)
    images = folder(tmp_path, 96)  # 299 / 96 is above 2: these are decoded at half size
    seen = torch.cat([x for x, _ in Loader.in_order(images, batch_size=8, workers=2)])
    assert seen.shape == (40, 3, 96, 96)
    assert float(seen.flatten(1).std(1).min()) > 0.05
    with Image.open(images.root / images.files[0]) as image:
        box = centre_box(images.size, images.resize, width=299, height=299)
        whole = np.asarray(image.convert("RGB").resize((96, 96), Image.Resampling.BILINEAR, box=box))
    assert np.abs(images.decode(0).astype(int) - whole).mean() < 4

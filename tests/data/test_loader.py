"""The loader: re-iterable, a new order every epoch, resumable at any batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from quantizable.data import Augment, Images, Loader, ResizedCrop, load_data
from quantizable.errors import DataError


def epoch_of(loader: Loader) -> torch.Tensor:
    return torch.cat([x for x, _ in loader])


def test_a_plain_loop_sees_a_new_epoch_each_time(random_images: Images) -> None:
    """Nobody trains on one epoch's crops again and again because set_epoch was forgotten."""
    loader = Loader(random_images, batch_size=10, augment=Augment())
    first, second = epoch_of(loader), epoch_of(loader)
    assert loader.epoch == 2
    assert not torch.equal(first, second)
    loader.set_epoch(0)
    assert torch.equal(epoch_of(loader), first)


@pytest.mark.parametrize("batch", [0, 2, 5])
def test_seek_gives_the_rest_of_the_epoch_once(random_images: Images, batch: int) -> None:
    """Resume: the next iteration starts there, the one after is whole."""
    loader = Loader(random_images, batch_size=10, seed=4, augment=Augment())
    whole = epoch_of(loader)
    loader.set_epoch(0)
    loader.seek(batch)
    rest = [x for x, _ in loader]
    assert len(rest) == 5 - batch
    if rest:
        assert torch.equal(torch.cat(rest), whole[10 * batch :])
    assert len(list(loader)) == len(loader) == 5


def test_an_epoch_that_is_left_early_is_not_counted(random_images: Images) -> None:
    """Only a finished epoch is followed by the next."""
    loader = Loader(random_images, batch_size=10)
    next(iter(loader))
    assert loader.epoch == 0


def test_in_order_yields_every_image(random_images: Images) -> None:
    """Evaluation leaves no image out and draws nothing."""
    loader = Loader.in_order(random_images, batch_size=16)
    labels = torch.cat([y for _, y in loader])
    assert labels.tolist() == random_images.y.tolist()
    assert torch.equal(epoch_of(loader), epoch_of(loader))


def test_the_other_kind_of_augment_is_refused(random_images: Images, image_root: Path) -> None:
    """Images in memory take Augment, folders take ResizedCrop."""
    with pytest.raises(DataError, match="takes Augment as augment, found ResizedCrop"):
        Loader(random_images, batch_size=5, augment=ResizedCrop())
    with pytest.raises(DataError, match="takes ResizedCrop as augment, found Augment"):
        Loader(load_data("folder", root=image_root).train, batch_size=5, augment=Augment())


@pytest.mark.parametrize(("call", "number"), [("seek", 6), ("seek", -1), ("set_epoch", -1)])
def test_a_place_outside_the_epoch_is_refused(random_images: Images, call: str, number: int) -> None:
    """A checkpoint of another data set does not silently end the epoch."""
    with pytest.raises(DataError, match=f"{number}"):
        getattr(Loader(random_images, batch_size=10), call)(number)


def test_too_few_images_fail_when_the_loader_is_made(random_images: Images) -> None:
    """Not at the first batch."""
    with pytest.raises(DataError, match="do not fill one step"):
        Loader(replace(random_images, name="few"), batch_size=64)

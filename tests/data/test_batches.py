"""Batches are a function of (seed, epoch, batch): resuming, ranks and re-running never change what is seen."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quantizable.data import Augment, Images, batches
from quantizable.data.sampling import Sampling
from quantizable.errors import DataError

AUGMENT = Augment(crop_padding=2, cutout=3)


def same(left: tuple[torch.Tensor, torch.Tensor], right: tuple[torch.Tensor, torch.Tensor]) -> bool:
    return torch.equal(left[0], right[0]) and torch.equal(left[1], right[1])


@pytest.mark.parametrize("start", range(8))
def test_starting_in_the_middle_gives_the_same_numbers(random_images: Images, start: int) -> None:
    """Resume: the epoch from batch `start` on is the tail of the whole epoch."""
    whole = list(batches(random_images, batch_size=7, seed=5, epoch=3, augment=AUGMENT))
    tail = list(batches(random_images, batch_size=7, seed=5, epoch=3, augment=AUGMENT, start_batch=start))
    assert len(whole) == 7
    assert len(tail) == 7 - start
    assert all(same(a, b) for a, b in zip(whole[start:], tail, strict=True))


@pytest.mark.parametrize(("seed", "epoch"), [(6, 3), (5, 4)])
def test_another_seed_or_epoch_gives_other_numbers(random_images: Images, seed: int, epoch: int) -> None:
    """Order and crops are drawn anew."""
    one = next(batches(random_images, batch_size=7, seed=5, epoch=3, augment=AUGMENT))
    other = next(batches(random_images, batch_size=7, seed=seed, epoch=epoch, augment=AUGMENT))
    assert not torch.equal(one[0], other[0])


@pytest.mark.parametrize("drop_last", [True, False])
@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_see_together_what_one_process_sees(random_images: Images, world_size: int, drop_last: bool) -> None:
    """Parts of all ranks, put together, equal the batch of one process with the summed batch size, crops included."""
    size = 12
    one = list(batches(random_images, batch_size=size, seed=1, epoch=2, augment=AUGMENT, drop_last=drop_last))
    ranks = [
        list(batches(random_images, batch_size=size // world_size, seed=1, epoch=2, augment=AUGMENT, drop_last=drop_last,
                     rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]  # fmt: skip
    for i, batch in enumerate(one):
        parts = [rank[i] for rank in ranks if i < len(rank)]
        assert same(batch, (torch.cat([x for x, _ in parts]), torch.cat([y for _, y in parts])))


@given(
    n=st.integers(1, 60), batch_size=st.integers(1, 9), world_size=st.integers(1, 5),
    shuffle=st.booleans(), seed=st.integers(0, 2**40), epoch=st.integers(0, 99),
)  # fmt: skip
def test_an_epoch_holds_every_image_once(n: int, batch_size: int, world_size: int, shuffle: bool, seed: int, epoch: int) -> None:
    """Without drop_last the parts of all ranks are a partition of the set; the promised number of batches comes."""
    seen = []
    for rank in range(world_size):
        sampling = Sampling(batch_size, seed, shuffle, rank, world_size, drop_last=False)
        ours = [step.ours for step in sampling.steps(n, epoch=epoch)]
        assert len(ours) == sampling.n_batches(n)
        assert all(1 <= len(part) <= batch_size for part in ours)
        seen += [int(i) for part in ours for i in part]
    assert sorted(seen) == list(range(n))


def test_without_shuffling_the_order_is_that_of_the_set(random_images: Images) -> None:
    """Evaluation sees the images as they lie, normalised only."""
    got = list(batches(random_images, batch_size=20, seed=0, epoch=0, shuffle=False, drop_last=False))
    assert [len(y) for _, y in got] == [20, 20, 10]
    x = torch.cat([x for x, _ in got]).permute(0, 2, 3, 1).numpy()
    expected = (random_images.x / 255 - np.asarray(random_images.mean)) / np.asarray(random_images.std)
    np.testing.assert_allclose(x, expected, atol=1e-6)
    assert np.array_equal(torch.cat([y for _, y in got]).numpy(), random_images.y)


def test_batches_are_channels_last_floats(random_images: Images) -> None:
    """What the networks expect, without a copy."""
    x, y = next(batches(random_images, batch_size=5, seed=0, epoch=0, augment=AUGMENT))
    assert x.shape == (5, 3, 9, 7)
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert y.dtype == torch.int64


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"batch_size": 0}, "batch_size must be 1 or more, found 0"),
        ({"batch_size": 51}, r"50 images do not fill one step of 51 \(1 x 51\)"),
        ({"batch_size": 26, "world_size": 2}, r"50 images do not fill one step of 52 \(2 x 26\)"),
        ({"batch_size": 5, "rank": 2, "world_size": 2}, "found rank 2 of 2"),
    ],
)
def test_a_wrong_size_fails_at_the_call(random_images: Images, wrong: dict[str, int], words: str) -> None:
    """Not at the first batch, where another process may already wait."""
    with pytest.raises(DataError, match=words):
        batches(random_images, seed=0, epoch=0, **wrong)


def test_a_negative_seed_is_refused(random_images: Images) -> None:
    """Seeds count from 0."""
    with pytest.raises(DataError, match="must be 0 or more"):
        next(batches(random_images, batch_size=5, seed=-1, epoch=0))

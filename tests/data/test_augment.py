"""The batched augmentation equals the plain one, image by image; normalisation is a table of 256 entries a channel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from quantizable.data import Augment, normalize
from quantizable.data.augment import Draws, apply, draw
from quantizable.errors import DataError


def plainly(image: np.ndarray, draws: Draws, i: int, augment: Augment, colour: np.ndarray) -> np.ndarray:
    """Crop, flip and cut one image (H, W, C), pixel by pixel."""
    height, width, _ = image.shape
    out = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            from_row = row + int(draws.top[i]) - augment.crop_padding
            from_column = (width - 1 - column if draws.flip[i] else column) + int(draws.left[i]) - augment.crop_padding
            if 0 <= from_row < height and 0 <= from_column < width:
                out[row, column] = image[from_row, from_column]
            down, right = row - int(draws.cut_row[i]) + augment.cutout // 2, column - int(draws.cut_column[i]) + augment.cutout // 2
            if 0 <= down < augment.cutout and 0 <= right < augment.cutout:
                out[row, column] = colour
    return out


@given(
    n=st.integers(1, 5), height=st.integers(1, 6), width=st.integers(1, 6), channels=st.sampled_from((1, 3)),
    padding=st.integers(0, 4), flip=st.booleans(), cutout=st.integers(0, 4), seed=st.integers(0, 2**32),
)  # fmt: skip
def test_a_batch_is_augmented_as_its_images_are(
    n: int, height: int, width: int, channels: int, padding: int, flip: bool, cutout: int, seed: int
) -> None:
    """The gather of whole windows and the loop over pixels agree in every byte, at odd sizes and borders."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, height, width, channels), dtype=np.uint8)
    before = x.copy()
    augment = Augment(crop_padding=padding, flip=flip, cutout=cutout)
    draws = draw(augment, n, height=height, width=width, rng=rng)
    mean = (0.25, 0.5, 0.75)[:channels]
    colour = np.array([64, 128, 191], np.uint8)[:channels]
    got = apply(x, draws, augment, mean=mean)
    assert np.array_equal(got, np.stack([plainly(image, draws, i, augment, colour) for i, image in enumerate(x)]))
    assert np.array_equal(x, before)


def test_draws_reach_every_place_and_both_sides() -> None:
    """Padding 2 gives the offsets 0 to 4 both ways, each about as often, and half the images are mirrored."""
    draws = draw(Augment(crop_padding=2), 10_000, height=8, width=8, rng=np.random.default_rng(0))
    for offsets in (draws.top, draws.left):
        counts = np.bincount(offsets, minlength=5)
        assert len(counts) == 5
        assert np.all(np.abs(counts - 2000) < 200)  # five standard deviations
    assert abs(int(draws.flip.sum()) - 5000) < 250


@given(channels=st.sampled_from((1, 3)), data=st.data())
def test_normalisation_is_the_formula_and_a_table(channels: int, data: st.DataObject) -> None:
    """(x / 255 - mean) / std to float32's precision, and every byte of a channel always gives the same number."""
    value = st.floats(0.05, 0.95)
    mean = tuple(data.draw(st.lists(value, min_size=channels, max_size=channels)))
    std = tuple(data.draw(st.lists(value, min_size=channels, max_size=channels)))
    every_byte = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 4, 4, 1), channels, axis=3)
    got = normalize(every_byte, mean=mean, std=std)
    assert got.dtype == torch.float32
    assert got.shape == (16, channels, 4, 4)
    assert got.is_contiguous(memory_format=torch.channels_last)
    expected = (every_byte / 255 - np.asarray(mean)) / np.asarray(std)
    np.testing.assert_allclose(got.permute(0, 2, 3, 1).numpy(), expected, atol=4e-6)  # at most 20 in size, three roundings
    shuffled = np.random.default_rng(0).permutation(every_byte.reshape(-1, channels)).reshape(1, 8, 32, channels)
    table = got.permute(0, 2, 3, 1).reshape(256, channels).numpy()
    again = normalize(shuffled, mean=mean, std=std).permute(0, 2, 3, 1).numpy()
    for channel in range(channels):
        assert np.array_equal(again[..., channel], table[shuffled[..., channel], channel])


@pytest.mark.parametrize("wrong", [{"crop_padding": -1}, {"cutout": -2}])
def test_negative_pixels_are_refused(wrong: dict[str, int]) -> None:
    """A recipe with a sign too many stops here."""
    with pytest.raises(DataError, match="must be 0 or more pixels"):
        Augment(**wrong)

"""Random crops and flips of a whole batch of bytes, then one affine step to float32.

The random part (`draw`) and the arithmetic (`apply`) are apart: ranks draw for the whole step and keep their own part,
so a step sees the same pictures whatever the number of processes.
A CIFAR batch of 128 with crop, flip and normalisation takes about 1 ms of one core.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from quantizable.data.images import Pixels
from quantizable.errors import DataError


@dataclass(frozen=True, slots=True)
class Augment:
    """What training does to images in memory."""

    crop_padding: int = 4  # pixels of black on every side; then a random window of the old size
    flip: bool = True  # left and right, every second image on average
    cutout: int = 0  # side of a square set to the mean colour, in pixels; 0: none

    def __post_init__(self) -> None:
        if self.crop_padding < 0 or self.cutout < 0:
            raise DataError(
                f"augment: crop_padding and cutout must be 0 or more pixels, found {self.crop_padding} and {self.cutout}; 0 leaves it out"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Draws:
    """The random numbers of n images, each (n,)."""

    top: npt.NDArray[np.int64]  # first row of the window in the padded image, 0 to 2 crop_padding
    left: npt.NDArray[np.int64]
    flip: npt.NDArray[np.bool_]
    cut_row: npt.NDArray[np.int64]  # centre of the cutout, 0 to H - 1
    cut_column: npt.NDArray[np.int64]

    def part(self, part: slice) -> Draws:
        """Return the draws of some of the images."""
        return Draws(self.top[part], self.left[part], self.flip[part], self.cut_row[part], self.cut_column[part])


def draw(augment: Augment, n: int, *, height: int, width: int, rng: np.random.Generator) -> Draws:
    """Return the draws of n images of height x width."""
    window = 2 * augment.crop_padding + 1
    top, left = rng.integers(0, window, (2, n))
    flip = rng.random(n) < 0.5 if augment.flip else np.zeros(n, dtype=np.bool_)
    return Draws(top, left, flip, rng.integers(0, height, n), rng.integers(0, width, n))


def apply(x: Pixels, draws: Draws, augment: Augment, *, mean: tuple[float, ...]) -> Pixels:
    """Return the augmented images: crop, then flip, then cutout; uint8 (n, H, W, C) in and out, `x` untouched.

    Args:
        mean: colour of the cutout, per channel, on the scale 0 to 1.
    """
    n, height, width, _ = x.shape
    p = augment.crop_padding
    padded = np.pad(x, ((0, 0), (p, p), (p, p), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    # (n, 2p+1, 2p+1, C, H, W) -> channels last again: then one gather copies whole rows of W * C bytes.
    out: Pixels = windows.transpose(0, 1, 2, 4, 5, 3)[np.arange(n), draws.top, draws.left]
    out[draws.flip] = out[draws.flip, :, ::-1]
    if augment.cutout:
        out[_square(draws, augment.cutout, height, width)] = np.rint(255 * np.asarray(mean)).astype(np.uint8)
    return out


def normalize(x: Pixels, *, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return x * 1/(255 std) + (-mean / std): float32 (n, C, H, W), channels last in memory.

    One rounded product and one rounded sum, each a function of the byte and its channel alone, so a table of 256 entries a
    channel gives the same numbers.

    Args:
        x: uint8 (n, H, W, C).
    """
    n, height, width, channels = x.shape
    factor = (1 / (255 * np.asarray(std))).astype(np.float32)
    offset = (-np.asarray(mean) / np.asarray(std)).astype(np.float32)
    # Tiled to a row: an inner loop over three channels would not vectorise.
    rows = torch.from_numpy(np.ascontiguousarray(x).reshape(n * height, width * channels)).float()
    rows.mul_(torch.from_numpy(np.tile(factor, width))).add_(torch.from_numpy(np.tile(offset, width)))
    return rows.view(n, height, width, channels).permute(0, 3, 1, 2)


def _square(draws: Draws, side: int, height: int, width: int) -> npt.NDArray[np.bool_]:
    first = side // 2
    rows = np.arange(height) - (draws.cut_row[:, None] - first)
    columns = np.arange(width) - (draws.cut_column[:, None] - first)
    inside: npt.NDArray[np.bool_] = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    return inside

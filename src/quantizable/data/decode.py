"""One image file to a square of bytes: crop, shrink, done. Needs Pillow.

Crop and resize are one bilinear, antialiased step. A JPEG that must shrink by two or more is decoded at 1/2, 1/4 or 1/8 of
its size (`draft`), which never falls below the wanted size.
Images a second, one core, random crops of 500 x 375 JPEGs: about 650 to 224 x 224 (`draft` gains nothing there), 1,000 to
112 x 112 (790 without `draft`), 1,280 to 64 x 64 (740); of 299 x 299 ones with full colour resolution to 224 x 224: about 440.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quantizable.data.images import Pixels
from quantizable.errors import DataError

Box = tuple[float, float, float, float]  # left, top, right, bottom, in pixels


@dataclass(frozen=True, slots=True)
class ResizedCrop:
    """What training does to image files: a random part of the image, brought to the wanted size, half of them mirrored."""

    min_area: float = 0.08  # smallest part of the image's area, 0 to 1; the largest is all of it
    max_ratio: float = 4 / 3  # of width to height, or height to width; 1 or more
    flip: bool = True

    def __post_init__(self) -> None:
        if not (0 < self.min_area <= 1 and self.max_ratio >= 1):
            raise DataError(
                "resized crop: min_area must be in (0, 1] and max_ratio 1 or more, "
                f"found {self.min_area} and {self.max_ratio}; usual are 0.08 and 1.333"
            )


def random_box(crop: ResizedCrop, *, width: int, height: int, rng: np.random.Generator) -> Box:
    """Return a random part of a width x height image: whole pixels, area and log ratio uniform in their ranges.

    Ten tries are drawn; where none fits into the image, the largest centred part of an allowed ratio is taken.
    """
    area = width * height * rng.uniform(crop.min_area, 1, 10)
    ratio = np.exp(rng.uniform(-math.log(crop.max_ratio), math.log(crop.max_ratio), 10))
    w, h = np.rint(np.sqrt(area * ratio)).astype(int), np.rint(np.sqrt(area / ratio)).astype(int)
    place = rng.random((10, 2))
    fits = np.flatnonzero((w >= 1) & (w <= width) & (h >= 1) & (h <= height))
    if fits.size:
        k = int(fits[0])
        left, top = int(place[k, 0] * (width - w[k] + 1)), int(place[k, 1] * (height - h[k] + 1))
        return left, top, left + int(w[k]), top + int(h[k])
    box_width = min(width, max(1, round(height * crop.max_ratio)))
    box_height = min(height, max(1, round(width * crop.max_ratio)))
    left, top = (width - box_width) // 2, (height - box_height) // 2
    return left, top, left + box_width, top + box_height


def centre_box(size: int, resize: int, *, width: int, height: int) -> Box:
    """Return the centre that remains when the shorter side becomes `resize` and `size` x `size` is cut out, in old pixels."""
    side = min(width, height) * size / resize
    left, top = (width - side) / 2, (height - side) / 2
    return left, top, left + side, top + side


def read_image(path: Path, *, size: int, resize: int, crop: ResizedCrop | None, rng: np.random.Generator | None) -> Pixels:
    """Return the image as uint8 (size, size, 3), RGB.

    Args:
        size: side of the result, pixels.
        resize: length the shorter side would get before the centre is cut out; `size` or more. Not used with `crop`.
        crop: random part and mirroring, drawn from `rng`; None: the centre.

    Raises:
        DataError: the file is missing or is no whole image; its path is named.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            width, height = image.size
            flip = False
            if crop is None or rng is None:
                box = centre_box(size, resize, width=width, height=height)
            else:
                box = random_box(crop, width=width, height=height, rng=rng)
                flip = crop.flip and bool(rng.random() < 0.5)
            # Enough pixels of the whole image that the box still has `size`.
            image.draft(None, (math.ceil(width * size / (box[2] - box[0])), math.ceil(height * size / (box[3] - box[1]))))
            x, y = image.size[0] / width, image.size[1] / height
            box = (box[0] * x, box[1] * y, box[2] * x, box[3] * y)
            colour = image if image.mode == "RGB" else image.convert("RGB")
            part = colour.resize((size, size), Image.Resampling.BILINEAR, box=box)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"{path}: not a readable image ({reason}); replace or remove the file") from error
    pixels: Pixels = np.asarray(part)
    return pixels[:, ::-1] if flip else pixels

"""Images check themselves, and moments are those of the plain formula."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from quantizable.data import Images
from quantizable.data.images import moments
from quantizable.errors import DataError


@pytest.mark.parametrize(("label", "index"), [(5, 3), (-1, 0), (99, 49)])
def test_a_label_out_of_range_is_named_with_its_index(random_images: Images, label: int, index: int) -> None:
    """Bad labels stop before training starts, not in a loss an hour later."""
    y = random_images.y.copy()
    y[index] = label
    with pytest.raises(DataError, match=rf"labels out of range: index {index} has label {label}, 5 classes allow 0 to 4"):
        replace(random_images, y=y)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"x": np.zeros((50, 9, 7, 3), np.float32)}, "must be uint8"),
        ({"x": np.zeros((50, 9, 7), np.uint8)}, "must be uint8"),
        ({"x": np.zeros((0, 9, 7, 3), np.uint8), "y": np.zeros(0, np.int64)}, "holds no images"),
        ({"y": np.zeros(49, np.int64)}, r"labels must be int64 of shape \(50,\), found int64 of shape \(49,\)"),
        ({"y": np.zeros(50, np.uint8)}, "labels must be int64"),
        ({"mean": (0.5,)}, "need 3 values"),
        ({"std": (0.5, 0.0, 0.5)}, "std above 0"),
        ({"mean": (0.5, float("nan"), 0.5)}, "must be finite"),
    ],
)
def test_a_wrong_field_is_refused(random_images: Images, change: dict[str, object], words: str) -> None:
    """Each check of Images has its message."""
    with pytest.raises(DataError, match=words):
        replace(random_images, **change)


@given(x=arrays_of.arrays(np.uint8, st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.sampled_from((1, 3)))))
def test_moments_are_those_of_the_float_images(x: np.ndarray) -> None:
    """Histograms give the mean and deviation of x / 255; a constant channel gets deviation 1."""
    mean, std = moments(x)
    plain = x / 255
    expected = plain.std((0, 1, 2))
    np.testing.assert_allclose(mean, plain.mean((0, 1, 2)), atol=1e-12)
    np.testing.assert_allclose(std, np.where(expected > 1e-6, expected, 1), atol=1e-7)

"""Weight codes made in one pass: equal to the plain form for every width, and never older than the weight."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

_native = pytest.importorskip("quantizable._native", reason="the compiled part is not built")
from quantizable.network import coding, passes  # noqa: E402
from quantizable.network.convolution import EXACT, Geometry, borders_of  # noqa: E402
from quantizable.network.quantizers.straight_through import NestedWeight  # noqa: E402
from strategies import weights_and_ranges  # noqa: E402

ALL = tuple(range(1, 9))


def _weight(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _codes_equal_the_plain_form(weight: Tensor, channel_range: Tensor) -> None:
    for name in _native.unit_kernels():
        _native.unit_use_kernels(name)
        v8, wide, scale = passes.code_weights(weight, channel_range, ALL)
        for j, bits in enumerate(ALL):
            integers, plain_scale = NestedWeight.apply(weight, channel_range, bits)
            assert torch.equal(wide[j].float(), integers), (name, bits)
            assert torch.equal(v8[j].float() * 2 + 1 if bits == 8 else v8[j].float(), integers), (name, bits)
            assert torch.equal(scale[j], plain_scale), (name, bits)
    _native.unit_use_kernels(_native.unit_kernels()[0])


@given(drawn=weights_and_ranges())
def test_codes_of_all_widths_equal_the_plain_form(drawn: tuple[NDArray[np.float32], NDArray[np.float32]]):
    """Law, Weights: code, v and s, for any magnitudes that the law allows."""
    _codes_equal_the_plain_form(torch.from_numpy(drawn[0]), torch.from_numpy(drawn[1]))


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 3, 3), (4, 16, 1, 1), (7, 33, 5, 3)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_codes_keep_shape_and_layout_of_the_weight(shape: tuple[int, ...], layout: torch.memory_format):
    """Odd sizes past a tile of 16, in both layouts of torch."""
    weight = _weight(*shape).contiguous(memory_format=layout)
    _codes_equal_the_plain_form(weight, 3 * weight.flatten(1).square().mean(1).sqrt())


def test_codes_are_made_once_while_nothing_changes():
    """All modes of a step read the codes of one pass."""
    weight, channel_range = _weight(4, 3, 3, 3), torch.ones(4)
    assert coding.code_weight(weight, channel_range, ALL) is coding.code_weight(weight, channel_range, ALL)


@pytest.mark.parametrize("change", ["in place", "through data", "the range", "two values swapped", "replaced data"])
def test_codes_follow_every_change(change: str):
    """A version counter misses writes through `.data`; stale codes would train another network without a word."""
    weight, channel_range = torch.nn.Parameter(_weight(4, 3, 3, 3)), torch.ones(4)
    before = coding.code_weight(weight, channel_range, ALL)
    with torch.no_grad():
        if change == "in place":
            weight[0, 0, 0, 0] += 1
        elif change == "through data":
            weight.data[3, 2, 2, 2] *= -1
        elif change == "the range":
            channel_range.data[1] *= 2
        elif change == "two values swapped":
            weight.data.view(-1)[[0, 1]] = weight.data.view(-1)[[1, 0]]
        else:
            weight.data = weight.data * 2
    after = coding.code_weight(weight, channel_range, ALL)
    assert after is not before
    assert torch.equal(after[4].wide.float(), NestedWeight.apply(weight.detach(), channel_range, 4)[0])


def test_codes_go_with_their_weight():
    """No memory is held for networks that are gone, and a new weight at an old address gets codes of its own."""
    weight = _weight(4, 3, 3, 3)
    coding.code_weight(weight, torch.ones(4), ALL)
    key = id(weight)
    assert key in coding._kept
    del weight
    gc.collect()
    assert key not in coding._kept


@pytest.mark.parametrize("taps", [1, 9, 1000, 2500, 4608, 30000])
def test_digits_add_up_to_the_weight_and_their_sums_stay_exact(taps: int):
    """255 * taps * largest digit < 2^24, so each sum of a digit is exact in float32."""
    weight = _weight(2, taps, 1, 1)
    weight[0, 0], weight[1, 0] = 100, -100  # codes 255 and 0
    coded = coding.code_weight(weight, torch.ones(2), (8,))[8]
    digits = coded.digits()
    assert torch.equal(sum(factor * part.int() for factor, part in digits), coded.v8.int())
    assert all(255 * taps * int(part.int().abs().max()) < EXACT for _, part in digits)


@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 3), st.integers(0, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)
def test_tap_sums_are_convolutions_of_ones(size, kernel, stride, padding, dilation):
    """Law, Accumulation: V sums the weights of the valid taps and depends on the border class alone."""
    geometry = Geometry(stride, padding, dilation, 1)
    if min(geometry.out_size(size, kernel)) < 1:
        return
    integers = torch.randint(-127, 128, (2, 3, *kernel), generator=torch.Generator().manual_seed(0)).double()
    expected = torch.nn.functional.conv2d(torch.ones(1, 3, *size, dtype=torch.float64), integers, None, stride, padding, dilation)
    borders = borders_of(size, kernel, geometry)
    found = borders.tap_sums(integers)[borders.class_of.long()]
    assert torch.equal(found.double(), expected[0].flatten(1).t())

"""The compiled passes: every kernel set gives the numbers of the plain loops, on any shape and any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

_native = pytest.importorskip("quantizable._native", reason="the compiled part is not built")
from quantizable.network import passes  # noqa: E402
from quantizable.network.convolution import Borders, Geometry, borders_of  # noqa: E402

SHAPES = [(1, 1, 1, 1), (2, 3, 5, 4), (1, 15, 3, 3), (2, 16, 4, 4), (1, 17, 6, 5), (2, 33, 3, 7), (1, 64, 5, 5), (3, 130, 2, 3)]
FAST = [name for name in _native.unit_kernels() if name != "generic"]


@pytest.fixture(autouse=True)
def _fastest_kernels_afterwards() -> Iterator[None]:
    yield
    _native.unit_use_kernels(_native.unit_kernels()[0])


def test_a_cpu_with_avx512_runs_its_kernels():
    """A skip is not a pass: where the CPU has the instructions, the tests below compare two sets."""
    cpu = _native.cpu_features()
    has_avx512 = cpu["avx512f"] and cpu["avx512bw"] and cpu["avx512vl"]
    assert _native.unit_kernels() == (["avx512", "generic"] if has_avx512 else ["generic"])


def test_an_unknown_kernel_set_is_refused():
    """A misspelt name must not fall back in silence."""
    with pytest.raises(ValueError, match="kernels 'avx1024'"):
        _native.unit_use_kernels("avx1024")


@pytest.mark.parametrize("name", FAST)
@pytest.mark.parametrize("shape", SHAPES)
def test_all_kernels_give_the_numbers_of_the_plain_loops(shape: tuple[int, int, int, int], name: str):
    """Equal, not close: codes, sums, epilogues, totals, and gradients, odd widths and masked tails included."""
    found = {}
    for kernels in ("generic", name):
        _native.unit_use_kernels(kernels)
        found[kernels] = _all_passes(shape)
    for label, plain in found["generic"].items():
        assert torch.equal(plain, found[name][label]), label


@pytest.mark.parametrize("shape", [(3, 17, 70, 71), (2, 130, 33, 40)])
def test_no_result_depends_on_the_number_of_threads(shape: tuple[int, int, int, int]):
    """Chunks and the order in which they are added depend on the shape alone."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = _all_passes(shape)
        torch.set_num_threads(3)
        shared = _all_passes(shape)
    finally:
        torch.set_num_threads(threads)
    for label, values in alone.items():
        assert torch.equal(values, shared[label]), label


@pytest.mark.parametrize("name", _native.unit_kernels())
def test_codes_round_half_to_even_and_clip(name: str):
    """Law, Activations: q = clip(rint(x (1/d) + z), 0, 2^a - 1)."""
    _native.unit_use_kernels(name)
    x = torch.tensor([-9.0, -0.5, 0.5, 1.5, 2.5, 2.500001, 14.5, 15.5, 1e30, float("inf"), -float("inf")]).view(1, -1, 1, 1)
    q, are_numbers = passes.quantize(x, 1.0, 0.0, 4)
    assert q.flatten().tolist() == [0, 0, 0, 2, 2, 3, 14, 15, 15, 15, 0]
    assert are_numbers


@pytest.mark.parametrize("name", _native.unit_kernels())
@pytest.mark.parametrize("at", [0, 15, 16, 36])
def test_a_value_that_is_not_a_number_is_noticed(name: str, at: int):
    """Codes cannot say NaN, so the pass must."""
    _native.unit_use_kernels(name)
    x = torch.zeros(1, 37, 1, 1)
    x[0, at] = float("nan")
    assert not passes.quantize(x, 1.0, 0.0, 4)[1]


@pytest.mark.parametrize(
    ("kernel", "geometry"),
    [
        ((3, 3), Geometry((1, 1), (1, 1), (1, 1), 1)),
        ((3, 2), Geometry((2, 1), (0, 2), (1, 3), 2)),
        ((1, 1), Geometry((2, 2), (0, 0), (1, 1), 6)),
        ((5, 7), Geometry((3, 2), (4, 5), (2, 1), 3)),
    ],
)
def test_window_sums_are_convolutions_with_ones(kernel: tuple[int, int], geometry: Geometry):
    """Law, 8 bits on hardware: the sum of the codes under each window, padding counts zero."""
    q = torch.randint(0, 256, (2, 6, 11, 9), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    ones = torch.ones(geometry.groups, 6 // geometry.groups, *kernel, dtype=torch.float64)
    expected = torch.nn.functional.conv2d(q.double(), ones, None, *geometry)
    found = passes.window_sums(q.contiguous(memory_format=torch.channels_last), kernel, geometry)
    assert torch.equal(found.permute(0, 3, 1, 2).double(), expected)


def test_statistics_of_integers_are_exact():
    """Sums and sums of squares of integers stay below 2^53 here, so float64 must hold them to the last unit."""
    sums = torch.randint(-(2**17), 2**17, (4, 5, 40, 40), generator=torch.Generator().manual_seed(0))
    total = passes.statistics(sums.float().contiguous(memory_format=torch.channels_last), None, None)
    by_channel = sums.transpose(0, 1).flatten(1)
    assert total.tolist() == [by_channel.sum(1).tolist(), by_channel.square().sum(1).tolist()]


def test_bfloat16_gradients_round_to_nearest_even():
    """Ties, denormals, infinities, and NaN as torch rounds them."""
    values = torch.tensor([1.00390625, 1.01171875, -1.00390625, 1e-40, 3.3e38, float("inf"), float("nan"), 0.1, -0.0])
    g = values.view(1, -1, 1, 1)
    identity = torch.stack([torch.ones(len(values)), torch.zeros(len(values)), torch.zeros(len(values))])
    for name in _native.unit_kernels():
        _native.unit_use_kernels(name)
        found = passes.norm_input(g, torch.zeros_like(g), identity, None, torch.bfloat16).flatten()
        assert torch.equal(found.nan_to_num(7.0), (values * 1 + 0).bfloat16().nan_to_num(7.0)), name


def _all_passes(shape: tuple[int, int, int, int]) -> dict[str, Tensor]:
    """Return what every pass gives for random values of `shape`, by name."""
    random = torch.Generator().manual_seed(sum(shape))

    def values(make: Callable[..., Tensor] = torch.randn, size: tuple[int, ...] = shape) -> Tensor:
        made = make(size, generator=random)
        return made.contiguous(memory_format=torch.channels_last) if made.ndim == 4 else made

    channels = shape[1]
    x, g, sums = values(), values(), (values() * 1000).round()
    q, _ = passes.quantize(x, 3.7, 7.5, 4)
    found = {"quantize": q, "widen bf16": passes.widen(q, 7.5, torch.bfloat16), "widen f32": passes.widen(q, 0.5, torch.float32)}
    for groups in {1, channels}:
        window = passes.window_sums(q, (1, 1), Geometry((1, 1), (0, 0), (1, 1), groups))
        added = sums.clone(memory_format=torch.preserve_format)
        largest = passes.add_window_sums(added, window)
        found |= {f"window sums {groups}": window, f"add window sums {groups}": added, f"largest {groups}": torch.tensor(largest)}
    borders = borders_of((shape[2], shape[3]), (3, 3), Geometry((1, 1), (1, 1), (1, 1), 1))
    taps = values(size=(len(borders.valid), channels)).mul(100).round()
    found |= _norm_passes(sums, g, taps, borders, values(size=(channels,)))
    half_width = values(torch.rand, (channels,)) + 0.1
    for shape_of_window in ((0.0, 15.0), half_width):
        for dtype in (torch.float32, torch.bfloat16):
            grad, by_step = passes.window(g.to(dtype), x, 3.7, 7.5, shape_of_window)
            label = f"window {type(shape_of_window).__name__} {dtype}"
            found |= {label: grad, label + " step": torch.tensor(by_step, dtype=torch.float64)}
    return found


def _norm_passes(sums: Tensor, g: Tensor, taps: Tensor, borders: Borders, gamma: Tensor) -> dict[str, Tensor]:
    found = {}
    count = sums.numel() // sums.shape[1]
    for label, own_taps, own_borders in (("plain", None, None), ("borders", taps, borders)):
        scales = passes.Scales(0.1, gamma.abs() + 0.1, None, 1.5, own_taps)
        norm = passes.NormState(gamma, gamma, None, None, 1e-5)
        shift = None if own_taps is None else own_taps * 1.5
        total = passes.statistics(sums, shift, own_borders)
        folded = passes.fold_batch(scales, norm, total, count, 0.1)
        y = torch.empty_like(sums)
        passes.epilogue(sums, folded, own_borders, y)
        gradient = passes.norm_gradient(g, sums, scales, norm, folded.saved, shift, own_borders, is_batch=True)
        found |= {f"{label} total": total, f"{label} y": y, f"{label} coefficients": gradient.coefficients}
        found |= {f"{label} parameters": gradient.gradients}
        for dtype in (torch.float32, torch.bfloat16):
            found[f"{label} input {dtype}"] = passes.norm_input(g, sums, gradient.coefficients, own_borders, dtype)
    return found

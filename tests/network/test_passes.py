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


@pytest.mark.parametrize("bits", [1, 4])
@pytest.mark.parametrize("has_borders", [False, True])
def test_passes_in_one_are_those_one_by_one(bits: int, has_borders: bool):
    """Codes beside a value are equal to its codes; gradients through window and norm agree to the rounding of float32."""
    random = torch.Generator().manual_seed(bits)
    sums, g = ((torch.randn(3, 20, 6, 5, generator=random) * f).contiguous(memory_format=torch.channels_last) for f in (30.0, 1.0))
    sums, gamma = sums.round(), torch.randn(20, generator=random)  # some gains are negative: their windows turn round
    gamma[7] = 0.0
    borders = borders_of((6, 5), (3, 3), Geometry((1, 1), (1, 1), (1, 1), 1)) if has_borders else None
    taps = torch.randint(-9, 10, (len(borders.valid), 20), generator=random).float() if borders else None
    shift = None if taps is None else taps * 1.5
    scales, norm = passes.Scales(0.1, torch.ones(20), None, 1.5 if borders else 0.0, taps), passes.NormState(gamma, gamma, None, None, 1e-5)
    folded = passes.fold_batch(scales, norm, passes.statistics(sums, shift, borders), sums.numel() // 20, 0.1)
    y, again, inverse = torch.empty_like(sums), torch.empty_like(sums), 0.7 * 2**bits
    passes.epilogue(sums, folded, borders, y)
    codes, _ = passes.epilogue_codes(sums, folded, borders, again, inverse, 0.5, bits)
    assert torch.equal(y, again)
    assert torch.equal(codes, passes.quantize(y, inverse, 0.5, bits)[0])
    out, codes, _ = passes.relu_quantize(y, inverse, 0.5, bits)
    assert torch.equal(out, y.relu())
    assert torch.equal(codes, passes.quantize(y, inverse, 0.5, bits)[0])

    opening = passes.Opening.of(inverse, 0.5, gamma.abs() + 0.5 if bits == 1 else (0.0, 15.0), 20)
    g_y, by_step = passes.window(g, y, opening)
    what = (scales, norm, folded.saved, shift, borders)
    one_by_one = passes.norm_gradient(g_y, sums, *what, is_batch=True)
    coded = passes.Coded(folded, opening)
    found = passes.norm_gradient(g, sums, *what, is_batch=True, coded=coded)
    assert abs(found.by_step - by_step) <= 1e-5 * float((g_y * y).abs().sum())
    for name in ("coefficients", "gradients"):
        expected = getattr(one_by_one, name)
        torch.testing.assert_close(getattr(found, name), expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))
    expected = passes.norm_input(g_y, sums, one_by_one.coefficients, borders, torch.float32)
    given = passes.norm_input(g, sums, found.coefficients, borders, torch.float32, coded)
    torch.testing.assert_close(given, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_window_in_the_sums_opens_for_the_same_values(sign: float):
    """Also on its very edges: an estimated step puts the largest value of a batch there."""
    random = torch.Generator().manual_seed(3)
    sums = torch.randint(-500, 500, (1, 1, 40, 40), generator=random).float()
    m, t, inverse, zero = sign * 0.0123, 0.777, 3.3, 0.5
    folded = passes.Folded(torch.tensor([m]), torch.tensor([[t]]), torch.ones(3, 1, dtype=torch.float64))
    y, ones = torch.empty_like(sums), torch.ones_like(sums)
    passes.epilogue(sums, folded, None, y)
    only_g = torch.tensor([[1.0], [0.0], [0.0]])
    for edge in sorted((y.flatten()[:40] * inverse + zero).tolist()):
        opening = passes.Opening.of(inverse, zero, (min(edge, 1.0), max(edge, 1.0)), 1)
        expected, _ = passes.window(ones, y, opening)
        found = passes.norm_input(ones, sums, only_g, None, torch.float32, passes.Coded(folded, opening))
        assert torch.equal(found > 0, expected > 0)
        assert 0 < int((found > 0).sum()) < found.numel()


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
            opening = passes.Opening.of(3.7, 7.5, shape_of_window, channels)
            for skip in (None, sums):
                grad, by_step = passes.window(g.to(dtype), x, opening, skip)
                label = f"window {type(shape_of_window).__name__} {dtype} {skip is None}"
                found |= {label: grad, label + " step": torch.tensor(by_step, dtype=torch.float64)}
    out, codes, _ = passes.relu_quantize(x, 3.7, 7.5, 4)
    return found | {"relu": out, "relu codes": codes}


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
        codes, _ = passes.epilogue_codes(sums, folded, own_borders, y, 0.3, 1.0, 2)
        found |= {f"{label} codes": codes, f"{label} y of codes": y}
        for shape in ((0.0, 3.0), gamma.abs() + 0.3):
            coded = passes.Coded(folded, passes.Opening.of(0.3, 1.0, shape, len(gamma)))
            for dtype in (torch.float32, torch.bfloat16):
                g_codes = g.to(dtype)
                what = (g_codes, sums, scales, norm, folded.saved, shift, own_borders)
                gradient = passes.norm_gradient(*what, is_batch=True, coded=coded)
                name = f"{label} {type(shape).__name__} {dtype}"
                found |= {f"{name} coded coefficients": gradient.coefficients, f"{name} step": torch.tensor(gradient.by_step).double()}
                found[f"{name} coded"] = passes.norm_input(g_codes, sums, gradient.coefficients, own_borders, dtype, coded)
    return found

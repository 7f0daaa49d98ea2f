"""The fused unit: forward equal to the plain form of the law, gradients equal to the formulas written out in float64."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from quantizable.errors import PlanError
from quantizable.network import convert, fused
from quantizable.network.quantizers import Codes, Integers
from quantizable.network.quantizers.straight_through import NestedActivation, NestedWeight
from quantizable.network.unit import unit

needs_fused = pytest.mark.skipif(not fused.is_available(), reason=f"fused unit: {fused.why_not()}")


@dataclass(frozen=True)
class Case:
    """One convolution: sizes, geometry, bit widths, zero point."""

    name: str
    images: int
    inputs: int
    outputs: int
    size: tuple[int, int]
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    bits: tuple[int, int] = (4, 4)
    zero_point: float = 0.0
    has_bias: bool = False

    @property
    def geometry(self) -> dict[str, object]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}


SHAPES = [
    Case("plain", 3, 16, 16, (7, 6)),
    Case("odd channels, stride, bias", 2, 3, 7, (9, 8), stride=(2, 2), has_bias=True),
    Case("one of everything", 5, 1, 1, (1, 1), kernel=(1, 1), padding=(0, 0)),
    Case("depthwise", 2, 18, 18, (6, 5), groups=18),
    Case("groups, dilation", 2, 12, 18, (9, 9), padding=(2, 2), dilation=(2, 2), groups=3),
    Case("uneven kernel", 2, 5, 33, (8, 9), kernel=(5, 2), stride=(1, 2), padding=(3, 0), has_bias=True),
]
BITS = [((8, 8), 0.0), ((4, 4), 0.0), ((1, 1), 0.0), ((2, 4), 0.0), ((8, 3), 2.5), ((8, 8), 100.0), ((4, 4), 7.5), ((1, 1), 0.5)]
CASES = [replace(case, bits=bits, zero_point=zero_point) for case in SHAPES for bits, zero_point in BITS]
NORMS = ["batch", "running", "none"]


def _name(case: Case) -> str:
    return f"{case.name} w{case.bits[0]}a{case.bits[1]} z{case.zero_point}"


class Problem:
    """Random tensors of a case; the same for the same case."""

    def __init__(self, case: Case, norm: str) -> None:
        random = torch.Generator().manual_seed(7)

        def draw(*size: int) -> Tensor:
            return torch.randn(size, generator=random)

        self.case, self.top = case, 2 ** case.bits[1] - 1
        self.x = draw(case.images, case.inputs, *case.size)
        self.weight = draw(case.outputs, case.inputs // case.groups, *case.kernel) * 0.1
        self.channel_range = 2 * self.weight.flatten(1).square().mean(1).sqrt()
        self.log_step = torch.tensor(math.log(3 / self.top))
        self.half_width = draw(case.inputs).abs() + 0.5
        self.bias = draw(case.outputs) if case.has_bias else None
        self.norm = None if norm == "none" else nn.BatchNorm2d(case.outputs).train(norm == "batch")
        if self.norm is not None:
            self.norm.weight.data, self.norm.bias.data = draw(case.outputs), draw(case.outputs)
            self.norm.running_mean, self.norm.running_var = draw(case.outputs), draw(case.outputs).abs() + 0.1
        self.leaves = {"x": self.x, "weight": self.weight, "log step": self.log_step}
        self.leaves |= {} if self.bias is None else {"bias": self.bias}
        for leaf in self.leaves.values():
            leaf.requires_grad_()
        if self.norm is not None:
            self.leaves |= {"gamma": self.norm.weight, "beta": self.norm.bias}

    def fused(self, dtype: torch.dtype | None = None) -> Tensor:
        """The fused unit."""
        weight_bits, activation_bits = self.case.bits
        return fused.fused_unit(
            self.x, self.weight, self.bias, self.norm, channel_range=self.channel_range, weight_bits=weight_bits,
            all_bits=(8, 4, 2, 1), log_step=self.log_step, zero_point=self.case.zero_point, activation_bits=activation_bits,
            window=self.half_width if activation_bits == 1 else (0.0, float(self.top)), dtype=dtype, **self.case.geometry,
        )  # fmt: skip

    def plain(self) -> Tensor:
        """The unit of unit.py."""
        case, (weight_bits, activation_bits) = self.case, self.case.bits
        zero_point = torch.tensor(case.zero_point)
        q = NestedActivation.apply(self.x, self.log_step, zero_point, self.half_width.view(1, -1, 1, 1), self.top)
        integers, scale = NestedWeight.apply(self.weight, self.channel_range, weight_bits)
        codes = Codes(q, self.log_step.exp(), zero_point if case.zero_point else None)
        bound = self.weight[0].numel() * (2**weight_bits - 1)

        def operate(values: Tensor, weight: Tensor) -> Tensor:
            return F.conv2d(values, weight, None, **case.geometry)

        return unit(operate, codes, Integers(integers, scale), self.bias, self.norm, bound=bound, bits=activation_bits, axis=1)

    def gradients(self, y_grad: Tensor) -> dict[str, Tensor]:
        """The formulas of docs/arithmetic.md for the gradients, in float64."""
        case, z = self.case, self.case.zero_point
        x, g = self.x.detach().double(), y_grad.double()
        d = self.log_step.detach().exp().double()
        u = (self.x.detach() * (1 / self.log_step.detach().exp()) + z).double()
        q = u.round().clamp(0, self.top)
        integers, scale = (t.double() for t in NestedWeight.apply(self.weight.detach(), self.channel_range, case.bits[0]))
        factor = (d * scale).view(1, -1, 1, 1)
        sums = F.conv2d(q - z, integers, None, **case.geometry)
        g_sums, by_step, found = self._through_norm(g, sums, factor)
        by_code = torch.nn.grad.conv2d_input(x.shape, integers, g_sums, **case.geometry)
        by_integer = torch.nn.grad.conv2d_weight(q - z, integers.shape, g_sums, **case.geometry)
        if case.bits[1] == 1:
            h = self.half_width.double().view(1, -1, 1, 1)
            window = (1 - (u - 0.5).abs() / h).clamp(min=0) / h
        else:
            window = ((u >= 0) & (u <= self.top)).double()
        found["x"] = by_code * window / d
        found["weight"] = by_integer / scale.view(-1, 1, 1, 1)
        found["log step"] = by_step - (by_code * window * (u - z)).sum()
        return found

    def _through_norm(self, g: Tensor, sums: Tensor, factor: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        dims = (0, 2, 3)
        if self.norm is None:
            return g * factor, (g * sums * factor).sum(), {"bias": g.sum(dims)}
        gamma, eps = self.norm.weight.detach().double().view(1, -1, 1, 1), self.norm.eps
        if self.norm.training:
            mean, variance = sums.mean(dims, keepdim=True), sums.var(dims, unbiased=False, keepdim=True) + eps / factor**2
            normalised = (sums - mean) / variance.sqrt()
            rest = g - g.mean(dims, keepdim=True) - normalised * (g * normalised).mean(dims, keepdim=True)
            by_step = (g * gamma * normalised * eps / factor**2 / variance).sum()
            found = {"gamma": (g * normalised).sum(dims), "beta": g.sum(dims), "bias": torch.zeros(g.shape[1])}
            return rest * gamma / variance.sqrt(), by_step, found
        deviation = (self.norm.running_var.double() + eps).sqrt().view(1, -1, 1, 1)
        bias = 0 if self.bias is None else self.bias.detach().double().view(1, -1, 1, 1)
        normalised = (sums * factor + bias - self.norm.running_mean.double().view(1, -1, 1, 1)) / deviation
        found = {"gamma": (g * normalised).sum(dims), "beta": g.sum(dims), "bias": (g * gamma / deviation).sum(dims)}
        return g * gamma * factor / deviation, (g * gamma * factor / deviation * sums).sum(), found


@needs_fused
@pytest.mark.parametrize("case", CASES, ids=_name)
@pytest.mark.parametrize("norm", ["running", "none"])
def test_with_constant_statistics_the_output_equals_the_plain_form(case: Case, norm: str):
    """Law, Accumulation: y = float32(A) m + t, bit for bit."""
    problem = Problem(case, norm)
    expected = problem.plain()
    assert torch.equal(problem.fused(), expected)
    with torch.no_grad():  # this way computes in place
        assert torch.equal(problem.fused(), expected)


@needs_fused
@pytest.mark.parametrize("case", CASES, ids=_name)
def test_with_batch_statistics_output_and_running_statistics_agree_with_the_plain_form(case: Case):
    """Up to the rounding of float32 in the plain form."""
    plain, fast = Problem(case, "batch"), Problem(case, "batch")
    torch.testing.assert_close(fast.fused(), plain.plain(), rtol=2e-5, atol=2e-5)
    assert fast.norm is not None
    assert plain.norm is not None
    for name, buffer in plain.norm.named_buffers():
        torch.testing.assert_close(fast.norm.get_buffer(name), buffer, rtol=1e-5, atol=1e-5)


@needs_fused
@pytest.mark.parametrize("case", CASES, ids=_name)
@pytest.mark.parametrize("norm", NORMS)
def test_gradients_are_the_formulas(case: Case, norm: str):
    """Law, Gradients: float32 convolutions to 1e-5 of the largest value; bfloat16 to 2 % (its rounding is 0.4 %)."""
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.bfloat16, 2e-2)):
        problem = Problem(case, norm)
        y = problem.fused(dtype)
        y_grad = torch.randn(y.shape, generator=torch.Generator().manual_seed(1))
        y.backward(y_grad)
        expected = problem.gradients(y_grad)
        for name, leaf in problem.leaves.items():
            assert leaf.grad is not None, name
            if name == "weight" and leaf.numel() == 1 and norm == "batch":
                continue  # the norm takes a single weight's size away: nothing is left but rounding
            size = expected[name].abs().max()
            if name == "log step":  # a small difference of large sums: measured against the size of what is added
                size = expected["x"].abs().mul(problem.x.detach().abs()).sum()
            error = (leaf.grad.double() - expected[name]).abs().max()
            assert error <= tolerance * size + 1e-7, (name, dtype, float(error), float(size))


@needs_fused
@pytest.mark.parametrize("inputs", [29, 64, 200, 512])
@pytest.mark.parametrize("sign", [1, -1, 0])
def test_sums_of_full_range_codes_are_rounded_once(inputs: int, sign: int):
    """255 * 255 * 9 inputs passes 2^24 from 29 inputs on, where adding in float32 would round twice; int64 knows better."""
    random = torch.Generator().manual_seed(inputs)
    weight = torch.randn(5, inputs, 3, 3, generator=random) if sign == 0 else torch.full((5, inputs, 3, 3), 9.0 * sign)
    x = torch.randint(200, 256, (2, inputs, 5, 5), generator=random).float()
    channel_range = torch.ones(5)
    coded = fused.coding.code_weight(weight, channel_range, (8,))[8]
    q = x.to(torch.uint8).contiguous(memory_format=torch.channels_last)
    found = fused._exact_sums(q, coded, (3, 3), fused.Geometry((1, 1), (1, 1), (1, 1), 1))
    expected = F.conv2d(x.double(), coded.wide.double(), None, 1, 1).float()  # integers below 2^53: exact until .float()
    assert torch.equal(found, expected)


@needs_fused
@pytest.mark.parametrize("momentum", [0.1, 0.5, None])
@pytest.mark.parametrize("tracks", [True, False])
def test_running_statistics_move_as_torch_moves_them(momentum: float | None, tracks: bool):
    """Unbiased variance, the update's share, the plain average of momentum None, and norms that keep no statistics."""
    norms = []
    for which in ("fused", "plain"):
        problem = Problem(SHAPES[1], "none")
        problem.norm = nn.BatchNorm2d(7, momentum=momentum, track_running_stats=tracks)
        for _ in range(3):
            y = getattr(problem, which)()
        problem.norm.eval()
        norms.append((problem.norm.state_dict(), y, getattr(problem, which)()))
    torch.testing.assert_close(norms[0], norms[1], rtol=1e-5, atol=1e-5)


@needs_fused
def test_one_value_a_channel_has_no_variance():
    """As torch says for its own batch norm."""
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        Problem(replace(SHAPES[2], images=1), "batch").fused()


@needs_fused
@pytest.mark.parametrize("norm", NORMS)
def test_an_input_that_is_not_a_number_is_not_hidden(norm: str):
    """Codes cannot say NaN: the whole output does, so that a loss shows it."""
    problem = Problem(SHAPES[0], norm)
    with torch.no_grad():
        problem.x[0, 3, 2, 1] = float("nan")
    assert bool(problem.fused().isnan().all())


@needs_fused
def test_layout_and_thread_count_change_nothing():
    """Contiguous, channels last, a slice of a larger tensor; one thread or two."""
    results = []
    threads = torch.get_num_threads()
    try:
        for n_threads, layout in ((1, "contiguous"), (2, "contiguous"), (1, "last"), (2, "slice")):
            torch.set_num_threads(n_threads)
            problem = Problem(replace(SHAPES[0], size=(40, 41)), "batch")
            if layout == "last":
                problem.x = problem.x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
            if layout == "slice":
                problem.x = torch.cat([problem.x.detach()] * 2, 3)[:, :, :, :41].requires_grad_()
            y = problem.fused()
            y.backward(torch.ones(1).expand_as(y) * y.detach())
            results.append([y.detach(), problem.x.grad, problem.weight.grad, problem.norm.weight.grad, problem.log_step.grad])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        for first, second in zip(results[0][:2], other[:2], strict=True):
            assert torch.equal(first, second)
        torch.testing.assert_close(results[0][2:], other[2:], rtol=1e-2, atol=1e-4)  # oneDNN's bfloat16 weight gradient


@needs_fused
def test_only_what_is_asked_for_gets_a_gradient():
    """Frozen weights, images, and steps cost nothing and change nothing for the others."""
    full = Problem(SHAPES[0], "batch")
    full.fused(torch.float32).square().sum().backward()
    for kept in full.leaves:
        problem = Problem(SHAPES[0], "batch")
        for name, leaf in problem.leaves.items():
            leaf.requires_grad_(name == kept)
        problem.fused(torch.float32).square().sum().backward()
        for name, leaf in problem.leaves.items():
            assert (leaf.grad is None) == (name != kept)
        torch.testing.assert_close(problem.leaves[kept].grad, full.leaves[kept].grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("groups", [1, 4])
def test_the_float_convolution_is_that_of_torch(groups: int):
    """Property 1: the fp32 mode equals the float network bit for bit; its gradients to the rounding of bfloat16."""
    random = torch.Generator().manual_seed(0)
    tensors = [torch.randn(size, generator=random) for size in ((2, 8, 9, 7), (12, 8 // groups, 3, 3), (12,))]
    found, expected = ([t.clone().requires_grad_() for t in tensors] for _ in range(2))
    y = fused.float_convolution(*found, stride=2, padding=1, groups=groups)
    plain = F.conv2d(*expected, 2, 1, 1, groups)
    assert torch.equal(y, plain)
    y.square().sum().backward()
    plain.square().sum().backward()
    for a, b in zip(found, expected, strict=True):
        assert float((a.grad - b.grad).abs().max()) <= 2e-2 * float(b.grad.abs().max())


def test_the_environment_switches_it_off_and_it_says_so(monkeypatch: pytest.MonkeyPatch):
    """Nothing falls back in silence."""
    monkeypatch.setenv("QUANTIZABLE_FUSED", "0")
    fused.why_not.cache_clear()
    try:
        assert not fused.is_available()
        assert "QUANTIZABLE_FUSED=0" in fused.why_not()
    finally:
        fused.why_not.cache_clear()


def test_tensors_that_it_cannot_take_do_not_fit():
    """Float64, other ranks, subclasses, and windows whose sums could leave int32."""
    x, weight, norm = torch.zeros(1, 2, 3, 3), torch.zeros(4, 2, 1, 1), nn.BatchNorm2d(4)
    assert fused.fits(x, weight, norm)
    assert fused.fits(x, weight, None)
    assert not fused.fits(x.double(), weight, norm)
    assert not fused.fits(x, weight, norm.double())
    assert not fused.fits(x[0], weight, None)
    assert not fused.fits(x[:0], weight, None)
    assert not fused.fits(x.to("meta"), weight, None)
    assert not fused.fits(torch.zeros(1, 33000, 1, 1), torch.zeros(1, 33000, 1, 1), None)
    assert not fused.fits(x, weight, nn.SyncBatchNorm(4))


@needs_fused
def test_the_fp32_mode_trains_with_the_gradients_that_were_set():
    """Property 1 in training: forward bit for bit; gradients of the float network, or rounded to bfloat16; evaluation is torch's."""
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 4, 3))
    converted, x = convert(network, ("fp32", "w4a4")), torch.randn(2, 3, 7, 7, generator=torch.Generator().manual_seed(0))
    y = network(x)
    y.square().sum().backward()
    for dtype, is_training, tolerance in ((torch.bfloat16, True, 3e-2), (torch.float32, True, 0.0), (torch.bfloat16, False, 0.0)):
        fused.set_gradient_dtype(dtype)
        try:
            converted.train(is_training).zero_grad()
            found = converted(x)
            found.square().sum().backward()
        finally:
            fused.set_gradient_dtype(None)
        assert torch.equal(found, y)
        for name, p in network.named_parameters():
            q = converted.get_parameter(name)
            error = float((q.grad - p.grad).abs().max())
            assert error <= tolerance * float(p.grad.abs().max()), name
            assert (error > 0) == (tolerance > 0 and p.ndim > 1) or p.ndim == 1, name  # a weight's gradient shows which way it came


def test_other_gradient_dtypes_are_refused():
    """One clear line, and the setting stays as it was."""
    before = fused.gradient_dtype()
    with pytest.raises(PlanError, match=r"found torch\.float16"):
        fused.set_gradient_dtype(torch.float16)
    assert fused.gradient_dtype() is before

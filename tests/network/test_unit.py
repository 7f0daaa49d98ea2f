"""The law: what a unit computes in evaluation equals an integer computation written a second time, in NumPy, bit for bit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import seeded
from numpy.typing import NDArray
from torch import Tensor, nn

import quantizable as qz
from quantizable.network import Plan, QuantizedLayer, conversion_of

Array = NDArray[Any]
PLAIN = Plan(first_bits=None, last_bits=None)


@dataclass(frozen=True)
class Case:
    """A convolution, its input, and what stands around it."""

    batch: int
    in_channels: int
    out_channels: int
    groups: int
    size: tuple[int, int]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    has_bias: bool
    has_norm: bool
    is_signed: bool
    weight_bits: int
    bits: int
    seed: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Convolutions with 1 to 3 taps an axis, padding up to more than the kernel reaches, and every pair of widths."""
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    inner, outer = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    kernel = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    size = (draw(st.integers(reach[0], 7)), draw(st.integers(reach[1], 7)))
    stride = draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    padding = draw(st.tuples(st.integers(0, 3), st.integers(0, 3)))
    flags = [draw(st.booleans()) for _ in range(3)]
    bits, batch, seed = (draw(st.integers(1, 8)), draw(st.integers(1, 8))), draw(st.integers(2, 3)), draw(st.integers(0, 999))
    channels = (groups * inner, groups * outer)
    return Case(batch, *channels, groups, size, kernel, stride, padding, dilation, *flags, *bits, seed)


def law_codes(x: Array, step: np.float32, zero_point: np.float32, bits: int) -> Array:
    """q = clip(rint(x * (1/d) + z), 0, 2^a - 1), each operation rounded to float32; int64."""
    inverse = np.float32(1) / step
    return np.clip(np.rint(x * inverse + zero_point), 0, 2**bits - 1).astype(np.int64)


def law_weights(weight: Array, channel_range: Array, bits: int) -> Array:
    """v = 2 (code >> (8 - b)) + 1 - 2^b with code = clip(floor(W * 128 / r) + 128, 0, 255); int64."""
    ranges = channel_range.reshape(-1, *[1] * (weight.ndim - 1))
    code = np.clip(np.floor(weight * np.float32(128) / ranges) + 128, 0, 255).astype(np.int64)
    return 2 * (code >> (8 - bits)) + 1 - 2**bits


def law_convolution(q: Array, v: Array, case: Case) -> tuple[Array, Array]:
    """Return (A, V): sums of v q and of v over the valid taps, int64 (n, out, h, w) and (out, h, w)."""
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = case.kernel, case.stride, case.padding, case.dilation
    n, _, height, width = q.shape
    rows = (height + 2 * ph - (kh - 1) * dh - 1) // sh + 1
    columns = (width + 2 * pw - (kw - 1) * dw - 1) // sw + 1
    total, taps = np.zeros((n, len(v), rows, columns), np.int64), np.zeros((len(v), rows, columns), np.int64)
    inner, outer = q.shape[1] // case.groups, len(v) // case.groups
    for row, column, a, b in np.ndindex(rows, columns, kh, kw):
        y, x = row * sh - ph + a * dh, column * sw - pw + b * dw
        if 0 <= y < height and 0 <= x < width:
            for group in range(case.groups):
                out = slice(group * outer, (group + 1) * outer)
                total[:, out, row, column] += q[:, group * inner : (group + 1) * inner, y, x] @ v[out, :, a, b].T
                taps[out, row, column] += v[out, :, a, b].sum(1)
    return total, taps


def law_output(total: Array, taps: Array, layer: QuantizedLayer, mode: str) -> Array:
    """y = float32(A) m + t: d, s, z, bias and norm folded in float64, then one multiplication and one addition in float32."""
    quantizer: Any = layer.input_quantizers[mode]
    step = quantizer.log_step.exp().detach().numpy().astype(np.float64)
    scale = layer.weight_quantizer(layer.weight, mode, layer._bits[mode][0]).scale.detach().numpy().astype(np.float64)
    multiplier = step * scale
    offset = np.zeros_like(multiplier) if layer.bias is None else layer.bias.detach().numpy().astype(np.float64)
    if layer._norm:
        norm = layer._norm[0].of(mode)
        mean, var, gamma, beta = (
            t.detach().numpy().astype(np.float64) for t in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
        )
        gain = 1 / np.sqrt(var + norm.eps) * gamma
        multiplier, offset = multiplier * gain, (offset - mean) * gain + beta
    column = (-1, *[1] * (taps.ndim - 1))
    border = offset.reshape(column) - multiplier.reshape(column) * float(quantizer.zero_point) * taps
    return total.astype(np.float32) * multiplier.reshape(column).astype(np.float32) + border.astype(np.float32)


def law_of(network: nn.Module, layer: QuantizedLayer, x: Tensor, mode: str, case: Case) -> Array:
    quantizer: Any = layer.input_quantizers[mode]
    step, zero_point = quantizer.log_step.exp().detach().numpy(), quantizer.zero_point.numpy()
    q = law_codes(x.numpy(), step, zero_point, case.bits)
    v = law_weights(layer.weight.detach().numpy(), layer.weight_quantizer.channel_range.numpy(), case.weight_bits)
    return law_output(*law_convolution(q, v, case), layer, mode)


def built(case: Case) -> tuple[nn.Module, Tensor]:
    """Return the calibrated unit of a case, and its input."""
    options = {"stride": case.stride, "padding": case.padding, "dilation": case.dilation, "groups": case.groups, "bias": case.has_bias}
    layers: list[nn.Module] = [nn.Conv2d(case.in_channels, case.out_channels, case.kernel, **options)]
    layers += [nn.BatchNorm2d(case.out_channels)] if case.has_norm else []
    net = seeded(nn.Sequential(*layers), case.seed).eval()
    x = torch.randn(case.batch, case.in_channels, *case.size, generator=torch.Generator().manual_seed(case.seed))
    x = x if case.is_signed else x.relu()
    mode = f"w{case.weight_bits}a{case.bits}"
    network = qz.convert(net, [mode], plan=PLAIN, example=x).eval()
    qz.calibrate(network, [x])
    assert conversion_of(network).structure.norms == ((("0", "1"),) if case.has_norm else ())
    return network, x


@settings(max_examples=60)
@given(case=cases())
def test_a_unit_in_evaluation_equals_the_law_bit_for_bit(case: Case) -> None:
    """Law, all of it: strides, padding with its border classes, groups, zero points, norms folded, every pair of widths."""
    network, x = built(case)
    with torch.no_grad():
        found = network(x).numpy()
    np.testing.assert_array_equal(found, law_of(network, network[0], x, f"w{case.weight_bits}a{case.bits}", case))


@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("is_signed", [False, True])
def test_every_width_equals_the_law_on_a_padded_convolution(bits: int, is_signed: bool) -> None:
    """Law, Accumulation: nine border classes of a padded 3x3, w1a1 to w8a8, with a norm; signed inputs have a zero point."""
    case = Case(3, 4, 6, 1, (6, 5), (3, 3), (1, 1), (1, 1), (1, 1), False, True, is_signed, bits, bits, bits)
    network, x = built(case)
    zero_point = float(network[0].input_quantizers[f"w{bits}a{bits}"].zero_point)
    assert (zero_point > 0) == is_signed
    with torch.no_grad():
        found = network(x).numpy()
    np.testing.assert_array_equal(found, law_of(network, network[0], x, f"w{bits}a{bits}", case))


@pytest.mark.parametrize("weight_bits", [8, 7, 6])
@pytest.mark.parametrize("has_norm", [False, True])
def test_sums_beyond_float32_are_rounded_once(weight_bits: int, has_norm: bool) -> None:
    """Law, float32(A): 4608 taps at 8 bits sum to 3 * 10^8; float32 sums would round on the way."""
    case = Case(2, 512, 3, 1, (3, 3), (3, 3), (1, 1), (1, 1), (1, 1), True, has_norm, False, weight_bits, 8, 1)
    network, x = built(case)
    mode, layer = f"w{weight_bits}a8", network[0]
    x = torch.rand(x.shape, generator=torch.Generator().manual_seed(2)) * x.max()
    with torch.no_grad():
        layer.weight.abs_().add_(0.5)
        found = network(x).numpy()
    q = law_codes(x.numpy(), layer.input_quantizers[mode].log_step.exp().detach().numpy(), np.float32(0), 8)
    v = law_weights(layer.weight.detach().numpy(), layer.weight_quantizer.channel_range.numpy(), weight_bits)
    total, taps = law_convolution(q, v, case)
    assert total.max() > 2**24
    assert (total != total.astype(np.float32)).any()  # so that rounding twice could show
    np.testing.assert_array_equal(found, law_output(total, taps, layer, mode))


@settings(max_examples=40)
@given(
    shape=st.sampled_from(((2,), (3, 2), (2, 1, 3))),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 9)),
    bits=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    flags=st.tuples(st.booleans(), st.booleans()),
    seed=st.integers(0, 999),
)
def test_a_linear_layer_equals_the_law(
    shape: tuple[int, ...], sizes: tuple[int, int], bits: tuple[int, int], flags: tuple[bool, bool], seed: int
) -> None:
    """Law for Linear: any number of leading axes, with and without bias, signed and unsigned inputs."""
    (weight_bits, activation_bits), (has_bias, is_signed) = bits, flags
    mode = f"w{weight_bits}a{activation_bits}"
    net = seeded(nn.Sequential(nn.Linear(*sizes, bias=has_bias)), seed).eval()
    x = torch.randn(*shape, sizes[0], generator=torch.Generator().manual_seed(seed))
    x = x if is_signed else x.relu()
    network = qz.convert(net, [mode], plan=PLAIN, example=x).eval()
    qz.calibrate(network, [x])
    layer = network[0]
    quantizer = layer.input_quantizers[mode]
    q = law_codes(x.numpy(), quantizer.log_step.exp().detach().numpy(), quantizer.zero_point.numpy(), activation_bits)
    v = law_weights(layer.weight.detach().numpy(), layer.weight_quantizer.channel_range.numpy(), weight_bits)
    total = np.moveaxis(q @ v.T, -1, 0)
    expected = np.moveaxis(law_output(total, v.sum(1).reshape(-1, *[1] * len(shape)), layer, mode), 0, -1)
    with torch.no_grad():
        np.testing.assert_array_equal(network(x).numpy(), expected)


def test_more_taps_than_float32_can_count_are_summed_exactly() -> None:
    """Law, Accumulation: beyond 65,793 taps of 8 bits not even sums of one bit stay below 2^24."""
    taps = 70_001
    weight, x = (0.9 + 0.1 * torch.rand(n, taps, generator=torch.Generator().manual_seed(n)) for n in (1, 2))
    net = nn.Sequential(nn.Linear(taps, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(weight)
    network = qz.convert(net, [8], plan=Plan(first_bits=None, channel_rms=None)).eval()
    qz.calibrate(network, [x])
    layer = network[0]
    quantizer = layer.input_quantizers["w8a8"]
    q = law_codes(x.numpy(), quantizer.log_step.exp().detach().numpy(), quantizer.zero_point.numpy(), 8)
    v = law_weights(weight.numpy(), layer.weight_quantizer.channel_range.numpy(), 8)
    assert ((q > 127) @ v.T).min() > 2**24
    with torch.no_grad():
        found = network(x).numpy()
    np.testing.assert_array_equal(found.T, law_output((q @ v.T).T, v.sum(1, keepdims=True), layer, "w8a8"))


@pytest.mark.parametrize("bits", range(1, 8))
def test_all_modes_share_one_set_of_weight_codes(bits: int) -> None:
    """Invariant 2: the integer weights of b bits are the top bits of those at 8 bits."""
    network = qz.convert(seeded(nn.Sequential(nn.Conv2d(3, 8, 3))), [8, bits], plan=PLAIN)
    layer = network[0]
    stored, fewer = (layer.weight_quantizer(layer.weight, f"w{b}a{b}", b).values.to(torch.int64) for b in (8, bits))
    codes = (stored + 255) // 2
    assert torch.equal(fewer, 2 * (codes >> (8 - bits)) + 1 - 2**bits)


def test_a_mode_costs_its_tables_and_nothing_else() -> None:
    """Invariant 2: a mode adds scales, norms and steps, never a tensor of the size of a weight."""
    net = seeded(nn.Sequential(nn.Conv2d(16, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 8, 3)))
    one, many = (qz.convert(net, modes).state_dict() for modes in ((32, 8), (32, *range(1, 9))))
    added = {name: tensor for name, tensor in many.items() if name not in one}
    assert added
    assert max(tensor.numel() for tensor in added.values()) <= 32
    assert sum(tensor.numel() for tensor in added.values()) < 0.25 * sum(p.numel() for p in net.parameters())


@pytest.mark.parametrize("is_training", [False, True])
def test_batch_statistics_are_those_of_the_dequantized_output(is_training: bool) -> None:
    """In training the norm takes the statistics of d s (A - z V) + bias, as torch's own norm does; running ones move alike."""
    case = Case(4, 3, 5, 1, (6, 6), (3, 3), (1, 1), (1, 1), (1, 1), True, True, True, 4, 4, 3)
    network, x = built(case)
    layer, norm = network[0], network[0]._norm[0].of("w4a4")
    reference = nn.BatchNorm2d(5)
    reference.load_state_dict(norm.state_dict())
    reference.train(is_training)
    quantizer = layer.input_quantizers["w4a4"]
    values, step, zero_point = quantizer(x)
    integers, scale = layer.weight_quantizer(layer.weight, "w4a4", 4)
    float_layer = nn.functional.conv2d(step * (values - zero_point), integers * scale.view(-1, 1, 1, 1), layer.bias, padding=1)
    expected, found = reference(float_layer), network.train(is_training)(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    for name, buffer in reference.named_buffers():
        torch.testing.assert_close(norm.get_buffer(name), buffer, rtol=1e-4, atol=1e-5)

"""The unit [activation quantizer -> convolution -> batch norm] in fused passes: the same numbers as unit.py, faster.

Forward: uint8 codes by int8 weights in oneDNN (exact), then m and t. Equal to unit.py bit for bit where the norm uses its
running statistics; with the batch's statistics equal up to their rounding. Backward: the gradients of unit.py, with the two
convolutions in bfloat16 where the CPU has it: codes and integer weights are exact there, only the gradient is rounded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from quantizable.errors import PlanError
from quantizable.network.convolution import EXACT, Geometry, Pair, borders_of, integer_sums, pack
from quantizable.network.handover import Grid, HandedCodes, Window, empty_node, hand_over, handed_codes

try:
    from quantizable.network import coding, passes
except ImportError:  # built without the compiled part: `why_not` says so
    _has_native = False
else:
    _has_native = True

BatchNorm = nn.modules.batchnorm._BatchNorm
_chosen_dtype: torch.dtype | None = None  # see set_gradient_dtype
_LARGEST_TAPS = (EXACT - 1) // 510  # weights a window: above, sums could leave int32, and parts of them float32


def is_available() -> bool:
    """Return True where `fused_unit` can run on this machine."""
    return not why_not()


@cache
def why_not() -> str:
    """Return in one line why `fused_unit` cannot run on this machine, or nothing where it can."""
    if os.environ.get("QUANTIZABLE_FUSED") == "0":
        return "switched off by QUANTIZABLE_FUSED=0"
    if not _has_native:
        return "quantizable._native is not built; install the package with a C++ compiler at hand"
    if not _cpu().get("avx512_vnni"):
        return "the CPU has no AVX512 VNNI, without which oneDNN's sums of bytes saturate"
    if not hasattr(torch.ops.onednn, "qconv2d_pointwise"):
        return f"torch {torch.__version__} has no onednn::qconv2d_pointwise"
    return ""


def gradient_dtype() -> torch.dtype:
    """Return the dtype of the gradients' convolutions on the CPU: what was set, else bfloat16 where the CPU multiplies it.

    Elsewhere float32: emulated, bfloat16 is slower.
    """
    return _chosen_dtype or (torch.bfloat16 if _multiplies_bfloat16() else torch.float32)


def set_gradient_dtype(dtype: torch.dtype | None) -> None:
    """Choose the dtype of the gradients' convolutions on the CPU for this process; None: the CPU's default.

    Forward passes stay as they are. With float32 the gradients are those of the plain form up to the order of sums.

    Raises:
        PlanError: neither float32 nor bfloat16 nor None.
    """
    global _chosen_dtype
    if dtype not in (None, torch.float32, torch.bfloat16):
        raise PlanError(f"gradients: dtype must be torch.float32, torch.bfloat16 or None, found {dtype}")
    _chosen_dtype = dtype


def fits(x: Tensor, weight: Tensor, norm: BatchNorm | None) -> bool:
    """Return True where `fused_unit` takes these tensors: a 2-d convolution in float32 on the CPU, run eagerly."""
    if not is_plain(x) or not is_plain(weight):
        return False
    if weight[0].numel() > _LARGEST_TAPS or isinstance(norm, nn.SyncBatchNorm):
        return False
    tensors = () if norm is None else (norm.weight, norm.bias, norm.running_mean, norm.running_var)
    return all(tensor is None or tensor.dtype is torch.float32 for tensor in tensors)


def is_plain(x: Tensor) -> bool:
    """Return True for what the passes take: (N, C, H, W), float32 on the CPU, not empty, no subclass, run eagerly."""
    if type(x) not in (Tensor, nn.Parameter) or torch.compiler.is_compiling():
        return False
    if torch._C._are_functorch_transforms_active():  # vmap, grad: they need Functions of another form
        return False
    return x.ndim == 4 and x.dtype is torch.float32 and x.device.type == "cpu" and x.numel() > 0


def speeds_up(x: Tensor, weight: Tensor) -> bool:
    """Return True where `float_convolution` is worth it: gradients will be wanted, and bfloat16 makes them fast."""
    if not torch.is_grad_enabled() or not (x.requires_grad or weight.requires_grad):
        return False
    if not is_available() or gradient_dtype() is torch.float32:
        return False
    return not torch.is_autocast_enabled("cpu") and fits(x, weight, None)


def fused_unit(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    norm: BatchNorm | None,
    *,
    channel_range: Tensor,
    weight_bits: int,
    all_bits: tuple[int, ...],
    log_step: Tensor,
    zero_point: float,
    activation_bits: int,
    window: Window,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
    dtype: torch.dtype | None = None,
    next_grid: Grid | None = None,
) -> Tensor:
    """Return y = float32(A) m + t, float32 (N, out, H, W) channels last; all NaN where a value of `x` is.

        q = clip(rint(x/d + z), 0, 2^a - 1)     A = sum over the valid taps of v q     m, t from d, s, z, bias, norm
        gradients, g of A:  W: g q / s,  x: w(u) g v / d,  log d: -w(u) g v (u - z), and g A where the statistics are constants

    Args:
        x: float32 (N, in, H, W), before a ReLU where one precedes and z = 0. Any layout; channels last costs no copy.
        weight: W, float32 (out, in / groups, kh, kw).
        bias: float32 (out,) or None.
        norm: the batch norm of this mode that follows, or None; its running statistics move when it trains.
        channel_range: r, float32 (out,).
        weight_bits: b; `all_bits` are the widths of all modes of the layer, coded together.
        log_step: log d, float32 scalar. zero_point: z, a multiple of 1/2. activation_bits: a.
        window: of the gradient, in u = x/d + z: (low, high) where it is 1, or the half width (in,) of a triangle around 1/2.
        dtype: of the gradients' convolutions; None: `gradient_dtype()`.
        next_grid: of the layer that will read y, which then carries its codes (handover.py); None where that is not known.
    """
    geometry = Geometry(_pair(stride), _pair(padding), _pair(dilation), groups)
    gamma, beta = (None, None) if norm is None else (norm.weight, norm.bias)
    coded = coding.code_weight(weight, channel_range, all_bits)[weight_bits]
    codes = handed_codes(x, log_step)
    source = x if codes is None or codes.node is None else codes.node
    next_log_step = None if next_grid is None else next_grid.log_step
    tensors = (source, weight, log_step, gamma, beta, bias, next_log_step)
    keeps = torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors)
    grid = Grid(log_step, zero_point, activation_bits, window)
    unit = _Unit(coded, norm, geometry, grid, codes, next_grid, dtype or gradient_dtype(), keeps)
    y: Tensor
    y, q, are_numbers, node = _FusedUnit.apply(*tensors, unit)  # type: ignore[no-untyped-call]
    if next_grid is not None:
        hand_over(y, next_grid, q, are_numbers, node)
    return y


def float_convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    stride: int | Pair = 1,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    groups: int = 1,
) -> Tensor:
    """Return F.conv2d of the same arguments, bit for bit; its backward multiplies in `gradient_dtype()`."""
    geometry = Geometry(_pair(stride), _pair(padding), _pair(dilation), groups)
    y: Tensor = _FloatConvolution.apply(x, weight, bias, geometry, gradient_dtype())  # type: ignore[no-untyped-call]
    return y


@dataclass(frozen=True, slots=True)
class _Unit:
    """What a fused unit needs beside the tensors that get gradients."""

    coded: coding.CodedWeight
    norm: BatchNorm | None
    geometry: Geometry
    grid: Grid
    codes: HandedCodes | None  # of the input, where its maker made them
    next_grid: Grid | None
    dtype: torch.dtype
    keeps: bool  # True: a backward may follow


class _FusedUnit(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, log_step: Tensor, gamma: Tensor | None, beta: Tensor | None, bias: Tensor | None,
                next_log_step: Tensor | None, unit: _Unit) -> tuple[Tensor, Tensor | None, bool, Tensor | None]:  # fmt: skip
        grid, kernel = unit.grid, (weight.shape[2], weight.shape[3])
        inverse = grid.inverse()
        if unit.codes is None:
            x = x.contiguous(memory_format=torch.channels_last)
            q, are_numbers = passes.quantize(x, inverse, grid.zero_point, grid.bits)
        else:
            q, are_numbers = unit.codes.q, unit.codes.are_numbers
        sums = _exact_sums(q, unit.coded, kernel, unit.geometry)
        borders = borders_of((q.shape[2], q.shape[3]), kernel, unit.geometry) if grid.zero_point else None
        taps = None if borders is None else unit.coded.taps(borders)
        shift = None if taps is None else taps * grid.zero_point
        scales = passes.Scales(float(log_step.exp()), unit.coded.scale, bias, grid.zero_point, taps)
        norm, is_batch = _norm_state(unit.norm, gamma, beta)
        folded = _fold_batch(sums, scales, norm, unit.norm, shift, borders) if is_batch else passes.fold_running(scales, norm)
        if not are_numbers:
            folded.offset.fill_(torch.nan)
        y = torch.empty_like(sums) if unit.keeps else sums
        next_q, next_are_numbers, coded = _finish(sums, folded, borders, y, unit.next_grid)
        ctx.set_materialize_grads(False)
        if next_q is not None:
            ctx.mark_non_differentiable(next_q)
        if not unit.keeps:
            return y, next_q, next_are_numbers, None
        ctx.save_for_backward(x if unit.codes is None else None, q, sums, shift)
        ctx.unit, ctx.scales, ctx.norm, ctx.is_batch, ctx.borders, ctx.inverse = unit, scales, norm, is_batch, borders, inverse
        ctx.folded, ctx.coded = folded, coded
        return y, next_q, next_are_numbers, None if coded is None else empty_node(y, unit.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        by_value, by_codes = (None if g is None else g.contiguous(memory_format=torch.channels_last) for g in (grads[0], grads[3]))
        if by_value is None and by_codes is None:
            return (None,) * 8
        x, q, sums, shift = ctx.saved_tensors
        unit: _Unit = ctx.unit
        needs_x, needs_weight, needs_step = ctx.needs_input_grad[:3]
        g, coded, by_next_step = _gradient_of_value(by_value, by_codes, sums, ctx.folded, ctx.coded, ctx.borders)
        what = (g, sums, ctx.scales, ctx.norm, ctx.folded.saved, shift, ctx.borders)
        gradient = passes.norm_gradient(*what, is_batch=ctx.is_batch, coded=coded)
        g_sums = passes.norm_input(g, sums, gradient.coefficients, ctx.borders, unit.dtype, coded)
        codes = passes.widen(q, unit.grid.zero_point, unit.dtype) if needs_weight else torch.empty_like(q, dtype=unit.dtype)
        needs = (needs_x or (needs_step and unit.codes is None), needs_weight)
        g_codes, g_integers = _convolution_backward(g_sums, codes, unit.coded.wide.to(unit.dtype), unit.geometry, needs)
        g_x, by_step = g_codes, 0.0
        if g_codes is not None and unit.codes is None:
            opening = unit.grid.opening(ctx.inverse, q.shape[1])
            g_x, by_step = passes.window(g_codes.contiguous(memory_format=torch.channels_last), x, opening)
        g_weight = None if g_integers is None else passes.divide_rows(g_integers, unit.coded.scale, unit.coded.v8)
        parameters = (part if needed else None for part, needed in zip(gradient.gradients, ctx.needs_input_grad[3:6], strict=True))
        g_step = torch.full((), gradient.direct - by_step)
        g_next_step = None if ctx.coded is None else torch.full((), -gradient.by_step - by_next_step)
        return (g_x, g_weight, g_step, *parameters, g_next_step, None)


def _finish(sums: Tensor, folded: passes.Folded, borders: Any, y: Tensor, next_grid: Grid | None
            ) -> tuple[Tensor | None, bool, passes.Coded | None]:  # fmt: skip
    """Set y = A m + t; return its codes on the next grid, whether y is all numbers, and what their gradient needs."""
    if next_grid is None:
        passes.epilogue(sums, folded, borders, y)
        return None, True, None
    inverse = next_grid.inverse()
    q, are_numbers = passes.epilogue_codes(sums, folded, borders, y, inverse, next_grid.zero_point, next_grid.bits)
    return q, are_numbers, passes.Coded(folded, next_grid.opening(inverse, y.shape[1]))


def _gradient_of_value(by_value: Tensor | None, by_codes: Tensor | None, sums: Tensor, folded: passes.Folded, coded: passes.Coded | None,
                       borders: Any) -> tuple[Tensor, passes.Coded | None, float]:  # fmt: skip
    """Return the gradient of y, or of its codes with what leads from there to y, and a sum for log d of the next grid."""
    if by_codes is None:
        assert by_value is not None
        return by_value, None, 0.0
    if by_value is None:
        return by_codes, coded, 0.0
    assert coded is not None
    y = torch.empty_like(sums)  # read by others beside the layer it was coded for: both gradients meet at y
    passes.epilogue(sums, folded, borders, y)
    g, by_step = passes.window(by_codes, y, coded.opening)
    return g.add_(by_value), None, by_step


class _FloatConvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry, dtype: torch.dtype) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.geometry, ctx.dtype = geometry, dtype
        return F.conv2d(x, weight, bias, *geometry)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        g, low = grads[0], ctx.dtype
        g_x, g_weight = _convolution_backward(g.to(low), x.to(low), weight.to(low), ctx.geometry, (needs_x, needs_weight))
        g_bias = g.sum((0, 2, 3)) if needs_bias else None
        return None if g_x is None else g_x.float(), None if g_weight is None else g_weight.float(), g_bias, None, None


def _exact_sums(q: Tensor, coded: coding.CodedWeight, kernel: Pair, geometry: Geometry) -> Tensor:
    """Return float32(A) of codes and integer weights, rounded once."""
    out_channels = len(coded.scale)
    sums = integer_sums(q, coded.packed(geometry, q.shape), out_channels, geometry)
    if coded.bits < 8:
        return sums
    window = passes.window_sums(q, kernel, geometry)
    if passes.add_window_sums(sums, window) < EXACT:
        return sums
    # sum (code - 128) q itself was rounded, so 2 A + S would round twice: add it from digits of the weights, each sum exact
    total = torch.zeros_like(sums, dtype=torch.float64)
    for factor, digits in coded.digits():
        total.add_(integer_sums(q, pack(digits, geometry, q.shape), out_channels, geometry), alpha=factor)
    by_channel = window.permute(0, 3, 1, 2).repeat_interleave(out_channels // geometry.groups, 1)
    return total.mul_(2).add_(by_channel).float().contiguous(memory_format=torch.channels_last)


def _norm_state(norm: BatchNorm | None, gamma: Tensor | None, beta: Tensor | None) -> tuple[passes.NormState, bool]:
    """Return the norm's tensors, and whether it takes its statistics from the batch."""
    if norm is None:
        return passes.NormState(None, None, None, None, 0.0), False
    tracks = not norm.training or norm.track_running_stats
    mean, variance = (norm.running_mean, norm.running_var) if tracks else (None, None)
    return passes.NormState(gamma, beta, mean, variance, norm.eps), norm.training or norm.running_mean is None


def _fold_batch(sums: Tensor, scales: passes.Scales, state: passes.NormState, norm: BatchNorm | None, shift: Tensor | None,
                borders: Any) -> passes.Folded:  # fmt: skip
    assert norm is not None
    count = sums.numel() // sums.shape[1]
    if count == 1:
        F.batch_norm(sums, None, None, training=True)  # raises as torch does: one value has no variance
    momentum = 0.0 if norm.momentum is None else norm.momentum
    if norm.training and norm.track_running_stats and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.add_(1)
        if norm.momentum is None:  # a plain average over all batches
            momentum = 1.0 / float(norm.num_batches_tracked)
    return passes.fold_batch(scales, state, passes.statistics(sums, shift, borders), count, momentum)


def _convolution_backward(
    g: Tensor, x: Tensor, weight: Tensor, geometry: Geometry, needs: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Return the gradients of input and weight, None where not needed."""
    if not any(needs):
        return None, None
    stride, padding, dilation, groups = geometry
    found = torch.ops.aten.convolution_backward(g, x, weight, None, stride, padding, dilation, False, (0, 0), groups, (*needs, False))
    return found[0] if needs[0] else None, found[1] if needs[1] else None


@cache
def _multiplies_bfloat16() -> bool:
    return _has_native and (_cpu()["avx512_bf16"] or _cpu()["amx_bf16"])


def _cpu() -> dict[str, bool]:
    from quantizable import _native

    return _native.cpu_features()


def _pair(value: int | Pair) -> Pair:
    return (value, value) if isinstance(value, int) else (value[0], value[1])

"""What every quantizer of the table promises a layer, at every width, for weights and activations, signed and unsigned."""

from __future__ import annotations

import copy

import pytest
import torch

from quantizable.errors import CalibrationError, RangeError
from quantizable.network.quantizers import QUANTIZERS

FAMILIES = pytest.mark.parametrize("family", list(QUANTIZERS))
ALL_BITS = pytest.mark.parametrize("bits", range(1, 9))
SIGNED = pytest.mark.parametrize("is_signed", [False, True])
MODE = "w3a3:first-half_2"
SHAPES = [(5, 7), (4, 3, 5), (4, 2, 3, 3), (6, 1, 3, 3), (1, 1)]
ESTIMATED = [name for name in QUANTIZERS if name != "dorefa"]


def test_the_table_lists_the_five_families() -> None:
    """The first family is the default."""
    assert list(QUANTIZERS) == ["nested", "dorefa", "pact", "sat", "lsq"]


@FAMILIES
@ALL_BITS
@pytest.mark.parametrize("shape", SHAPES)
def test_weights_are_integers_with_a_scale_per_channel(family: str, bits: int, shape: tuple[int, ...]) -> None:
    """v: float32 integers, |v| < 2^bits; s: float32 (out,), positive; every weight has a finite gradient, some of them not 0."""
    weight = (0.2 * torch.randn(shape, generator=torch.Generator().manual_seed(bits))).requires_grad_()
    quantizer = QUANTIZERS[family].weight(weight, None)
    quantizer.add_mode(MODE, bits)
    values, scale = quantizer(weight, MODE, bits)
    assert values.dtype == scale.dtype == torch.float32
    assert values.shape == weight.shape
    assert scale.shape == (shape[0],)
    assert (values == values.round()).all()
    assert values.abs().max() < 2**bits
    assert (scale > 0).all()
    assert torch.isfinite(scale).all()
    g = torch.randn(shape, generator=torch.Generator().manual_seed(5))
    (values * scale.view(-1, *[1] * (len(shape) - 1)) * g).sum().backward()
    assert weight.grad is not None
    assert torch.isfinite(weight.grad).all()
    assert weight.numel() == 1 or weight.grad.any()  # alone, a DoReFa weight is its own largest: a constant


@FAMILIES
@ALL_BITS
def test_zero_weights_stay_usable(family: str, bits: int) -> None:
    """A layer of zeros gives finite integers, scales and gradients."""
    weight = torch.zeros(3, 4, requires_grad=True)
    quantizer = QUANTIZERS[family].weight(weight, 3.0)
    quantizer.add_mode(MODE, bits)
    values, scale = quantizer(weight, MODE, bits)
    (values * scale.view(-1, 1)).sum().backward()
    assert weight.grad is not None
    for tensor in (values, scale, weight.grad):
        assert torch.isfinite(tensor).all()


@FAMILIES
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(family: str, bad: float) -> None:
    """At conversion and after another checkpoint was loaded."""
    with pytest.raises(RangeError, match="check the float network"):
        QUANTIZERS[family].weight(torch.tensor([[1.0, bad]]), None)
    quantizer = QUANTIZERS[family].weight(torch.ones(1, 2), None)
    with pytest.raises(RangeError, match="check the float network"):
        quantizer.refresh(torch.tensor([[1.0, bad]]))


@FAMILIES
@ALL_BITS
@SIGNED
def test_activations_are_codes_with_step_and_zero_point(family: str, bits: int, is_signed: bool) -> None:
    """q: integers 0 to n; d > 0; z a multiple of 1/2 among the levels, 0 when unsigned; x and parameters get finite gradients."""
    x = torch.randn(6, 3, 5, 5, generator=torch.Generator().manual_seed(bits))
    x = (x if is_signed else x.relu()).requires_grad_()
    quantizer = QUANTIZERS[family].activation(bits, 3, 1)
    assert not quantizer.is_ready
    quantizer.estimate(x.detach(), is_signed=is_signed)
    assert quantizer.is_ready
    values, step, zero_point = quantizer(x)
    z = float(zero_point)
    assert values.dtype == step.dtype == torch.float32
    assert step.shape == ()
    assert ((values == values.round()) & (values >= 0) & (values < 2**bits)).all()
    assert step > 0
    assert 2 * z == round(2 * z)
    assert 0 <= z < 2**bits
    assert is_signed or z == 0
    assert z == 0.5 or not (is_signed and bits == 1)
    (step * (values - zero_point) * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).sum().backward()
    for tensor in (x, *quantizer.parameters()):
        assert tensor.grad is not None
        assert torch.isfinite(tensor.grad).all()
        assert tensor.grad.any()


@FAMILIES
def test_codes_equal_the_law_with_the_step_given_out(family: str) -> None:
    """Law, Activations: whichever family made d and z, q = clip(rint(x * (1/d) + z), 0, n) in float32."""
    x = torch.randn(4000, 2, generator=torch.Generator().manual_seed(0))
    for bits in range(1, 9):
        for is_signed in (False, True):
            quantizer = QUANTIZERS[family].activation(bits, 2, 1)
            quantizer.estimate(x, is_signed=is_signed)
            values, step, zero_point = quantizer(x)
            inverse = torch.ones(()).numpy() / step.detach().numpy()
            law = (x.numpy() * inverse + zero_point.numpy()).round().clip(0, 2**bits - 1)
            assert (values.detach().numpy() == law).all()


@pytest.mark.parametrize("family", ESTIMATED)
@SIGNED
def test_estimated_eight_bits_are_close(family: str, is_signed: bool) -> None:
    """The start values describe a normal input at 8 bits with an error under 1 % of its root mean square."""
    x = torch.randn(64, 3, 8, 8, generator=torch.Generator().manual_seed(3))
    x = x if is_signed else x.relu()
    quantizer = QUANTIZERS[family].activation(8, 3, 1)
    quantizer.estimate(x, is_signed=is_signed)
    values, step, zero_point = quantizer(x)
    error = (step * (values - zero_point) - x).square().mean().sqrt() / x.square().mean().sqrt()
    assert error < 0.01


@FAMILIES
@SIGNED
def test_state_goes_through_a_checkpoint(family: str, is_signed: bool) -> None:
    """A quantizer loaded from a state is ready and gives the same codes; one that forgot asks for a batch again."""
    x = torch.randn(5, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    quantizer = QUANTIZERS[family].activation(2, 3, 1)
    quantizer.estimate(x, is_signed=is_signed)
    loaded = QUANTIZERS[family].activation(2, 3, 1)
    assert not loaded.is_ready
    loaded.load_state_dict(quantizer.state_dict())
    assert loaded.is_ready
    for found, expected in zip(loaded(x), quantizer(x), strict=True):
        assert torch.equal(found, expected)
    twin = copy.deepcopy(quantizer)
    quantizer.forget()
    assert not quantizer.is_ready
    assert twin.is_ready
    loaded.load_state_dict(quantizer.state_dict())
    assert not loaded.is_ready


@pytest.mark.parametrize("family", ESTIMATED)
def test_a_batch_that_is_not_finite_is_refused(family: str) -> None:
    """A NaN in the first batch is a CalibrationError, and the quantizer is still not ready."""
    quantizer = QUANTIZERS[family].activation(4, 1, 1)
    with pytest.raises(CalibrationError, match="not finite"):
        quantizer.estimate(torch.tensor([[1.0], [float("nan")]]), is_signed=False)
    assert not quantizer.is_ready


@FAMILIES
def test_weight_state_goes_through_a_checkpoint(family: str) -> None:
    """Mode names with a label are keys of the state; a loaded weight quantizer gives the same integers and scales."""
    generator = torch.Generator().manual_seed(1)
    weight, other = torch.randn(3, 4, generator=generator), torch.randn(3, 4, generator=generator)
    quantizer, loaded = (QUANTIZERS[family].weight(w, None) for w in (weight, other))
    for each in (quantizer, loaded):
        each.add_mode(MODE, 3)
    loaded.load_state_dict(quantizer.state_dict())
    for found, expected in zip(loaded(weight, MODE, 3), quantizer(weight, MODE, 3), strict=True):
        assert torch.equal(found, expected)

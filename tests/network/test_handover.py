"""Codes made by the maker of a value for its reader: the same outputs, the same gradients, and nothing that can go wrong."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from nets import calibrated, differing, images, outputs, seeded
from torch import Tensor, nn

import quantizable as qz
from quantizable.errors import RangeError
from quantizable.network import conversion_of, fused, handover, set_gradient_dtype
from quantizable.network.handover import Grid

MODES = ("fp32", "w8a8", "w4a4", "w1a1")
pytestmark = pytest.mark.skipif(not fused.is_available(), reason=f"fused unit: {fused.why_not()}")


class Blocks(nn.Module):
    """A stem and two residual blocks, each place with a ReLU of its own; `twist` changes what the second convolution reads."""

    def __init__(self, twist: Callable[[Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.stem, self.norm, self.relu = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()
        self.first = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2))
        self.second = nn.ModuleList(nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2))
        self.norms = nn.ModuleList(nn.BatchNorm2d(8) for _ in range(4))
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(4))
        self.head, self.twist = nn.Linear(8, 4), twist

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        for i in (0, 1):
            y = self.relus[2 * i](self.norms[2 * i](self.first[i](x)))
            y = y if self.twist is None or not self.training else self.twist(y)
            x = self.relus[2 * i + 1](self.norms[2 * i + 1](self.second[i](y)) + x)
        return self.head(x.mean((2, 3)))


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def tolerance(request: pytest.FixtureRequest) -> Iterator[float]:
    set_gradient_dtype(request.param)
    yield 1e-4 if request.param is torch.float32 else 4e-2
    set_gradient_dtype(None)


def _pair(twist: Callable[[Tensor], Tensor] | None = None) -> tuple[nn.Module, nn.Module]:
    """Return the same network twice, the second one without hand-over."""
    linked = calibrated(seeded(Blocks(twist)), images(), MODES)
    alone = copy.deepcopy(linked)
    for module in alone.modules():
        if "_next_quantizers" in module.__dict__:
            module._next_quantizers = ()
    return linked, alone


def _gradients(network: nn.Module, x: Tensor, modes: tuple[str, ...] = MODES) -> dict[str, Tensor]:
    network.zero_grad()
    for mode in modes:
        with qz.use_mode(network, mode):
            network(x).square().sum().backward()
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def _assert_close(found: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    largest = max(float(value.abs().max()) for name, value in expected.items() if "log_step" in name)
    for name, value in expected.items():
        size = largest if "log_step" in name else float(value.abs().max())  # a step's is a small difference of large sums
        assert float((found[name] - value).abs().max()) <= tolerance * size + 1e-5, name


def test_the_trace_sees_who_reads_what():
    """Through norms and needless ReLUs to the layer; a ReLU that others read too makes the codes itself."""
    linked, _ = _pair()
    assert conversion_of(linked).structure.code_readers == (
        ("relu", "first.0"), ("first.0", "second.0"), ("relus.1", "first.1"), ("first.1", "second.1"),
    )  # fmt: skip
    assert linked.first[0]._next_quantizers[0] is linked.second[0].input_quantizers


def test_only_first_readers_quantize(monkeypatch: pytest.MonkeyPatch):
    """The stem quantizes its input; all others find their codes made."""
    linked, alone = _pair()
    counts = []
    quantize = fused.passes.quantize
    monkeypatch.setattr(fused.passes, "quantize", lambda x, *grid: counts.append(len(x)) or quantize(x, *grid))
    for network, expected in ((linked, 1), (alone, 5)):
        counts.clear()
        with qz.use_mode(network, "w4a4"):
            network(images())
        assert len(counts) == expected


@pytest.mark.parametrize("is_training", [False, True])
def test_outputs_are_equal(is_training: bool):
    """Law: one value has one code, whoever computes it."""
    linked, alone = _pair()
    linked.train(is_training), alone.train(is_training)
    assert differing(outputs(linked, images()), outputs(alone, images())) == []
    for network in (linked, alone):
        _gradients(network, images())  # with gradients, other memory is used
    assert differing(outputs(linked, images()), outputs(alone, images())) == []


@pytest.mark.parametrize("is_training", [False, True])
def test_gradients_agree(is_training: bool, tolerance: float):
    """Up to the order of sums in float32, and the rounding of bfloat16."""
    linked, alone = _pair()
    linked.train(is_training), alone.train(is_training)
    _assert_close(_gradients(linked, images()), _gradients(alone, images()), tolerance)


def test_gradients_agree_with_the_plain_path(monkeypatch: pytest.MonkeyPatch):
    """In evaluation both compute the same codes, so that only the order of sums differs."""
    set_gradient_dtype(torch.float32)
    try:
        linked, plain = _pair()
        found = _gradients(linked, images())
        monkeypatch.setenv("QUANTIZABLE_FUSED", "0")
        fused.why_not.cache_clear()
        _assert_close(found, _gradients(plain, images()), 1e-4)
    finally:
        set_gradient_dtype(None)
        monkeypatch.undo()
        fused.why_not.cache_clear()


TWISTS: dict[str, Callable[[Tensor], Tensor]] = {
    "changed in place": lambda y: y.mul_(1.5),
    "another tensor": lambda y: y * 1.5,
    "read beside": lambda y: y + 0 * y.sum(),
    "cut off": lambda y: y.detach(),
}


@pytest.mark.parametrize("twist", TWISTS)
def test_codes_of_another_value_are_not_used(twist: str):
    """What training does beside what the trace saw costs speed, never correctness."""
    set_gradient_dtype(torch.float32)
    try:
        linked, alone = _pair(TWISTS[twist])
        linked.train(), alone.train()
        assert differing(outputs(linked, images()), outputs(alone, images())) == []
        modes = MODES[1:]  # torch's own ReLU takes no change in place
        _assert_close(_gradients(linked, images(), modes), _gradients(alone, images(), modes), 1e-4)
    finally:
        set_gradient_dtype(None)


def test_another_reader_of_the_value_gets_its_gradient():
    """Both gradients meet at the value: through the codes and beside them."""
    set_gradient_dtype(torch.float32)
    try:
        found = []
        for network in _pair():
            network.train()
            seen: list[Tensor] = []
            hook = network.relus[0].register_forward_pre_hook(lambda module, args, seen=seen: seen.append(args[0]))
            with qz.use_mode(network, "w4a4"):
                (network(images()).square().sum() + seen[0].pow(3).sum()).backward()
            hook.remove()
            found.append({name: p.grad for name, p in network.named_parameters() if p.grad is not None})
        _assert_close(found[0], found[1], 1e-4)
    finally:
        set_gradient_dtype(None)


def test_a_step_learns_behind_a_part_without_gradients():
    """Codes made without a graph do not serve a reader that wants one."""
    linked, _ = _pair()
    linked.train()
    quantizer = linked.second[0].input_quantizers["w4a4"]
    with qz.use_mode(linked, "w4a4"):
        with torch.no_grad():
            y = linked.relus[0](linked.norms[0](linked.first[0](torch.rand(2, 8, 6, 6))))
        assert handover.has_codes(y)
        linked.second[0](y).square().sum().backward()
    assert quantizer.log_step.grad is not None


def test_codes_of_an_older_step_are_not_used():
    """A step that changed makes other codes."""
    linked, _ = _pair()
    quantizer = linked.second[0].input_quantizers["w4a4"]
    with qz.use_mode(linked, "w4a4"), torch.no_grad():
        y = linked.first[0](torch.rand(2, 8, 6, 6))
        assert handover.handed_codes(y, quantizer.log_step) is not None
        quantizer.log_step.add_(0.1)
        assert handover.handed_codes(y, quantizer.log_step) is None


@pytest.mark.parametrize("is_training", [False, True])
def test_not_a_number_goes_through_codes(is_training: bool):
    """Codes cannot say NaN; what goes with them does."""
    linked, _ = _pair()
    linked.train(is_training)
    x = images()
    x[0, 0, 0, 0] = float("nan")
    assert all(bool(out.isnan().any()) for out in outputs(linked, x).values())


def test_inference_mode_makes_no_codes():
    """Its tensors count no versions; outputs are the same."""
    linked, _ = _pair()
    expected = outputs(linked, images())
    with torch.inference_mode():
        assert differing(outputs(linked, images()), expected) == []


def test_copies_and_views_hold_on_to_their_own_quantizers():
    """No copy reaches into its original, and no copy is deeper than Python's stack."""
    linked, _ = _pair()
    for network in (copy.deepcopy(linked), qz.at(linked, 4)):
        assert network.first[0]._next_quantizers[0] is network.second[0].input_quantizers
        assert network.first[0]._next_quantizers[0] is not linked.second[0].input_quantizers


def test_a_step_that_left_its_range_is_an_error() -> None:
    """A diverged step is told as such, not as a division by zero."""
    for log_step in (-200.0, 200.0, float("nan")):
        grid = Grid(torch.tensor(log_step), 0.0, 4, (0.0, 15.0))
        with pytest.raises(RangeError, match="activation step"):
            grid.inverse()

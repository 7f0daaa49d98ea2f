"""Bit-specific norms: every class of batch norm, joined with a layer or alone, per mode or shared."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import stand_ins
import torch
from nets import calibrated, images, outputs, seeded, settled
from torch import Tensor, nn

import quantizable as qz
from quantizable.network import BitSpecificNorm, Plan

MODES = ("fp32", "w8a8", "w2a2")


def _net(norm: nn.Module, layer: nn.Module, head: int) -> nn.Sequential:
    return seeded(nn.Sequential(layer, norm, nn.Flatten(), nn.Linear(head, 3))).eval()  # type: ignore[return-value]


def volume(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(4))


NORMS: dict[str, tuple[Callable[[], nn.Module], Tensor]] = {
    "1d": (lambda: _net(nn.BatchNorm1d(5), nn.Conv1d(3, 5, 3), 30), volume(16, 3, 8)),
    "1d over features": (lambda: _net(nn.BatchNorm1d(5), nn.Linear(6, 5), 5), volume(64, 6)),
    "2d": (lambda: _net(nn.BatchNorm2d(5), nn.Conv2d(3, 5, 3), 180), images(16)),
    "3d": (lambda: _net(nn.BatchNorm3d(5), nn.Conv3d(3, 5, 3), 40), volume(16, 3, 4, 4, 4)),
    "synchronised": (lambda: _net(nn.SyncBatchNorm(5), nn.Conv2d(3, 5, 3), 180), images(16)),
    "without affine": (lambda: _net(nn.BatchNorm2d(5, affine=False), nn.Conv2d(3, 5, 3), 180), images(16)),
    "without statistics": (lambda: _net(nn.BatchNorm2d(5, track_running_stats=False), nn.Conv2d(3, 5, 3), 180), images(16)),
    "plain average": (lambda: _net(nn.BatchNorm2d(5, momentum=None), nn.Conv2d(3, 5, 3), 180), images(16)),
    "other eps": (lambda: _net(nn.BatchNorm2d(5, eps=0.5), nn.Conv2d(3, 5, 3), 180), images(16)),
    "timm with activation": (lambda: _net(stand_ins.BatchNormAct2d(5, nn.SiLU()), nn.Conv2d(3, 5, 3), 180), images(16)),
    "frozen": (lambda: _net(stand_ins.FrozenBatchNorm2d(5), nn.Conv2d(3, 5, 3), 180), images(16)),
    "frozen with activation": (lambda: _net(stand_ins.FrozenBatchNormAct2d(5, nn.SiLU()), nn.Conv2d(3, 5, 3), 180), images(16)),
}
FROZEN = ("frozen", "frozen with activation")


@pytest.mark.parametrize("kind", NORMS)
@pytest.mark.parametrize("norms", ["per_mode", "shared"])
@pytest.mark.parametrize("with_example", [False, True])
def test_every_norm_works_joined_and_alone(kind: str, norms: str, with_example: bool) -> None:
    """fp32 equal bit for bit; 8 bits close; the norm's activation runs once; every mode trains."""
    make, x = NORMS[kind]
    net = settled(make(), x)
    plan = Plan(norms=norms, channel_rms=None)  # type: ignore[arg-type]
    network = calibrated(net, x, MODES, plan=plan, example=x if with_example else None)
    norm = network[1]
    assert isinstance(norm, BitSpecificNorm)
    assert list(norm.mode_norms) == (["w8a8", "w2a2"] if norms == "per_mode" else [])
    found = outputs(network, x)
    expected = net(x).detach()
    if norms == "shared" and kind not in FROZEN:  # calibration moved the one set
        expected = found["fp32"]
    assert torch.equal(found["fp32"], expected)
    assert (found["w8a8"] - expected).abs().mean() < 0.05 * expected.std()
    for mode in MODES:
        with qz.use_mode(network, mode):
            y = network.train()(x)
            y.square().sum().backward()
        assert torch.isfinite(y).all()
        if norms == "per_mode" and mode != "fp32" and norm.mode_norms[mode].affine and kind not in FROZEN:
            assert norm.mode_norms[mode].weight.grad.any()


@pytest.mark.parametrize("kind", FROZEN)
def test_frozen_norms_stay_frozen_in_every_mode(kind: str) -> None:
    """Neither calibration nor training moves constants; they are still joined with their layer."""
    make, x = NORMS[kind]
    net = make()
    network = calibrated(net, x, MODES).train()
    assert network[1]._is_absorbed
    for mode in MODES:
        with qz.use_mode(network, mode):
            network(x).sum().backward()
    for norm in network[1].mode_norms.values():
        for name in ("weight", "bias", "running_mean", "running_var"):
            assert torch.equal(getattr(norm, name), getattr(net[1], name)), name
        assert not any(parameter.requires_grad for parameter in norm.parameters())


def test_statistics_of_a_mode_move_in_that_mode_alone() -> None:
    """Bit-specific norms: one mode's training leaves the statistics of all others alone."""
    make, x = NORMS["2d"]
    network = calibrated(make(), x, MODES).train()
    norm = network[1]

    def statistics() -> dict[str, Tensor]:
        return {"fp32": norm.running_mean.clone(), **{name: own.running_mean.clone() for name, own in norm.mode_norms.items()}}

    for mode in MODES:
        before = statistics()
        with qz.use_mode(network, mode):
            network(x * 2 + 1)
        moved = {name for name, mean in statistics().items() if not torch.equal(mean, before[name])}
        assert moved == {mode}


def test_a_subclass_without_a_forward_of_its_own_is_its_base() -> None:
    """Attributes called `drop` and `act` mean something in timm's classes alone."""

    class Named(nn.BatchNorm2d):
        act = staticmethod(lambda x: x * 100)
        drop = staticmethod(lambda x: x)

    net = settled(_net(Named(5), nn.Conv2d(3, 5, 3), 180), images(16))
    network = calibrated(net, images(16), MODES)
    expected = net(images(16)).detach()
    assert (outputs(network, images(16))["w8a8"] - expected).abs().mean() < 0.05 * expected.std()


def test_a_new_mode_takes_the_norm_of_the_nearest_higher_one() -> None:
    """add_mode: copies of the next higher integer mode's norms; of the next lower one where there is none; never of fp32's."""
    make, x = NORMS["2d"]
    network = calibrated(make(), x, ("fp32", "w4a4", "w2a2"))
    norm = network[1]
    for number, own in enumerate(norm.mode_norms.values()):
        own.running_mean.fill_(number + 1.0)
    for mode in ("w3a3", "w8a8", "w1a1"):
        qz.network.add_mode(network, qz.parse_mode(mode))
    means = {name: float(own.running_mean[0]) for name, own in norm.mode_norms.items()}
    assert means == {"w4a4": 1.0, "w2a2": 2.0, "w3a3": 1.0, "w8a8": 1.0, "w1a1": 2.0}

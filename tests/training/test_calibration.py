"""calibrate and reestimate_norms: steps and norms of modes from data, and nothing else."""

from __future__ import annotations

import copy

import pytest
import torch
from small_networks import make_network
from torch import nn

import quantizable as qz
from quantizable.errors import CalibrationError, ConvertError, ModeError
from quantizable.modes import parse_mode
from quantizable.network import modes_of
from quantizable.training import evaluate, reestimate_norms


def state_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def changed(network, before):
    after = network.state_dict()
    return {name for name in before.keys() | after.keys() if name not in before or not torch.equal(after[name], before[name])}


def test_every_integer_mode_gets_steps_and_fp32_stays(batch):
    """Promise: after it every mode can be evaluated; weights and the float mode are bit for bit as they were."""
    network = make_network(batch[0], calibrated=False)
    before = state_of(network)
    qz.calibrate(network, [batch])
    names = changed(network, before)
    assert all("mode_norms" in name or "input_quantizers" in name for name in names)
    assert len(evaluate(network, [batch])) == 4


def test_norms_hold_the_plain_average_over_batches(batch):
    """Promise: statistics are the mean of the batches' own, in the mode with its new steps."""
    images, _ = batch
    network = make_network(images)
    parts = list(images.split(8))
    qz.calibrate(network, parts, modes=["w2a2"])
    means, variances = [], []
    seen = network.bn1.mode_norms["w2a2"]
    for part in parts:
        mean, variance = statistics_of(network, part)
        means.append(mean)
        variances.append(variance)
    assert torch.allclose(seen.running_mean, torch.stack(means).mean(0), rtol=1e-5, atol=1e-6)
    assert torch.allclose(seen.running_var, torch.stack(variances).mean(0), rtol=1e-5, atol=1e-6)
    assert int(seen.num_batches_tracked) == 3
    assert seen.momentum == 0.1


def statistics_of(network, images):
    """Mean and variance that the first norm takes from one batch in w2a2: those of a norm with momentum 1 after one pass."""
    other = copy.deepcopy(network).eval()
    norm = other.bn1.mode_norms["w2a2"].train()
    norm.momentum = 1.0
    with torch.no_grad(), qz.use_mode(other, "w2a2"):
        other(images)
    return norm.running_mean, norm.running_var


def test_modes_not_named_stay_as_they_are(network, batch):
    """Promise: a mode calibrated anew, or added, changes nothing that the others use."""
    before = state_of(network)
    outputs = evaluate(network, [batch])
    qz.calibrate(network, [batch[0] + 1], modes=["w3a3", "w2a2"])
    assert [mode.name for mode in modes_of(network)] == ["fp32", "w8a8", "w3a3", "w2a2", "w1a1"]
    assert all("w3a3" in name or "w2a2" in name for name in changed(network, before))
    after = evaluate(network, [batch])
    assert all(after[mode] == outputs[mode] for mode in ("fp32", "w8a8", "w1a1"))


def test_flags_and_mode_are_as_before(network, batch):
    """Promise: calibration is a pass that leaves no trace but steps and statistics."""
    qz.set_mode(network, "w8a8")
    network.bn2.eval()
    flags = {name: module.training for name, module in network.named_modules()}
    qz.calibrate(network, [batch])
    assert qz.get_mode(network) == "w8a8"
    assert flags == {name: module.training for name, module in network.named_modules()}


def test_at_most_the_wanted_batches_are_read(network, batch):
    """Promise: `batches`; an endless loader is no trouble."""
    read = []

    def endless():
        while True:
            read.append(1)
            yield batch

    qz.calibrate(network, endless(), batches=3)
    assert len(read) == 3


@pytest.mark.parametrize("modes", [["w2a2"], ["w3a3"], ["w2a2", "w3a3"]])
def test_a_failure_leaves_the_network_as_it_was(network, batch, modes):
    """Promise: also when a value is not finite in the middle; an added mode is gone again."""
    images = batch[0].clone()
    images[3, 0, 0, 0] = float("nan")
    before = state_of(network)
    with pytest.raises(CalibrationError, match="not finite"):
        qz.calibrate(network, [images], modes=modes)
    assert changed(network, before) == set()
    assert "w3a3" not in [mode.name for mode in modes_of(network)]
    assert network.training


def test_a_loader_without_images_is_told(network):
    """Promise: an error that says where to look."""
    with pytest.raises(CalibrationError, match="yields no images"):
        qz.calibrate(network, [])


def test_wrong_modes_and_networks_are_told(network, batch):
    """Promise: one clear line each."""
    with pytest.raises(ModeError, match="w9a9"):
        qz.calibrate(network, [batch], modes=["w9a9"])
    with pytest.raises(ModeError, match="empty"):
        qz.calibrate(network, [batch], modes=[])
    with pytest.raises(ConvertError, match="not a converted network"):
        qz.calibrate(nn.Linear(2, 2), [batch])


def test_norms_that_modes_share_are_left_alone(batch):
    """plan.norms "shared": steps are estimated, the one set of statistics belongs to no mode and stays, by either door."""
    network = make_network(batch[0], norms="shared", calibrated=False)
    with torch.no_grad():
        network(batch[0])  # some statistics
    before = state_of(network)
    qz.calibrate(network, [batch[0] + 1])
    reestimate_norms(network, [batch[0] + 1], parse_mode("w2a2"))
    reestimate_norms(network, [batch[0] + 1], parse_mode("fp32"))
    assert all("input_quantizers" in name for name in changed(network, before))
    assert len(evaluate(network, [batch])) == 4


def test_a_frozen_norm_stays_frozen(batch):
    """A norm whose statistics are constants is nobody's to estimate."""

    class FrozenBatchNorm2d(nn.Module):  # by its name, as in torchvision
        def __init__(self, n):
            super().__init__()
            self.eps = 1e-5
            for name, value in (("weight", 1.0), ("bias", 0.0), ("running_mean", 0.25), ("running_var", 2.0)):
                self.register_buffer(name, torch.full((n,), value))

        def forward(self, x):
            scale = self.weight / (self.running_var + self.eps).sqrt()
            return (x - self.running_mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]

    network = nn.Sequential(nn.Conv2d(1, 4, 3), FrozenBatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = qz.convert(network, (32, 4), example=batch[0][:2])
    qz.calibrate(network, [batch])
    frozen = network[1].mode_norms["w4a4"]
    assert torch.equal(frozen.running_mean, torch.full((4,), 0.25))
    assert torch.equal(frozen.running_var, torch.full((4,), 2.0))

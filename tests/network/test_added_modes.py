"""Modes added to a network that has others: the others stay as they are, and a failure leaves no trace."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from nets import MODES, calibrated, differing, images, outputs, skip_net

import quantizable as qz
from quantizable.errors import CalibrationError, ModeError, PlanError
from quantizable.modes import parse_modes
from quantizable.network import QUANTIZERS, Plan, add_mode, checksum, remove_mode

FAMILIES = pytest.mark.parametrize("family", list(QUANTIZERS))


@FAMILIES
def test_trained_modes_stay_bit_identical_beside_new_ones(family: str, tmp_path: Any) -> None:
    """Issue: calibrate(modes=["w3a3", "w6a6"]): new modes work, outputs and tensors of the old ones do not change."""
    x = images(16)
    network = calibrated(skip_net(), x, plan=Plan(family))
    expected = outputs(network, x)
    state = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    qz.calibrate(network, [images(16, seed=8)], modes=["w3a3", "w6a6"])
    assert [mode.name for mode in qz.modes_of(network)] == ["fp32", "w8a8", "w6a6", "w4a4", "w3a3", "w2a4", "w1a1"]
    assert qz.get_mode(network) == "fp32"
    found = outputs(network, x)
    assert differing({name: found[name] for name in expected}, expected) == []
    for name, tensor in state.items():
        assert torch.equal(network.state_dict()[name], tensor), name
    if family == "nested":
        error = {name: float((y - found["fp32"]).abs().mean()) for name, y in found.items()}
        assert error["w6a6"] < error["w3a3"]
    qz.save(network, tmp_path)
    assert differing(outputs(qz.load(tmp_path, skip_net(3)).eval(), x), found) == []


@FAMILIES
@pytest.mark.parametrize("modes", [None, ["w3a3"], ["w3a3", "w8a8"]], ids=["all", "new", "new and old"])
def test_a_failed_calibration_restores_the_network(family: str, modes: list[str] | None) -> None:
    """A batch with NaN: one clear error, and tensors, modes, flags and outputs are as before."""
    x = images()
    network = calibrated(skip_net(), x, plan=Plan(family)).train()
    network.bn1.eval()
    qz.set_mode(network, 4)
    names, before, flags = list(network.state_dict()), checksum(network), [module.training for module in network.modules()]
    broken = images()
    broken[1, 0, 2, 2] = float("nan")
    with pytest.raises(CalibrationError, match=r"conv1: its input in mode w\da\d is not finite; check"):
        qz.calibrate(network, [broken], modes=modes)
    assert list(network.state_dict()) == names
    assert checksum(network) == before
    assert [module.training for module in network.modules()] == flags
    assert [mode.name for mode in qz.modes_of(network)] == list(MODES)
    assert qz.get_mode(network) == "w4a4"
    expected = outputs(calibrated(skip_net(), x, plan=Plan(family)), x)
    assert differing(outputs(network.eval(), x), expected) == []


def test_a_failed_first_calibration_leaves_the_network_uncalibrated() -> None:
    """Layers estimated before the failure must ask for a step again, not compute with none."""
    network = qz.convert(skip_net(), MODES, example=images()).eval()
    with torch.no_grad():
        network.bn1.mode_norms["w4a4"].weight[0] = float("nan")  # the second layer's input is not finite
    with pytest.raises(CalibrationError, match="conv2: its input in mode w4a4 is not finite"):
        qz.calibrate(network, [images()], modes=[4])
    for mode in (4, 8):
        with qz.use_mode(network, mode), pytest.raises(CalibrationError, match="conv1: no step in mode"):
            network(images())


def test_a_calibration_that_fails_late_leaves_nothing_behind() -> None:
    """In a later batch, when all steps are estimated; in a later mode, when the first is done."""
    network = qz.convert(skip_net(), MODES, example=images()).eval()
    with pytest.raises(RuntimeError, match="channels"):
        qz.calibrate(network, [images(256), images(4, channels=5)], modes=[4])
    with qz.use_mode(network, 4), pytest.raises(CalibrationError, match="conv1: no step in mode w4a4"):
        network(images())
    network = calibrated(skip_net(), images())
    with torch.no_grad():
        network.bn1.mode_norms["w1a1"].weight[0] = float("nan")
    before = checksum(network)
    with pytest.raises(CalibrationError, match="conv2: its input in mode w1a1 is not finite"):
        qz.calibrate(network, [images(seed=6)])
    assert checksum(network) == before


@FAMILIES
def test_adding_and_removing_a_mode_leaves_no_trace(family: str) -> None:
    """remove_mode takes norms, steps and tables; what is left equals what was there, and refreshes from a float checkpoint."""
    network = calibrated(skip_net(), images(), plan=Plan(family))
    names, before = list(network.state_dict()), checksum(network)
    add_mode(network, parse_modes("w3a3")[0])
    assert checksum(network) != before
    qz.set_mode(network, 3)
    remove_mode(network, 3)
    assert qz.get_mode(network) == "fp32"
    assert list(network.state_dict()) == names
    assert checksum(network) == before
    assert qz.load_float(network, skip_net(4).state_dict()).missing == ()


def test_wrong_modes_are_not_added_or_removed() -> None:
    """Errors: doubled, unknown, the last one, and patterns that fit nothing."""
    network = calibrated(skip_net(), images(), (32, 4))
    before = checksum(network)
    with pytest.raises(ModeError, match="'w4a4': already a mode of this network; calibrate it, or give it a label such as 'w4a4:b'"):
        add_mode(network, parse_modes(4)[0])
    with pytest.raises(ModeError, match="'w5a5': not a mode of this network"):
        remove_mode(network, 5)
    with pytest.raises(PlanError, match="'conv7' of mode 'w3a3' fits no layer; the nearest name is 'conv"):
        add_mode(network, parse_modes({"w3a3": {"conv7": 8}})[0])
    remove_mode(network, 4)
    with pytest.raises(ModeError, match="'fp32': the only mode of this network"):
        remove_mode(network, 32)
    add_mode(network, parse_modes("w4a4:b")[0])
    assert checksum(network) != before


def test_fp32_can_be_added_to_a_network_of_integer_modes() -> None:
    """The float weights are there in any case."""
    net = skip_net()
    network = calibrated(net, images(), (4,))
    qz.calibrate(network, [images()], modes=[32])
    assert torch.equal(outputs(network, images())["fp32"], net(images()))

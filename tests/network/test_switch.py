"""The switch: modes entered and left, views that stay in one, and what a switch costs."""

from __future__ import annotations

import copy
import threading
import time

import pytest
import torch
from nets import MODES, SkipNet, calibrated, images, outputs, seeded, skip_net
from torch import nn

import quantizable as qz
from quantizable.errors import CalibrationError, ConvertError, ModeError
from quantizable.models import build


def test_a_network_starts_in_its_highest_mode_and_switches() -> None:
    """set_mode and get_mode, by name, int and Mode; the order of the modes does not depend on how they were named."""
    network = qz.convert(skip_net(), ("w2a4", 4, "fp32"))
    assert [mode.name for mode in qz.modes_of(network)] == ["fp32", "w4a4", "w2a4"]
    assert qz.get_mode(network) == "fp32"
    for given, name in ((4, "w4a4"), (32, "fp32"), ("w2a4", "w2a4"), (qz.modes_of(network)[1], "w4a4")):
        qz.set_mode(network, given)
        assert qz.get_mode(network) == name


def test_modes_differ_and_come_back() -> None:
    """Every mode has outputs of its own, the same after any switches in between."""
    network, x = calibrated(skip_net(), images()), images()
    expected = outputs(network, x)
    assert len({tuple(y.flatten().tolist()) for y in expected.values()}) == len(MODES)
    for mode in (*MODES, *reversed(MODES)):
        qz.set_mode(network, mode)
        with torch.no_grad():
            assert torch.equal(network(x), expected[mode])


@pytest.mark.parametrize(("mode", "message"), [
    (5, "mode 'w5a5': not a mode of this network, which has fp32, w8a8, w4a4, w2a4, w1a1; convert with it, or calibrate it"),
    ("w2a2", "mode 'w2a2': not a mode of this network, which has"),
    ("w9a9", "weight bits must be 1 to 8, found 9"),
    ("four", "mode 'four': not a mode; write 'fp32' or"),
])  # fmt: skip
def test_an_unknown_mode_is_refused_and_the_mode_stays(mode: str | int, message: str) -> None:
    """Errors: unknown mode names, wherever a mode is named."""
    network = qz.convert(skip_net(), MODES)
    qz.set_mode(network, 4)
    with pytest.raises(ModeError, match=message):
        qz.set_mode(network, mode)
    with pytest.raises(ModeError, match=message):
        qz.at(network, mode)
    with pytest.raises(ModeError, match=message), qz.use_mode(network, mode):
        pytest.fail("entered")
    assert qz.get_mode(network) == "w4a4"


def test_use_mode_restores_also_when_nested_and_after_an_exception() -> None:
    """Issue: restored even after an exception."""
    network = qz.convert(skip_net(), MODES)
    with qz.use_mode(network, "w2a4"):
        with qz.use_mode(network, 1):
            assert qz.get_mode(network) == "w1a1"
        assert qz.get_mode(network) == "w2a4"
        with pytest.raises(KeyError), qz.use_mode(network, 8):
            raise KeyError
        assert qz.get_mode(network) == "w2a4"
    assert qz.get_mode(network) == "fp32"


def test_what_was_not_converted_is_refused() -> None:
    """Errors: a float network, and a part of a converted one that has no layers' switch."""
    for network in (SkipNet(), qz.convert(skip_net(), MODES).shortcut):
        for call in (qz.get_mode, qz.modes_of, lambda n: qz.set_mode(n, 4), lambda n: qz.at(n, 4), qz.describe):
            with pytest.raises(ConvertError, match="not a converted network; call convert"):
                call(network)


def test_a_view_shares_parameters_and_stays_in_its_mode() -> None:
    """Issue: immutable, shares the weights."""
    network, x = calibrated(skip_net(), images()), images()
    view = qz.at(network, 4)
    assert [id(p) for p in view.parameters()] == [id(p) for p in network.parameters()]
    assert [id(b) for b in view.buffers()] == [id(b) for b in network.buffers()]
    qz.set_mode(network, 1)
    assert (qz.get_mode(view), qz.get_mode(network)) == ("w4a4", "w1a1")
    before = view(x)
    assert torch.equal(before, outputs(network, x)["w4a4"])
    with torch.no_grad():
        network.fc.weight.add_(1)
        network.bn1.mode_norms["w4a4"].bias.add_(1)
    assert torch.equal(view(x), outputs(network, x)["w4a4"])
    assert not torch.equal(view(x), before)


def test_a_view_trains_the_network_it_views() -> None:
    """Gradients of a view land in the network's parameters."""
    network = calibrated(skip_net(), images())
    qz.at(network, 4).train()(images()).sum().backward()
    assert network.conv1.weight.grad is not None


def test_a_view_cannot_be_switched() -> None:
    """set_mode, use_mode and everything that switches inside: one clear line, and the view is as it was."""
    network, x = calibrated(skip_net(), images()), images()
    view = qz.at(network, 4)
    expected = view(x)
    loader = [(x, torch.zeros(len(x), dtype=torch.long))]
    for call in (lambda: qz.set_mode(view, 8), lambda: qz.use_mode(view, 8).__enter__(), lambda: qz.calibrate(view, loader, [8])):
        with pytest.raises(ModeError, match=r"this view stays in 'w4a4'; (make another with at|add modes to the network)"):
            call()
    assert list(qz.evaluate(view, loader)) == ["w4a4"]
    assert [mode.name for mode in qz.modes_of(view)] == ["w4a4"]
    assert torch.equal(view(x), expected)
    assert qz.get_mode(qz.at(view, 8)) == "w8a8"


def test_a_copy_of_a_view_is_still_one() -> None:
    """deepcopy keeps the mode fixed, and shares nothing any more."""
    view = qz.at(calibrated(skip_net(), images()), 4)
    twin = copy.deepcopy(view)
    with pytest.raises(ModeError, match="this view stays"):
        qz.set_mode(twin, 8)
    assert not {id(p) for p in twin.parameters()} & {id(p) for p in view.parameters()}


def test_views_in_threads_keep_their_modes() -> None:
    """Two views in two threads in different modes give right results 200 times, while the network itself is switched about."""
    network, x = calibrated(skip_net(), images()), images()
    expected = outputs(network, x)
    views = {mode: qz.at(network, mode) for mode in ("w8a8", "w1a1")}
    wrong: list[tuple[str, int]] = []

    def run(mode: str) -> None:
        with torch.no_grad():
            wrong.extend((mode, i) for i in range(200) if not torch.equal(views[mode](x), expected[mode]))

    threads = [threading.Thread(target=run, args=(mode,)) for mode in views]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        for mode in MODES:
            qz.set_mode(network, mode)
    for thread in threads:
        thread.join()
    assert wrong == []


def test_switching_walks_over_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue: a ResNet-50 switches in under 1 ms, without a walk over the tree."""
    network = qz.convert(build("resnet50", num_classes=10), MODES)

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("walked")

    for walk in ("modules", "named_modules", "children", "named_children", "apply", "parameters", "named_parameters", "buffers"):
        monkeypatch.setattr(nn.Module, walk, refuse)
    times = []
    for _ in range(20):
        start = time.perf_counter()
        for mode in MODES:
            qz.set_mode(network, mode)
        times.append((time.perf_counter() - start) / len(MODES))
    assert min(times) < 1e-3


def test_an_uncalibrated_mode_says_which_layer_and_mode() -> None:
    """Errors: a mode used in evaluation before its steps are there."""
    network = qz.convert(skip_net(), MODES, example=images())
    with qz.use_mode(network, 4), pytest.raises(CalibrationError, match=r"conv1: no step in mode w4a4; call calibrate\(network, loader\)"):
        network(images())
    qz.calibrate(network, [images()], modes=[8])
    with pytest.raises(CalibrationError, match="conv1: no step in mode w1a1"):
        qz.at(network, 1)(images())


def test_inference_mode_and_no_grad_give_what_gradients_give() -> None:
    """The value handed on before a ReLU is for gradients alone: outputs do not depend on it."""
    network, x = calibrated(skip_net(), images()), images()
    for mode in MODES:
        with qz.use_mode(network, mode):
            with_gradients = network(x).detach()
            with torch.no_grad():
                assert torch.equal(network(x), with_gradients)
            with torch.inference_mode():
                assert torch.equal(network(x.clone()), with_gradients)


def test_a_switch_is_found_through_wrappers() -> None:
    """DataParallel and averaged models hold the network as `module`; views of them are views of the network."""
    network, x = calibrated(skip_net(), images()), images()
    wrapped = torch.optim.swa_utils.AveragedModel(network)
    qz.set_mode(wrapped, 4)
    assert torch.equal(wrapped(x), outputs(network, x)["w4a4"])
    assert type(qz.at(wrapped, 4)) is SkipNet


def test_a_network_of_one_module_named_module_is_not_mistaken() -> None:
    """A user's own child called `module` is no wrapper once the root is converted."""
    net = nn.Module()
    net.module = seeded(nn.Linear(3, 2))
    net.forward = net.module.forward
    network = qz.convert(net, MODES)
    qz.set_mode(network, 4)
    assert qz.get_mode(network) == "w4a4"

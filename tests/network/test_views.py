"""Views in other hands: a worker process, torch.compile, torch.export."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from nets import MODES, SkipNet, calibrated, images, outputs, seeded, skip_net
from torch import Tensor, nn

import quantizable as qz
from quantizable.errors import ModeError

COMPILED = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore:.*lru_cache.*")


def _answer(view: nn.Module, x: Tensor) -> tuple[str, Tensor]:
    """Runs in the worker process."""
    with torch.no_grad():
        return qz.get_mode(view), view(x)


def test_a_view_goes_to_a_worker_process() -> None:
    """Issue: pickling of a view to a worker; the worker finds the mode and gives the same outputs."""
    network, x = calibrated(skip_net(), images()), images()
    expected = outputs(network, x)
    context = torch.multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        found = pool.starmap(_answer, [(qz.at(network, mode), x) for mode in MODES])
    assert [name for name, _ in found] == list(MODES)
    for name, y in found:
        assert torch.equal(y, expected[name])


@pytest.mark.parametrize("make", [skip_net, lambda: seeded(nn.Linear(3, 2)), lambda: seeded(nn.Sequential(nn.Linear(3, 2), nn.ReLU()))])
def test_networks_and_views_go_through_pickle(make: object) -> None:
    """Outputs of all modes, the mode, sharing and hooks of classes made at run time."""
    net = make()  # type: ignore[operator]
    x = images() if isinstance(net, SkipNet) else torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    network = calibrated(net, x)
    qz.set_mode(network, 4)
    twin = pickle.loads(pickle.dumps(network))
    assert qz.get_mode(twin) == "w4a4"
    for name, y in outputs(network, x).items():
        assert torch.equal(outputs(twin, x)[name], y)
    view = pickle.loads(pickle.dumps(qz.at(network, 4)))
    assert torch.equal(view(x), outputs(network, x)["w4a4"])
    with pytest.raises(ModeError, match="this view stays"):
        qz.set_mode(view, 8)


@COMPILED
@pytest.mark.parametrize("mode", ["fp32", "w8a8", "w1a1"])
def test_a_view_compiles_without_a_break_and_gives_the_same(mode: str) -> None:
    """torch.compile of a view per mode: one graph, outputs equal to eager bit for bit."""
    network, x = calibrated(skip_net(), images()), images()
    torch._dynamo.reset()
    compiled = torch.compile(qz.at(network, mode), backend="eager", fullgraph=True)
    with torch.no_grad():
        assert torch.equal(compiled(x), outputs(network, x)[mode])
        assert torch.equal(compiled(x + 1), outputs(network, x + 1)[mode])
    assert qz.get_mode(compiled) == mode


@COMPILED
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["w8a8", "w1a1"])
def test_a_view_compiled_by_inductor_gives_the_same(mode: str) -> None:
    """Generated code: equal but for the rounding of the operations it fuses; no code of an activation may flip by it."""
    network, x = calibrated(skip_net(), images()), images()
    torch._dynamo.reset()
    compiled = torch.compile(qz.at(network, mode), fullgraph=True)
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), outputs(network, x)[mode], rtol=1e-5, atol=1e-5)


@COMPILED
def test_a_compiled_view_trains() -> None:
    """Backward through a compiled view: finite gradients for every weight."""
    network, x = calibrated(skip_net(), images()), images()
    torch._dynamo.reset()
    compiled = torch.compile(qz.at(network, "w4a4").train(), backend="aot_eager")
    compiled(x).square().sum().backward()
    for name in ("conv1", "conv2", "fc"):
        grad = network.get_submodule(name).weight.grad
        assert grad is not None
        assert torch.isfinite(grad).all()
        assert grad.any()


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore:.*lru_cache.*")
@pytest.mark.parametrize("mode", ["fp32", "w2a4"])
def test_a_view_is_exported(mode: str) -> None:
    """torch.export.export of a view in evaluation, batch size left open: the exported program gives the same."""
    network, x = calibrated(skip_net(), images()), images()
    batch = torch.export.Dim("batch", min=2)
    program = torch.export.export(qz.at(network, mode), (x,), dynamic_shapes=({0: batch},))
    with torch.no_grad():
        for n in (4, 7):
            assert torch.equal(program.module()(images(n)), outputs(network, images(n))[mode])


def test_a_view_of_a_view_that_was_copied_still_runs() -> None:
    """Views of copies: nothing of the first network is left in them."""
    network, x = calibrated(skip_net(), images()), images()
    expected = outputs(network, x)
    twin = copy.deepcopy(network)
    view = qz.at(qz.at(twin, 8), 1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        assert torch.equal(view(x), expected["w1a1"])

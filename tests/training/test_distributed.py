"""Two real processes under torchrun, with gloo: the gradients, the start, and the records of one."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
from small_networks import gradients
from two_processes import STEP_MODES, data, network_and_optimizer

import quantizable as qz
from quantizable.errors import TrainingError
from quantizable.records import read_records
from quantizable.training import join_world
from quantizable.training.recipe_file import write_recipe

HERE = Path(__file__).parent
TOLERANCE = 1e-6  # of the largest gradient in a tensor: the same terms, added in another order


def torchrun(launch, words, *, cwd):
    """Run two processes on a port that is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = ["--nproc_per_node", "2", "--master_addr", "127.0.0.1", "--master_port", str(port)]
    done = launch(["-m", "torch.distributed.run", *where, *words], cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What both processes found."""
    import os
    import subprocess
    import sys

    from small_networks import environment

    out = tmp_path_factory.mktemp("ranks")

    def launch(words, *, cwd):
        env = environment() | {"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}
        return subprocess.run([sys.executable, *words], cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False)

    torchrun(launch, [str(HERE / "two_processes.py"), str(out)], cwd=out)
    return [torch.load(out / f"rank{rank}.pt") for rank in range(2)]


@pytest.fixture(scope="module")
def alone():
    """Gradients and weights of one process that accumulates the two half batches."""
    images, labels = data()
    network, optimizer = network_and_optimizer()
    for half in (slice(0, 12), slice(12, 24)):
        qz.multi_mode_backward(network, images[half], labels[half])
    for parameter in network.parameters():
        if parameter.grad is not None:
            parameter.grad /= 2
    found = gradients(network)
    optimizer.step()
    return found, {name: p.detach() for name, p in network.named_parameters()}


@pytest.mark.parametrize("way", ["flat", "ddp"])
def test_two_processes_have_the_gradients_of_one(ranks, alone, way):
    """Promise: the flat reduction, and DistributedDataParallel with find_unused_parameters=True, up to TOLERANCE."""
    for rank in ranks:
        for name, wanted in alone[0].items():
            assert float((rank[way][name] - wanted).abs().max()) <= TOLERANCE * float(wanted.abs().max()), name


def test_a_fused_step_gives_the_weights_of_one_process(ranks, alone):
    """Reduced gradients have the strides of their parameters: a fused optimizer reads both in the order of memory."""
    for rank in ranks:
        for name, wanted in alone[1].items():
            assert torch.allclose(rank["stepped"][name], wanted, rtol=1e-5, atol=1e-6), name
    assert all(torch.equal(ranks[0]["stepped"][name], ranks[1]["stepped"][name]) for name in alone[1])


def test_what_no_process_used_has_no_gradient(ranks):
    """As in one process: an optimizer then leaves the parameters of a mode alone that the step left out."""
    network, _ = network_and_optimizer()
    images, labels = data()
    qz.multi_mode_backward(network, images, labels, modes=STEP_MODES)
    wanted = sorted(name for name, p in network.named_parameters() if p.grad is None)
    assert any("w1a1" in name for name in wanted)
    assert all(rank["without"] == wanted for rank in ranks)


def test_all_processes_start_from_the_first_ones_steps(ranks):
    """Each calibrates on its own images; after the broadcast all parameters and buffers are equal."""
    first, second = (rank["state"] for rank in ranks)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not any(bool(torch.isnan(value).any()) for name, value in first.items() if name.endswith("log_step"))


def test_processes_agree_and_average(ranks):
    """`agree` sees a difference on every process; `average` is the mean."""
    for rank in ranks:
        assert rank["agree"] == (True, False)
        assert rank["mean"].tolist() == [0.5, 4.0]


@pytest.mark.slow
def test_train_under_torchrun_is_one_run(launch, tiny, tmp_path):
    """Promise: the same command under torchrun writes one set of records and one checkpoint, prints once, and can be evaluated."""
    write_recipe(tiny(train__epochs=2, data__validation=100, train__modes="sandwich:0"), tmp_path / "r.toml")
    done = torchrun(launch, ["-m", "quantizable", "train", "r.toml", "-o", "run"], cwd=tmp_path)
    rows = read_records(tmp_path / "run")
    assert [row["kind"] for row in rows] == ["run", "evaluation", "epoch", "epoch", "evaluation", "end"]
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["checkpoint", "recipe.toml", "records.jsonl"]
    assert done.stdout.count("records and checkpoint: run") == 1
    assert done.stdout.count("fp32") == 1
    evaluated = launch(["-m", "quantizable", "evaluate", "run"], cwd=tmp_path)
    assert evaluated.stdout.splitlines() == done.stdout.splitlines()[:4]


def test_one_process_is_a_world_of_one(monkeypatch):
    """Promise: nothing to join without torchrun; a GPU that is not there is told."""
    world = join_world("cpu")
    assert (world.rank, world.size, world.is_first, world.agree(3)) == (0, 1, True, True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(TrainingError, match="no GPU found; use device = 'cpu' or 'auto'"):
        join_world("cuda")

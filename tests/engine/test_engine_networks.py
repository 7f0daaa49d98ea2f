"""The engine against the reference on frozen networks of the common families, whole and through a file."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_models import differing_modes, same
from frozen import resnet20
from frozen_nets import NETWORKS, images, made

import quantizable as qz
from quantizable.graph import run


@pytest.mark.parametrize("name", NETWORKS)
def test_frozen_networks_give_what_the_reference_gives(name):
    """Design, the engine: equality in every mode, batches 1 and 3, odd sizes, one and two threads, channels first and last."""
    network = made(name)
    model = qz.freeze(network, images(1, (17, 14)))
    sessions = qz.Session(model), qz.Session(model, threads=2)
    for n, size in ((1, (17, 14)), (3, (17, 14) if name == "sequence" else (13, 19))):
        x = images(n, size, seed=n + 4).numpy()
        for session in sessions:
            assert (n, differing_modes(session, model, x)) == (n, [])
        last = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        assert same(session.run(last), session.run(x))


def test_a_file_runs_as_the_model_it_was_written_from(tmp_path):
    """Promise: Session(path) is Session(model), and a prefix gives the modes that it holds."""
    model = resnet20()
    qz.save_artifact(model, tmp_path / "net.qdnn")
    x = np.random.default_rng(0).normal(0, 1, (1, 3, 32, 32)).astype(np.float32)
    assert differing_modes(qz.Session(tmp_path / "net.qdnn"), model, x) == []
    low = qz.Session(qz.open_artifact(tmp_path / "net.qdnn", max_bits=2))
    assert low.modes == ("w2a2", "w1a1")
    assert same(low.run(x), run(model, x, "w2a2"))


def test_layers_run_with_what_follows_them():
    """Promise, docs/engine.md: sums, ReLUs and codes run in the step of the layer before them, unless a shortcut is made later."""
    session = qz.Session(resnet20())
    session.run(np.zeros((2, 3, 32, 32), np.float32))
    kernels = [step.kernel for step in session.profile()]
    assert kernels.count("conv_u8_generic") == 20  # 19 convolutions and the linear layer
    assert kernels.count("pointwise_f32_generic") == 4  # codes of the input and of the means; sums with the two padded shortcuts
    assert not any(kernel.startswith("binary") for kernel in kernels)

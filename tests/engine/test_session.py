"""Session: what it takes, what it keeps, and one clear error for each thing that it cannot do."""

from __future__ import annotations

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from drawn_models import differing_modes, same
from frozen import MODES, every_kind, resnet20, small
from tiny_models import tiny_model

import quantizable as qz
from quantizable.engine import Session, kernel_rows
from quantizable.errors import ArtifactError, EngineError, GraphError, ModeError
from quantizable.graph import Activation, InputSpec, IntegerModel, run


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)


def test_it_starts_in_the_highest_mode_and_switches_by_name_and_number():
    """Promise: modes as the network has them, named as everywhere."""
    session = qz.Session(small())
    assert session.modes == MODES
    assert session.mode == "fp32"
    for mode, name in ((2, "w2a2"), ("w4a4", "w4a4"), (qz.parse_mode(8), "w8a8"), (32, "fp32")):
        session.set_mode(mode)
        assert session.mode == name


def test_bytes_give_what_their_floats_give():
    """Law, Activations: uint8 through tables, with one quantizer on the input or with other readers of it, equals float32."""
    bytes_ = np.random.default_rng(2).integers(0, 256, (3, 7, 6, 2), dtype=np.uint8)
    bytes_[0].flat[:84] = np.arange(84) * 3
    for make in (small, every_kind):
        model = make()
        if not model.input.mean:
            spec = InputSpec(model.input.shape, (0.25, 0.5), (0.5, 0.25))
            bytes_ = bytes_[:, :4, :4]
            model = IntegerModel(model.name, spec, model.modes, model.weights, model.nodes, model.output, (), model.float_weights)
        assert differing_modes(Session(model), model, bytes_) == []


def test_float_inputs_may_be_channels_first_last_or_strided():
    """Promise: the result depends on the values alone; where both readings fit, NCHW is taken and `layout` says otherwise."""
    model, session = small(), qz.Session(small())
    session.set_mode(4)
    x = floats(2, 2, 6, 2)
    assert same(session.run(x), run(model, x, "w4a4"))
    assert same(session.run(x, layout="NHWC"), run(model, np.ascontiguousarray(x.transpose(0, 3, 1, 2)), "w4a4"))
    wide = floats(2, 2, 6, 10)
    assert same(session.run(wide[..., ::2]), run(model, np.ascontiguousarray(wide[..., ::2]), "w4a4"))


def test_weights_are_prepared_once_shared_and_released():
    """Promise: a mode's weights exist from its first run or `prepare` until `release`; equal bits are packed once."""
    session, x = qz.Session(small()), floats(1, 2, 5, 5)
    assert (session.prepared, session.weight_bytes, session.arena_bytes) == ((), 0, 0)
    session.prepare(["w4a4", 2])
    assert session.prepared == ("w4a4", "w2a2")
    both = session.weight_bytes
    session.set_mode(4)
    first = session.run(x)
    assert session.weight_bytes == both
    assert session.arena_bytes > 0
    session.release([4])
    assert session.prepared == ("w2a2",)
    assert 0 < session.weight_bytes < both
    assert same(session.run(x), first)
    session.release([4, 2])
    assert (session.weight_bytes, session.arena_bytes) == (0, 0)


def test_a_profile_names_each_step_of_the_last_run():
    """Promise: node, kernel, ms, and GMAC/s where weights are multiplied."""
    session = qz.Session(resnet20())
    session.run(floats(1, 3, 32, 32))
    steps = {step.node: step for step in session.profile()}
    assert steps["layer2.1.conv1"].kernel in {row.name for row in kernel_rows()}
    assert steps["layer2.1.conv1"].gmac_per_s > 0
    assert all(step.ms > 0 for step in steps.values())


def test_two_threads_that_switch_at_random_get_the_results_of_their_mode():
    """Promise: runs at once never mix; a run is in one mode from its first layer to its last."""
    model = small()
    batches = [floats(n, 2, 5, 6, seed=n) for n in (1, 2, 3)]
    expected = [{run(model, x, mode).tobytes() for mode in model.integer_modes} for x in batches]
    assert all(len(results) == len(model.integer_modes) for results in expected)
    session, barrier = qz.Session(model, threads=2), Barrier(2)
    session.set_mode(8)

    def switch_and_run(seed: int) -> int:
        draw, wrong = random.Random(seed), 0
        barrier.wait()
        for count in range(300):
            session.set_mode(draw.choice(model.integer_modes))
            if count % 50 == 49:
                session.prepare([2, 1])
            number = draw.randrange(3)
            wrong += session.run(batches[number]).tobytes() not in expected[number]
        return wrong

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(switch_and_run, (1, 2))) == [0, 0]


def test_the_engine_runs_without_torch():
    """Design, the rooms: a network runs in a process that never loads torch."""
    program = "import sys, quantizable.engine; print(quantizable.Session.__name__, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["Session", "False"]


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (floats(1, 3, 5, 5), "(N, 2, 5, 5)"),
        (floats(2, 5, 5), "(N, 2, 5, 5)"),
        (floats(1, 2, 5, 5).astype(np.float64), "float64"),
        (np.zeros((1, 2, 5, 5), np.uint8), "channels last"),
        (np.zeros((1, 5, 5, 3), np.uint8), "found uint8 (1, 5, 5, 3)"),
        ([[1.0]], "found list"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(x, words):
    """Promise: one line that says where, what was found, and what to do."""
    with pytest.raises(EngineError, match=r"^small: input: .*; ") as caught:
        qz.Session(small()).run(x)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bytes_need_a_normalisation_and_sizes_must_fit_every_operation():
    """Promise: what bytes stand for is never guessed; an image of another size runs where every operation allows it."""
    with pytest.raises(EngineError, match="uint8 needs the mean and std"):
        qz.Session(every_kind()).run(np.zeros((1, 4, 4, 2), np.uint8))
    with pytest.raises(EngineError, match=r"^tiny: fc: needs \(N, \.\.\., 60\)"):
        qz.Session(tiny_model()).run(floats(1, 2, 9, 4))
    with pytest.raises(EngineError, match="layout must be NCHW or NHWC, found 'CHW'"):
        qz.Session(small()).run(floats(1, 2, 5, 5), layout="CHW")


@pytest.mark.parametrize("mode", [3, "w8a4", "8 bits", None])
def test_modes_that_the_network_lacks_are_refused(mode):
    """Promise: a ModeError that lists the modes, and nothing changes."""
    session = qz.Session(small())
    for call in (lambda: session.set_mode(mode), lambda: session.prepare([8, mode]), lambda: session.release([mode])):
        with pytest.raises(ModeError):
            call()
    assert (session.mode, session.prepared) == ("fp32", ())


def test_releasing_and_profiling_need_something_there():
    """Promise: one error each."""
    session = qz.Session(small())
    with pytest.raises(EngineError, match="small: mode w2a2 is not prepared, none is"):
        session.release([2])
    with pytest.raises(EngineError, match="nothing ran in mode fp32 yet"):
        session.profile()


@pytest.mark.parametrize("threads", [0, -1, 257, 1.0, True, "2"])
def test_thread_counts_out_of_range_are_refused(threads):
    """Promise: 1 to 256."""
    with pytest.raises(EngineError, match="threads must be an integer from 1 to 256"):
        qz.Session(small(), threads=threads)


def test_unsound_networks_and_missing_files_are_refused_when_opened(tmp_path):
    """Promise: nothing runs that graph.check does not prove."""
    with pytest.raises(ArtifactError):
        qz.Session(tmp_path / "none.qdnn")
    with pytest.raises(GraphError):
        qz.Session(IntegerModel("bad", InputSpec((2,)), ("w8a8",), (), (Activation("y", "x", "relu"),), "y"))

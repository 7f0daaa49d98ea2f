"""The list of kernels, the choice among them, and that a program stays inside its arena."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_models import same
from frozen import MODES, every_kind, resnet20, small

import quantizable as qz
from quantizable.engine import KernelRow, kernel_rows
from quantizable.engine.arena import arrange
from quantizable.engine.kernels import Kernels
from quantizable.engine.lower import Plan, lower
from quantizable.engine.program import Program
from quantizable.engine.tensor import Buffer, Tensor
from quantizable.engine.weights import Weights
from quantizable.errors import EngineError
from quantizable.graph import IntegerModel, run

X = np.random.default_rng(4).normal(0, 1, (3, 2, 4, 4)).astype(np.float32)


def planned(model: IntegerModel, mode: str, x: np.ndarray) -> Plan:
    kernels = Kernels(None)
    weights = Weights(model, kernels)
    batch = Tensor(Buffer(x.nbytes, "input"), x.shape, tuple(range(x.ndim)))
    return lower(model, mode, batch, kernels, lambda layer, kernel: weights.of(layer, mode, kernel))


def test_every_kernel_has_its_name_and_a_plain_form():
    """Style, kernels: <operation>_<operands>_<set>, none twice, and a generic one for each operation."""
    rows = kernel_rows()
    assert [row.name for row in rows] == [f"{row.operation}_{row.operands}_{row.set}" for row in rows]
    assert len({row.name for row in rows}) == len(rows)
    kinds = {(row.operation, row.operands) for row in rows}
    assert kinds == {(row.operation, row.operands) for row in rows if row.set == "generic" and row.is_supported}


def test_all_generic_kernels_run_in_these_tests():
    """A skip is not a pass: the models of this room's tests reach every row of the set."""
    used = {step.kernel for model in (small(), every_kind()) for mode in MODES[:2] for step in planned(model, mode, X).steps}
    session = qz.Session(small())
    session.run(np.zeros((1, 5, 5, 2), np.uint8))
    used |= {step.kernel for step in session.profile()}
    assert used == {row.name for row in kernel_rows() if row.set == "generic"}


@pytest.mark.parametrize(("name", "words"), [("avx9", "there is no such set"), ("Generic", "name one of .*generic"), (" ", "no such set")])
def test_a_set_that_is_not_there_is_an_error(name, words, monkeypatch):
    """Promise: QUANTIZABLE_KERNELS never falls back."""
    monkeypatch.setenv("QUANTIZABLE_KERNELS", name)
    with pytest.raises(EngineError, match=f"^QUANTIZABLE_KERNELS={name}: .*{words}"):
        qz.Session(small())


@pytest.mark.parametrize("name", ["", *dict.fromkeys(row.set for row in kernel_rows() if row.is_supported)])
def test_every_set_gives_the_same(name, monkeypatch):
    """Promise: a set changes the time alone."""
    monkeypatch.setenv("QUANTIZABLE_KERNELS", name)
    session = qz.Session(every_kind())
    session.set_mode(4)
    assert same(session.run(X), run(every_kind(), X, "w4a4"))


def test_the_fastest_supported_kernel_is_chosen_and_generic_fills_in():
    """Design, the engine: rows stand from the fastest set to the plainest; a forced set borrows from generic alone."""
    rows = [
        KernelRow("a_u8_best", "a", "u8", "best", False),
        KernelRow("a_u8_good", "a", "u8", "good", True),
        KernelRow("a_u8_generic", "a", "u8", "generic", True),
        KernelRow("b_u8_generic", "b", "u8", "generic", True),
    ]
    assert Kernels(None, rows).name("a", "u8") == "a_u8_good"
    assert Kernels("generic", rows).name("a", "u8") == "a_u8_generic"
    assert Kernels("good", rows).name("b", "u8") == "b_u8_generic"
    with pytest.raises(EngineError, match="best: this CPU cannot run it; name one of good, generic"):
        Kernels("best", rows)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("mode", ["w8a8", "w1a1"])
def test_a_program_reads_nothing_stale_and_writes_nothing_outside(mode, threads):
    """Memory: any content of the arena before a run gives the same result; bytes behind its end stay as they were."""
    for model in (small(), every_kind()):
        program = Program(planned(model, mode, X), threads)
        results = []
        for poison in (0, 0x7F, 0xFF):
            arena = np.full(program.arena_bytes + 256, poison, np.uint8)
            results.append(program.run(X, arena[:-256]))
            assert (arena[-256:] == poison).all()
        assert all(same(result, run(model, X, mode)) for result in results)


def test_tensors_share_memory_where_they_live_apart():
    """Design, the engine: the arena of ResNet-20 holds what is alive at its widest place, not all tensors."""
    plan = planned(resnet20(), "w8a8", np.zeros((1, 3, 32, 32), np.float32))
    written = {id(t.buffer): t.buffer.size_bytes for step in plan.steps for t in step.writes.values() if isinstance(t, Tensor)}
    arena = arrange(plan.steps, 1)
    assert arena.scratch < sum(written.values()) / 4
    assert arena.size_bytes == arena.scratch + arena.scratch_bytes

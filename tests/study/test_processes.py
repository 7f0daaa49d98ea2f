"""A study in several processes: killed and taken up again, shared by two, in workers, on Ray."""

from __future__ import annotations

import signal
from importlib.util import find_spec
from pathlib import Path

import pytest
from study_rows import checksums, kinds

from quantizable.records import read_records
from quantizable.study import Agenda, make_grid, run_here

pytestmark = pytest.mark.slow
ONE_SEED = ("--only", "*/seed0", "train.epochs=3")


@pytest.fixture
def uninterrupted(write_study) -> dict[str, object]:
    """The checksums of the first seed, carried out in one go in this process; leaves study.toml in the working folder."""
    grid = make_grid(write_study(), ["train.epochs=3"], results="whole")
    run_here(Agenda(grid.chosen("*/seed0")), say=lambda text: None)
    return checksums(Path("whole"))


def test_a_study_killed_in_the_middle_of_a_run_ends_with_the_same_networks(uninterrupted, begin):
    """Promise: resumable after any kill, to the same numbers, and what was complete is not run again."""
    process = begin(["study", "study.toml", *ONE_SEED])
    assert process.stderr is not None
    is_second = False
    for line in process.stderr:
        is_second = is_second or line.startswith("shared/seed0 (")
        if is_second and line.startswith("epoch 1"):
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert kinds(Path("results/study/shared/seed0"))[-1] != "end"
    again = begin(["study", "study.toml", *ONE_SEED])
    out, err = again.communicate(timeout=120)
    assert (again.returncode, out.splitlines()[0]) == (0, "3 runs: 2 done now, 1 done before"), err
    assert kinds(Path("results/study/float/seed0")).count("run") == 1
    assert checksums(Path("results")) == uninterrupted


def test_two_processes_on_one_study_share_its_runs(uninterrupted, begin):
    """Promise: no run is run twice, also when both begin at the same moment."""
    both = [begin(["study", "study.toml", *ONE_SEED]) for _ in range(2)]
    for process in both:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    assert checksums(Path("results")) == uninterrupted
    for path in Path("results/study").glob("*/seed0"):
        assert [kinds(path).count(kind) for kind in ("run", "resume", "end")] == [1, 0, 1]


def test_workers_make_the_same_networks_and_record_a_command_that_repeats_one(uninterrupted, begin):
    """Promise: --parallel changes nothing but the time; the command of each record repeats that run alone."""
    process = begin(["study", "study.toml", *ONE_SEED, "--parallel", "2"])
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert checksums(Path("results")) == uninterrupted
    assert "hard/seed0: epoch 1/3" in err
    start = read_records(Path("results/study/hard/seed0"))[0]
    assert start["command"] == "python -m quantizable study study.toml --only hard/seed0 --results results train.epochs=3"


def test_a_worker_that_dies_is_a_failed_run(write_study, begin):
    """Promise: the others go on, the study tells and ends with 1."""
    write_study(more='[variants.dies]\nstart = "none"\n"model.name" = "dies:network"\n"model.options" = {}\n')
    Path("dies.py").write_text("import os, signal\ndef network(num_classes): os.kill(os.getpid(), signal.SIGKILL)\n")
    process = begin(["study", "study.toml", "--parallel", "2", "--only", "[fd]*/seed0", "train.epochs=1"])
    out, err = process.communicate(timeout=200)
    assert (process.returncode, out.splitlines()[0]) == (1, "2 runs: 1 done now, 1 failed"), err
    (row,) = [row for row in read_records(Path("results/study")) if row["kind"] == "failed"]
    assert (row["run"], "signal 9" in str(row["error"])) == ("dies/seed0", True)


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed: pip install 'quantizable[ray]'")
def test_a_local_ray_cluster_of_two_workers_makes_the_same_networks(uninterrupted, begin):
    """Promise: the same grid as Ray tasks."""
    process = begin(["study", "study.toml", *ONE_SEED, "--ray", "local"])
    _, err = process.communicate(timeout=280)
    assert process.returncode == 0, err
    assert checksums(Path("results")) == uninterrupted

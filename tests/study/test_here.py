"""A study in this process: the runs it makes, what it skips, what fails, what comes after."""

from __future__ import annotations

import pytest
from study_rows import checksums, kinds

from quantizable.errors import RecipeError
from quantizable.records import read_records
from quantizable.study import Agenda, carry_out, locked, make_grid, run_here


@pytest.fixture
def carried(write_study):
    """Returns a function that carries out a study and returns its agenda and grid."""

    def carry(*words, only=None, **study):
        grid = make_grid(write_study(**study), words)
        agenda = Agenda(grid.chosen(only))
        run_here(agenda, say=lambda text: None)
        return agenda, grid

    return carry


def test_every_cell_becomes_a_run_and_none_is_run_twice(carried):
    """Promise: nothing run twice; the second time all files stay as they are."""
    agenda, grid = carried()
    assert {key: outcome.kind for key, outcome in agenda.outcomes.items()} == {run.key: "done" for run in grid.runs}
    sums = checksums(grid.folder.parent)
    assert sorted(sums) == sorted(run.key for run in grid.runs)
    assert len(set(sums.values())) == len(sums)
    before = {path: path.stat().st_mtime_ns for path in grid.folder.rglob("*") if path.is_file()}
    again, _ = carried()
    assert {outcome.kind for outcome in again.outcomes.values()} == {"skipped"}
    assert {path: path.stat().st_mtime_ns for path in grid.folder.rglob("*") if path.is_file()} == before


def test_all_variants_begin_with_the_same_float_network(carried):
    """Promise: fairness: what the start's fp32 mode scores at its end is what each variant scores before its first step."""
    _, grid = carried(only="*/seed0")
    ends = [row for row in read_records(grid.folder / "float/seed0") if row.get("when") == "end"]
    for name in ("shared", "hard"):
        (start,) = [row for row in read_records(grid.folder / name / "seed0") if row.get("when") == "calibrated"]
        assert start["modes"]["fp32"] == ends[0]["modes"]["fp32"]


def test_a_failed_run_is_recorded_and_the_others_go_on(carried):
    """Promise: a TrainingError stops one run, not the study; given again, the run is tried again."""
    agenda, grid = carried("variants.shared.train.lr=1e30", only="*/seed0")
    assert {key: outcome.kind for key, outcome in agenda.outcomes.items()} == {
        "float/seed0": "done", "shared/seed0": "failed", "hard/seed0": "done",
    }  # fmt: skip
    (row,) = [row for row in read_records(grid.folder) if row["kind"] == "failed"]
    assert row["run"] == "shared/seed0"
    assert "lower train.lr" in str(row["error"])


def test_what_begins_where_a_failed_run_ends_is_blocked(carried):
    """Promise: no variant begins with other weights in silence."""
    agenda, grid = carried("variants.float.train.lr=1e30", only="*/seed0")
    assert {key: outcome.kind for key, outcome in agenda.outcomes.items()} == {
        "float/seed0": "failed", "shared/seed0": "blocked", "hard/seed0": "blocked",
    }  # fmt: skip
    assert not (grid.folder / "shared").exists()


def test_a_run_that_another_process_works_on_is_left_alone(carried, write_study):
    """Promise: two processes never work on one run."""
    grid = make_grid(write_study())
    with locked(grid.runs[0].folder):
        assert carry_out(grid.runs[0]).kind == "elsewhere"
    assert not (grid.runs[0].folder / "records.jsonl").exists()


def test_a_folder_of_another_recipe_is_refused_before_anything_starts(carried):
    """Promise: nothing is guessed: a finished run of other settings is no result of this study."""
    carried(only="float/seed0")
    with pytest.raises(RecipeError, match=r"float/seed0: holds a run with train.epochs = 2 there, 3 in the study"):
        carried("train.epochs=3")


def test_steps_after_a_run_are_taken_once_and_leave_its_own_scores(carried):
    """Promise: modes that were never trained are scored under "post-training", shared norms estimated anew under "re-estimated"."""
    more = 'after = ["calibrate:w3a3,w2a4"]\n[variants.norms]\n"quantize.norms" = "shared"\nafter = ["re-estimate"]\n'
    _, grid = carried(only="*/seed0", more=more)
    hard, norms = (read_records(grid.folder / name / "seed0") for name in ("hard", "norms"))
    (calibrated,) = [row for row in hard if row.get("when") == "after"]
    assert (calibrated["label"], calibrated["split"], sorted(calibrated["modes"])) == ("post-training", "test", ["w2a4", "w3a3"])
    (estimated,) = [row for row in norms if row.get("when") == "after"]
    assert (estimated["label"], sorted(estimated["modes"])) == ("re-estimated", ["fp32", "w1a1", "w4a4"])
    trained = next(row for row in norms if row.get("when") == "end")
    assert estimated["modes"]["w1a1"] != trained["modes"]["w1a1"]
    carried(only="*/seed0", more=more)
    assert kinds(grid.folder / "hard/seed0").count("after") == 1


def test_a_step_that_would_add_a_trained_mode_fails_the_run_but_keeps_it(carried):
    """Promise: one clear line, and the trained network stays."""
    agenda, grid = carried(only="hard/seed0", more='after = ["calibrate:w4a4"]\n')
    assert agenda.outcomes["hard/seed0"].kind == "failed"
    assert "w4a4 is a mode that was trained" in agenda.outcomes["hard/seed0"].error
    assert kinds(grid.folder / "hard/seed0")[-1] == "end"

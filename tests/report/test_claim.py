"""What a folder of records holds, and every way in which it can be no such folder."""

from __future__ import annotations

import pytest

from quantizable.errors import RecordError
from quantizable.records import append_record
from quantizable.report.claim import read_claim
from quantizable.report.runs import modes_in_order, run_from_rows

TOP1 = {"fp32": 91.0, "w2a2": 88.0}
START = {"kind": "run", "seed": 0, "name": "x"}


def test_the_three_kinds_are_told_apart(study, write_run, tmp_path_factory, benchmark_folder):
    """Contract of docs/records.md; a folder of runs below a file of its own is a study."""
    run = write_run(tmp_path_factory.mktemp("one"), trained=TOP1)
    assert read_claim(run).kind == "run"
    assert read_claim(benchmark_folder).kind == "benchmark"  # the same folder as the study's: rows of times decide
    (study / "records.jsonl").unlink()
    assert read_claim(study).kind == "study"


def test_a_study_groups_its_runs_by_recipe_and_seed(study):
    """Layout: results/<study>/<recipe>/seed<k>; the baseline comes first."""
    claim = read_claim(study)
    assert claim.recipes == ("hard", "shared")
    assert sorted((run.recipe, run.seed) for run in claim.runs) == [(recipe, seed) for recipe in ("hard", "shared") for seed in range(3)]


def test_rows_written_twice_by_a_resume_count_once(write_run, tmp_path):
    """A killed run repeats its last epoch: the later row holds."""
    folder = write_run(tmp_path, trained=TOP1, done=3)
    append_record(folder, {"kind": "resume"})
    append_record(folder, {"kind": "epoch", "epoch": 3, "epochs": 5, "steps": 30, "seconds": 100.0, "loss": {"fp32": 0.25}})
    (run,) = read_claim(folder).runs
    assert [epoch.epoch for epoch in run.epochs] == [1, 2, 3]
    assert run.seconds == 36.0 + 36.0 + 100.0
    assert run.epochs[-1].loss == {"fp32": 0.25}
    assert run.last_validation is run.epochs[1]


def test_a_run_begun_again_after_its_end_is_unfinished(write_run, tmp_path):
    """More epochs were asked for: its earlier score is not its result."""
    folder = write_run(tmp_path, trained=TOP1)
    assert read_claim(folder).runs[0].top1("trained") == TOP1
    append_record(folder, {"kind": "resume"})
    (run,) = read_claim(folder).runs
    assert run.state == "unfinished, 5 of 5 epochs"
    assert run.top1("trained") == {}


def test_the_test_split_is_reported_where_there_is_one(tmp_path):
    """Held-out training images are for choosing, the test set for reporting."""
    rows = [START]
    for split, top1 in (("test", 90.0), ("validation", 95.0)):
        rows.append({"kind": "evaluation", "split": split, "label": "trained", "modes": {"fp32": {"top1": top1}}})
    run = run_from_rows([*rows, {"kind": "end"}], where="here")
    assert (run.split, run.top1("trained")) == ("test", {"fp32": 90.0})


def test_modes_stand_from_high_to_low():
    """Order of all tables: as modes.py sorts them."""
    assert modes_in_order(["w1a1", "w8a8", "w2a4", "fp32", "w4a2", "w8a8"]) == ("fp32", "w8a8", "w4a2", "w2a4", "w1a1")


def test_an_unfinished_line_is_counted_not_fatal(write_run, tmp_path):
    """A run that is killed can be reported at any moment."""
    folder = write_run(tmp_path, trained=TOP1, done=2)
    with (folder / "records.jsonl").open("a") as file:
        file.write('{"kind": "ep')
    assert read_claim(folder).n_unfinished_bytes == 12


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([{"kind": "run", "name": "x"}], "a row of kind 'run' has 'seed': None, a figure is needed"),
        ([START, {"kind": "epoch", "epoch": 1, "epochs": 2, "seconds": 1.0}], "'loss': None, a mapping by mode"),
        ([START, {"kind": "evaluation", "modes": {"fp32": 91.0}}], "'fp32': 91.0, a mapping by mode"),
        ([START, {"kind": "evaluation", "modes": {"fp32": {"top1": "91"}}}], "'top1': '91', a figure is needed"),
        ([START, {"kind": "evaluation", "modes": {"w9a9": {"top1": 91}}}], "mode 'w9a9': weight bits must be 1 to 8"),
        ([{"kind": "time", "ms": 0}], "'ms': 0, a time above 0"),
    ],
)
def test_a_row_that_lacks_its_figures_is_named(rows, words, tmp_path):
    """Errors: which file, which key, what was found."""
    for row in rows:
        append_record(tmp_path, row)
    with pytest.raises(RecordError, match=rf"records\.jsonl: .*{words}"):
        read_claim(tmp_path)


def test_folders_without_records_are_refused(tmp_path):
    """Errors: what is not there."""
    with pytest.raises(RecordError, match="not a folder"):
        read_claim(tmp_path / "nowhere")
    with pytest.raises(RecordError, match="no records of runs or timings"):
        read_claim(tmp_path)
    append_record(tmp_path, {"kind": "claim", "title": "words alone"})
    with pytest.raises(RecordError, match="no records of runs or timings"):
        read_claim(tmp_path)


def test_a_seed_run_twice_and_an_unknown_baseline_are_refused(study, write_run):
    """Errors: means over seeds would count one twice; a test against nothing."""
    append_record(study, {"kind": "claim", "baseline": "harder"})
    with pytest.raises(RecordError, match="baseline 'harder' is none of its recipes; name one of hard, shared"):
        read_claim(study)
    write_run(study / "shared" / "seed7", name="shared", seed=2, trained=TOP1)
    with pytest.raises(RecordError, match="recipe 'shared' has two runs of seed 2"):
        read_claim(study)

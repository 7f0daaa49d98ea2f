"""quantizable study: its lines, exit codes, and one-line errors."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

from quantizable.cli import main
from quantizable.records import read_records

BASE = """
name = "tiny"
model = {name = "digits_net", options = {width = 0.25}}
data = {name = "digits"}
quantize = {modes = ["fp32", "w1a1"]}
train = {epochs = 1, batch_size = 256, calibration_batches = 1, threads = 1}
"""
STUDY = """
recipe = "base.toml"
seeds = [0]
report = {title = "Tiny", baseline = "one"}
[variants.one]
[variants.two]
"train.lr" = 0.01
"""


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("base.toml").write_text(BASE)
    Path("study.toml").write_text(STUDY)


def test_a_study_is_carried_out_and_its_report_is_made(capsys):
    """Promise: 0, a summary on stdout, and `quantizable report` shows every variant under the study's title."""
    assert main(["study", "study.toml"]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "2 runs: 2 done now"
    assert {"kind": "claim", "title": "Tiny", "baseline": "one"} in read_records("results/study")
    assert main(["report", "results/study"]) == 0
    out = capsys.readouterr().out
    assert "one" in out
    assert "two" in out
    assert Path("results/study/README.md").read_text().startswith("# Tiny")


def test_a_dry_run_prints_the_grid_and_writes_nothing(capsys):
    """Promise: the cost is known before anything starts."""
    assert main(["study", "study.toml", "--dry-run", "--parallel", "2"]) == 0
    out = capsys.readouterr().out
    assert "two/seed0  not begun" in out
    assert "0 of 2 runs done" in out
    assert "with 2 workers" in out
    assert not Path("results").exists()


def test_a_failed_run_makes_it_1_and_is_named(capsys):
    """Promise: it ran, and the answer is no."""
    assert main(["study", "study.toml", "variants.two.train.lr=1e30"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == "2 runs: 1 done now, 1 failed"
    assert "two/seed0: failed, train: " in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.toml"], "none.toml: cannot be read"),
        (["study.toml", "--only", "x*"], "--only 'x*': fits none of 2 runs"),
        (["study.toml", "--parallel", "-1"], "--parallel -1: is 1 or more"),
        (["study.toml", "--parallel", "2", "--ray", "local"], "goes without --ray"),
        (["study.toml", "--ray", "local", "--gpus", "-1"], "0 or more GPUs"),
        (["study.toml", "train.lrr=1"], "no key 'train.lrr'"),
    ],
)
def test_wrong_use_is_one_line_and_2(words, message, capsys):
    """Promise: bad input is one clear line, before anything is written."""
    assert main(["study", *words]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1
    assert not Path("results").exists()


@pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed: pip install 'quantizable[ray]'")
def test_a_ray_address_where_nothing_answers_is_one_line_and_2(capsys):
    """Promise: one clear line before anything is run."""
    assert main(["study", "study.toml", "--ray", "127.0.0.1:1"]) == 2
    assert "error: --ray 127.0.0.1:1: nothing answers there" in capsys.readouterr().err

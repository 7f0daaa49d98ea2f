"""quantizable evaluate: a run, a checkpoint inside one, other images."""

from __future__ import annotations

import json

import numpy as np
import pytest

from quantizable.cli import main
from quantizable.data import load_data
from quantizable.records import read_records


@pytest.mark.parametrize("inside", ["", "checkpoint"])
def test_a_run_and_its_checkpoint_give_the_recorded_figures(finished, capsys, inside):
    """Promise: the same numbers as at the end of training."""
    assert main(["evaluate", str(finished / inside), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["modes"] == read_records(finished)[-2]["modes"]
    assert (found["split"], found["data"]) == ("test", "digits test")


def test_the_table_has_a_row_a_mode(finished, capsys):
    """Promise: only the modes asked for, from the highest down."""
    assert main(["evaluate", str(finished), "--modes", "w1a1,fp32"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["mode", "fp32", "w1a1"]
    assert err == ""


def test_other_images_are_normalised_as_those_of_training(finished, tmp_path, capsys):
    """Promise: --data and --root; the same images through another door give the same figures, although that set's own mean differs."""
    splits = load_data("digits")
    dark = np.zeros_like(splits.train.x)
    np.savez(tmp_path / "d.npz", x_train=dark, y_train=splits.train.y, x_test=splits.test.x, y_test=splits.test.y)
    assert main(["evaluate", str(finished), "--data", "npz", "--root", str(tmp_path / "d.npz"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["modes"] == read_records(finished)[-2]["modes"]


def test_held_out_images_are_a_split(finished, capsys):
    """Promise: --split validation, where the recipe holds images out."""
    assert main(["evaluate", str(finished), "--split", "validation", "data.validation=100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["modes"]["fp32"]["n"] == 100


def test_nothing_is_written(run_folder):
    """Promise: evaluation reads."""
    before = {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}
    assert main(["evaluate", str(run_folder)]) == 0
    assert before == {path: path.read_bytes() for path in run_folder.rglob("*") if path.is_file()}


def test_bad_input_is_one_line_and_2(run_folder, tmp_path, fails):
    """Promise: missing path, no run, unfinished run, truncated checkpoint, unknown modes and data, typos."""
    assert "no such folder" in fails("evaluate", tmp_path / "none")
    assert "no recipe.toml here or above" in fails("evaluate", tmp_path)
    assert "not a mode of this network, which has fp32, w4a4, w1a1" in fails("evaluate", run_folder, "--modes", "w2a2")
    assert "weight bits must be 1 to 8" in fails("evaluate", run_folder, "--modes", "w9a9")
    assert "has no validation images; take --split test" in fails("evaluate", run_folder, "--split", "validation")
    assert "the nearest is 'digits'" in fails("evaluate", run_folder, "--data", "digit")
    assert "none.npz" in fails("evaluate", run_folder, "--data", "npz", "--root", tmp_path / "none.npz")
    assert "the nearest name is 'root'" in fails("evaluate", run_folder, "data.roo=3")
    assert "has shape (8,), the network's is (16,)" in fails("evaluate", run_folder, "model.options.width=0.5")

    recipe = (run_folder / "recipe.toml").read_text()
    (run_folder / "recipe.toml").write_text("nonsense")
    assert "recipe.toml: not TOML" in fails("evaluate", run_folder)
    (run_folder / "recipe.toml").write_text(recipe)

    weights = run_folder / "checkpoint" / "model.safetensors"
    content = weights.read_bytes()
    for size in (0, 7, 1000, len(content) - 1):
        weights.write_bytes(content[:size])
        assert "truncated or damaged" in fails("evaluate", run_folder)
    weights.unlink()
    assert "no such file" in fails("evaluate", run_folder / "checkpoint")
    weights.parent.joinpath("quantizable.json").unlink()
    weights.parent.rmdir()
    assert "has no checkpoint/ yet, it did not begin" in fails("evaluate", run_folder)
    (run_folder / "state.safetensors").write_bytes(b"")
    assert "it was stopped; give its `quantizable train` command again" in fails("evaluate", run_folder)

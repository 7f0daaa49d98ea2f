"""quantizable calibrate: modes that were never trained, beside those that were."""

from __future__ import annotations

import json

from quantizable.cli import main
from quantizable.records import read_records


def test_new_modes_stand_beside_the_trained_ones(run_folder, capsys):
    """Promise: the trained modes' figures stay; the new ones are shown, recorded, and in the saved network."""
    trained = read_records(run_folder)[-2]["modes"]
    assert main(["calibrate", str(run_folder), "--modes", "w6a6,w3a3"]) == 0
    out, err = capsys.readouterr()
    assert [line.split()[0] for line in out.splitlines()] == ["mode", "fp32", "w6a6", "w4a4", "w3a3", "w1a1"]
    assert f"saved with 2 more modes: {run_folder / 'calibrated'}" in err
    row = read_records(run_folder)[-1]
    assert {key: row[key] for key in ("kind", "when", "label", "split")} == {
        "kind": "evaluation", "when": "calibrated", "label": "post-training", "split": "test",
    }  # fmt: skip
    assert list(row["modes"]) == ["w3a3", "w6a6"]
    assert main(["evaluate", str(run_folder / "calibrated"), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)["modes"]
    assert again == {**trained, **row["modes"]}


def test_the_result_goes_where_it_is_asked_to(run_folder, tmp_path, capsys):
    """Promise: -o; what was trained is not touched, and a calibrated network can be calibrated further."""
    before = (run_folder / "checkpoint" / "model.safetensors").read_bytes()
    out = run_folder / "more"
    assert main(["calibrate", str(run_folder), "--modes", "w2a2", "-o", str(out)]) == 0
    assert main(["calibrate", str(out), "--modes", "w2a2:b", "-o", str(run_folder / "most")]) == 0
    capsys.readouterr()
    assert main(["describe", str(run_folder / "most")]) == 0
    assert "w2a2:b" in capsys.readouterr().out
    assert (run_folder / "checkpoint" / "model.safetensors").read_bytes() == before


def test_bad_input_is_one_line_and_2(run_folder, fails):
    """Promise: modes that are there, misspelt, or none; the trained checkpoint as OUT; a missing path; nothing is written."""
    before = sorted(run_folder.rglob("*"))
    assert "the checkpoint has this mode; name another" in fails("calibrate", run_folder, "--modes", "w3a3,w4a4")
    assert "found 9" in fails("calibrate", run_folder, "--modes", "w9a3")
    assert "the list is empty" in fails("calibrate", run_folder, "--modes", ",")
    assert "--modes" in fails("calibrate", run_folder)
    assert "give another folder with -o" in fails("calibrate", run_folder, "--modes", "w3a3", "-o", run_folder / "checkpoint")
    assert "no such folder" in fails("calibrate", run_folder / "none", "--modes", "w3a3")
    assert sorted(run_folder.rglob("*")) == before

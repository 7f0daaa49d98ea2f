"""`quantizable report`: what it prints where, and one line with exit code 2 on bad input."""

from __future__ import annotations

import json
import sys

import pytest

from quantizable.cli import main

TOP1 = {"fp32": 91.0, "w2a2": 88.0}


def test_tables_go_to_stdout_and_all_else_to_stderr(write_run, tmp_path, capsys):
    """Command line rule: results are what a pipe gets."""
    assert main(["report", str(write_run(tmp_path, trained=TOP1))]) == 0
    out, err = capsys.readouterr()
    assert "w2a2    88.00" in out
    assert "wrote" not in out
    assert err.startswith("wrote ")
    assert (tmp_path / "report.html").is_file()


def test_json_is_for_machines(write_run, tmp_path, capsys):
    """One JSON object, files as they were written."""
    assert main(["report", str(write_run(tmp_path, trained=TOP1)), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tables"][0]["rows"][1]["trained"] == "88.00"
    assert str(tmp_path / "report.html") in found["files"]


def test_fill_renews_the_tables_of_a_page(write_run, tmp_path, capsys):
    """The command that check_tables names."""
    write_run(tmp_path / "results" / "digits", trained=TOP1)
    page = tmp_path / "README.md"
    page.write_text("<!-- table: results/digits -->\n<!-- /table -->\n")
    assert main(["report", str(tmp_path / "results" / "digits"), "--fill", str(page)]) == 0
    assert "| w2a2 | 88.00 |" in page.read_text()
    assert f"filled 1 tables of {page}" in capsys.readouterr().err


def test_missing_matplotlib_is_one_line_of_advice(write_run, tmp_path, capsys, monkeypatch):
    """Tables are still written and printed."""
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["report", str(write_run(tmp_path, trained=TOP1))]) == 0
    out, err = capsys.readouterr()
    assert "w2a2    88.00" in out
    assert err.splitlines()[-1] == "no plots: matplotlib is not installed; type: pip install 'quantizable[report]'"


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "not a folder"), ("", "no records of runs or timings"), ('{"kind": "run"\n', "records.jsonl:1: not a JSON row")],
)
def test_bad_input_is_one_line_and_2(content, words, tmp_path, capsys):
    """Evidence of bad input: a folder that is not there, one without rows, a broken line."""
    folder = tmp_path / "results"
    if content is not None:
        folder.mkdir()
        (folder / "records.jsonl").write_text(content)
    assert main(["report", str(folder)]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert words in err
    assert err.count("\n") == 1

"""quantizable train: the command around the loop."""

from __future__ import annotations

import os
import pty
import subprocess
import sys

import pytest
from run_words import DIGITS, TINY

from quantizable.cli import main


def test_it_prints_a_table_and_where_the_run_is(tmp_path, capsys):
    """Promise: results on stdout, progress on stderr; options may stand anywhere."""
    assert main(["train", DIGITS, "--run", str(tmp_path / "a"), *TINY, "train.lr=0.01"]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["mode", "top-1", "%", "top-5", "%", "loss", "images"]
    assert [line.split()[0] for line in lines[1:4]] == ["fp32", "w4a4", "w1a1"]
    assert lines[4] == f"records and checkpoint: {tmp_path / 'a'}"
    assert "epoch 1/1 step 4/4" in err
    assert "\x1b" not in err


def test_quiet_leaves_stderr_empty_and_the_folder_has_a_default(tmp_path, monkeypatch, capsys):
    """Promise: --quiet; without --run the folder is results/<name of the recipe>."""
    monkeypatch.chdir(tmp_path)
    assert main(["train", DIGITS, "--quiet", *TINY, "name=mine"]) == 0
    assert capsys.readouterr().err == ""
    assert (tmp_path / "results" / "mine" / "checkpoint" / "model.safetensors").is_file()


def test_bad_input_is_one_line_and_2(tmp_path, run_folder, fails):
    """Promise: a typo, a wrong value, an unknown mode, no recipe, a folder with another run, a complete run."""
    run = ["--run", tmp_path / "new"]
    assert "no key 'train.epoch'; the nearest name is 'epochs'" in fails("train", DIGITS, *run, "train.epoch=3")
    assert "train.lr" in fails("train", DIGITS, *run, "train.lr=fast")
    assert "weight bits must be 1 to 8, found 9" in fails("train", DIGITS, *run, "quantize.modes=fp32,w9a9")
    assert "the list is empty" in fails("train", DIGITS, *run, "quantize.modes=[]")
    assert "'hihgest'" in fails("train", DIGITS, *run, "loss.teacher=hihgest")
    assert "none.toml: cannot be read" in fails("train", tmp_path / "none.toml")
    assert "section.key=value" in fails("train", DIGITS, "epochs")
    assert "train.lr = 0.003 there, 0.5 here" in fails("train", DIGITS, "--run", run_folder, *TINY, "train.lr=0.5")
    assert "this run is complete" in fails("train", DIGITS, "--run", run_folder, *TINY)
    assert not (tmp_path / "new").exists()


def test_a_loss_that_is_not_finite_is_one_line_and_2(tmp_path, fails):
    """Promise: a rate far too high ends in a clear line, and leaves no checkpoint."""
    words = ["train", DIGITS, "--run", tmp_path / "run", "--quiet", *TINY, "train.lr=1e30", "train.optimizer=sgd", "train.epochs=5"]
    assert "lower train.lr or set train.clip_norm" in fails(*words)
    assert not (tmp_path / "run" / "checkpoint").exists()


@pytest.mark.slow
def test_on_a_terminal_the_line_moves(tmp_path):
    """Promise: live on a terminal: the line is written over itself, then what stays."""
    leader, follower = pty.openpty()
    words = [sys.executable, "-m", "quantizable", "train", DIGITS, "--run", str(tmp_path / "run"), *TINY]
    with os.fdopen(leader, "rb", buffering=0) as screen:
        done = subprocess.run(words, stdout=subprocess.PIPE, stderr=follower, timeout=120, check=True)
        os.close(follower)
        shown = bytearray()
        while True:
            try:
                part = screen.read(4096)
            except OSError:  # Linux says so when the last writer has closed
                break
            if not part:
                break
            shown += part
    assert b"\r\x1b[2Kepoch 1/1 step " in shown
    assert b"test top-1 fp32 " in shown
    assert b"records and checkpoint" in done.stdout

"""A finished run for the commands that read one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from run_words import DIGITS, TINY

from quantizable.cli import main


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """The folder of a run on the digits in fp32, w4a4 and w1a1; not to be changed."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    assert main(["train", DIGITS, "--run", str(folder), "--quiet", *TINY]) == 0
    return folder


@pytest.fixture
def run_folder(finished, tmp_path) -> Path:
    """A copy of that run, to be changed."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


@pytest.fixture
def fails(capsys):
    """`fails(words)`: the command ends with 2 and one line, which is returned."""

    def run(*words: object) -> str:
        capsys.readouterr()
        assert main([str(word) for word in words]) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        assert "Traceback" not in err
        return err

    return run

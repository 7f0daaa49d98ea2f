"""Locks of run folders: one holder at a time, and none that is dead."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from quantizable.errors import TrainingError
from quantizable.study import holder, locked

PROGRAM = """
import sys
from pathlib import Path
from quantizable.study import locked
with locked(Path(sys.argv[1])) as is_ours:
    print(is_ours, flush=True)
    sys.stdin.read()
"""


def test_a_folder_has_one_holder_and_says_who(tmp_path):
    """Promise: a run that is being worked on is left alone."""
    with locked(tmp_path / "run") as is_ours:
        assert is_ours
        assert holder(tmp_path / "run") == f"process {os.getpid()} on {os.uname().nodename}"
        with locked(tmp_path / "run") as is_again:
            assert not is_again
        assert holder(tmp_path / "run") is not None  # the one that was refused took nothing away
    assert holder(tmp_path / "run") is None
    assert list((tmp_path / "run").iterdir()) == []


def test_a_lock_is_given_back_after_an_error(tmp_path):
    """Promise: a failed run can be taken up again."""
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path) as is_ours:
        assert is_ours


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    """Promise: stale locks are seen, whatever process has that number now."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "True\n"
    assert (holder(tmp_path) or "").startswith(f"process {process.pid} on ")
    process.kill()
    process.communicate()
    assert (tmp_path / ".lock").is_file()  # its file is still there
    (tmp_path / ".lock").write_text(f"{os.getpid()} here\n")  # and names a process that lives
    assert holder(tmp_path) is None
    with locked(tmp_path) as is_ours:
        assert is_ours


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    """Promise: bad input is one clear line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot be locked"), locked(Path(tmp_path / "file" / "run")):
        pass

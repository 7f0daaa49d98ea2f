"""Writing: the name leads to the old file or to the whole new one, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from frozen import small, tiny

from quantizable.artifact import open_artifact, save_artifact
from quantizable.errors import ArtifactError
from quantizable.graph import equal

CRASH = """
import os, signal, sys
sys.path.insert(0, {folder!r})
from frozen import tiny
from quantizable.artifact import save_artifact
real = os.{call}
os.{call} = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
save_artifact(tiny(), {path!r})
"""


def test_a_mapped_file_can_be_replaced(tmp_path):
    """Promise: who has the old file mapped keeps its bytes; who opens it anew gets the new ones."""
    path = tmp_path / "net.qdnn"
    save_artifact(small(), path)
    old = open_artifact(path)
    save_artifact(tiny(), path)
    assert equal(old.model(), small())
    assert open_artifact(path).header.name == "tiny"


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_crash_leaves_the_old_file(call, tmp_path):
    """Promise: killed before the bytes are on the disk, or before the name is changed, the old file is there and whole."""
    path = tmp_path / "net.qdnn"
    save_artifact(small(), path)
    before = path.read_bytes()
    program = CRASH.format(folder=str(Path(__file__).parent), call=call, path=str(path))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert path.read_bytes() == before
    save_artifact(tiny(), path)
    assert open_artifact(path).header.name == "tiny"


def test_the_bytes_are_synced_before_the_name_and_the_folder_after(tmp_path, monkeypatch):
    """Promise: on return the file is on the disk under its name."""
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: calls.append("folder" if os.path.isdir(f"/proc/self/fd/{fd}") else "file") or fsync(fd))
    monkeypatch.setattr(os, "replace", lambda *names: calls.append("rename") or replace(*names))
    save_artifact(tiny(), tmp_path / "net.qdnn")
    assert calls == ["file", "rename", "folder"]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    """Bad input: a full disk is one clear line, and no half-written file beside the old one."""
    path = tmp_path / "net.qdnn"
    save_artifact(small(), path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArtifactError, match="cannot be written, No space left on device; free space") as found:
        save_artifact(tiny(), path)
    assert found.value.reason == "write"
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    """Bad input: no folder is made by guess."""
    with pytest.raises(ArtifactError, match="cannot be written, No such file or directory"):
        save_artifact(tiny(), tmp_path / "none" / "net.qdnn")


def test_the_file_has_the_usual_rights(tmp_path):
    """A file that others of the group may read before may be read after: rights follow the umask."""
    (tmp_path / "plain").touch()
    save_artifact(tiny(), tmp_path / "net.qdnn")
    assert (tmp_path / "net.qdnn").stat().st_mode == (tmp_path / "plain").stat().st_mode

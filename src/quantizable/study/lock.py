"""The lock of a run's folder: whoever works on a run holds it, and the system takes it back when the process dies, however it does.

The file `.lock` holds the process number and the machine, for people; what counts is the lock on the file, so one that a dead
process left is free at once, also when its number belongs to another process by now.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quantizable.errors import TrainingError

LOCK_FILE = ".lock"
_TRIES, _LOOK_SECONDS = 4, 0.02  # `holder` takes a shared lock for an instant: who meets only that tries again


@contextmanager
def locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of `folder` for the length of a ``with`` block; False where another process holds it.

    Raises:
        TrainingError: the folder cannot be written, or its file system has no locks.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = _take(folder / LOCK_FILE)
    except OSError as error:
        raise TrainingError(f"{folder}: cannot be locked, {error.strerror}; give a results folder that can be") from error
    if descriptor is None:
        yield False
        return
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()} {socket.gethostname()}\n".encode(), 0)
        yield True
    finally:
        (folder / LOCK_FILE).unlink(missing_ok=True)
        os.close(descriptor)


def holder(folder: Path) -> str | None:
    """Return who works on the run in `folder`, for example ``process 4711 on box``, or None where nobody does."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid, _, host = os.pread(descriptor, 300, 0).decode(errors="replace").strip().partition(" ")
        return f"process {pid or '?'} on {host or 'some machine'}"
    finally:
        os.close(descriptor)
    return None


def _take(path: Path) -> int | None:
    """Return the open file under an exclusive lock, None where it is taken."""
    for _ in range(_TRIES):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still_there(descriptor, path):
                return descriptor
        except BlockingIOError:
            time.sleep(_LOOK_SECONDS)
        except OSError:
            os.close(descriptor)
            raise
        os.close(descriptor)  # taken, or removed by its owner between our open and our lock: a lock on nothing
    return None


def _is_still_there(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False

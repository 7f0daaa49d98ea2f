"""Writing a .qdnn file: whole or not at all, and never into a file that somebody has mapped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from quantizable.artifact.encode import encode
from quantizable.artifact.refusal import refusal
from quantizable.graph import IntegerModel


def save_artifact(model: IntegerModel, path: str | os.PathLike[str]) -> None:
    """Write `model` to `path`; on return it is on the disk. Same model, same bytes.

    The file appears under its name in one step: whoever has the old one open or mapped keeps it, and a crash leaves the old one.

    Raises:
        GraphError: the model does not hold together.
        ArtifactError: a name in the model cannot be stored, or the file cannot be written.
    """
    where = Path(os.fsdecode(path))
    parts = encode(model, where=str(where))
    try:
        _replace(where, parts)
    except OSError as error:
        raise refusal(str(where), "write", f"cannot be written, {error.strerror or error}") from error


def _replace(path: Path, parts: Sequence[bytes]) -> None:
    """Write `parts` beside `path`, sync, rename, sync the folder: the name then leads to the old bytes or to all the new ones."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with open(temporary, "xb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Put the new name on the disk as well, where the system can: Windows opens no folders."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

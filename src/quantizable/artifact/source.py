"""Where bytes come from: a file that is mapped, or a web server that is asked for ranges."""

from __future__ import annotations

import mmap
import os
import stat
from typing import Protocol

from quantizable.artifact.refusal import refusal


class Source(Protocol):
    """Bytes at offsets; `size` is the length of the whole, None where it is not known."""

    size: int | None

    def read(self, offset: int, length: int) -> memoryview:
        """Return the bytes from `offset`: `length` of them, fewer where the source ends."""


def open_source(path: str | os.PathLike[str]) -> Source:
    """Return the source of a file or of an http address.

    Raises:
        ArtifactError: there is no such file, it cannot be read, or it is a folder, pipe or device.
    """
    where = os.fsdecode(path)
    if not where.startswith(("http://", "https://")):
        return MappedFile(where)
    from quantizable.artifact.remote import RemoteFile  # the web modules take longer to load than a network

    return RemoteFile(where)


class MappedFile:
    """A file mapped for reading: its pages are shared with everyone who maps it, loaded when used, and kept as long as a view is."""

    def __init__(self, where: str) -> None:
        try:
            descriptor = os.open(where, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))  # a pipe must not wait
        except (OSError, ValueError) as error:
            raise refusal(where, "file", f"cannot be opened, {getattr(error, 'strerror', None) or error}") from error
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise refusal(where, "file", "is a folder, pipe or device")
            self.size: int | None = found.st_size
            self._bytes = memoryview(mmap.mmap(descriptor, found.st_size, access=mmap.ACCESS_READ) if found.st_size else b"")
        except OSError as error:
            raise refusal(where, "file", f"cannot be mapped, {error.strerror}") from error
        finally:
            os.close(descriptor)

    def read(self, offset: int, length: int) -> memoryview:
        return self._bytes[offset : offset + length]

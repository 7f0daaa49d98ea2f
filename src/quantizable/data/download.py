"""Files from the network: checked, then put in place in one step. What is interrupted or wrong leaves nothing behind."""

from __future__ import annotations

import hashlib
import http.client
import logging
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import BinaryIO

from quantizable.errors import DataError

_log = logging.getLogger(__name__)
_TIMEOUT_S = 30.0  # without any byte from the server
_CHUNK_BYTES = 1 << 20


def download(url: str, path: Path, *, md5: str) -> None:
    """Fetch `url` into `path`: whole and with this checksum, or not at all.

    The bytes go to a temporary name in the same folder, which is removed on any failure (a keyboard interrupt too) and
    otherwise synced and renamed. Several processes may do this at once.

    Raises:
        DataError: no network, a short answer, or another checksum; says where to put the file by hand.
    """
    by_hand = f"fetch it by hand from {url} and put it at {path}"
    _log.info("downloading %s to %s", url, path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                _fetch(url, file, path=path, md5=md5, by_hand=by_hand)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except urllib.error.HTTPError as error:
        error.close()  # it holds the connection
        raise DataError(f"{path.name}: download failed (the server answered {error.code} {error.reason}); {by_hand}") from error
    except (OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        raise DataError(f"{path.name}: download failed ({reason or type(error).__name__}); {by_hand}") from error


def md5_of(path: Path) -> str:
    """Return the md5 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, _md5).hexdigest()


def _fetch(url: str, file: BinaryIO, *, path: Path, md5: str, by_hand: str) -> None:
    digest, size = _md5(), 0
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:
        while chunk := answer.read(_CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
            size += len(chunk)
        promised = answer.headers.get("Content-Length")
    if promised is not None and size != int(promised):
        raise DataError(f"{path.name}: download ended after {size} of {promised} bytes; try again, or {by_hand}")
    if digest.hexdigest() != md5:
        raise DataError(f"{path.name}: downloaded {size} bytes with md5 {digest.hexdigest()}, expected {md5}; try again, or {by_hand}")


def _md5() -> hashlib._Hash:
    return hashlib.md5(usedforsecurity=False)  # the publisher's checksum; it guards against accidents, not attacks

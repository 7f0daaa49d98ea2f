"""A file on a plain web server, fetched range by range."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from quantizable.artifact.refusal import refusal, shown

TIMEOUT_S = 30.0  # without a byte from the server
_CHUNK = 2**18  # a server's claim of a length allocates no more than this before bytes arrive
_LENGTH = re.compile(r"\d{1,18}")
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18}|\*)")


class RemoteFile:
    """A file on a web server, fetched range by range; a server that ignores ranges is read up to the end of the range."""

    def __init__(self, where: str) -> None:
        self.size: int | None = None
        self._where = where

    def read(self, offset: int, length: int) -> memoryview:
        kept = bytearray()
        try:
            with self._ask(offset, length) as response:
                if response is not None:
                    to_skip = 0 if response.status == HTTPStatus.PARTIAL_CONTENT else offset  # 200: the whole file comes
                    for chunk in _chunks(response, to_skip + length):
                        kept += chunk[min(to_skip, len(chunk)) :]
                        to_skip -= min(to_skip, len(chunk))
        except (OSError, HTTPException) as error:
            raise refusal(self._where, "server", f"bytes {offset} to {offset + length - 1} did not come ({_reason(error)})") from error
        return memoryview(bytes(kept))

    @contextmanager
    def _ask(self, offset: int, length: int) -> Iterator[HTTPResponse | None]:
        """Yield the server's answer to a request for a range, None where the file ends before it."""
        headers = {"Range": f"bytes={offset}-{offset + length - 1}", "Accept-Encoding": "identity"}
        try:
            with urlopen(Request(self._where, headers=headers), timeout=TIMEOUT_S) as response:
                self._check(response, offset)
                yield response
        except HTTPError as error:
            error.close()
            if error.code != HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                raise
            yield None

    def _check(self, response: HTTPResponse, offset: int) -> None:
        """Refuse an answer that is not about the range; keep the length of the whole file where it is told."""
        encoding = response.headers.get("Content-Encoding", "identity")
        if encoding != "identity":
            raise refusal(self._where, "server", f"the server sent it as {shown(encoding)}, plain bytes were asked for")
        if response.status == HTTPStatus.OK:
            total = response.headers.get("Content-Length", "")
        elif response.status == HTTPStatus.PARTIAL_CONTENT:
            told = response.headers.get("Content-Range", "")
            found = _CONTENT_RANGE.fullmatch(told)
            if not found or int(found[1]) != offset:
                raise refusal(self._where, "server", f"the server answered with the range {shown(told)}, asked for byte {offset} on")
            total = found[2]
        else:
            raise refusal(self._where, "server", f"the server answered with status {response.status}")
        if _LENGTH.fullmatch(total):
            self.size = int(total)


def _chunks(response: HTTPResponse, length: int) -> Iterator[bytes]:
    """Yield the first `length` bytes of an answer, fewer where it ends."""
    while length > 0 and (chunk := response.read(min(length, _CHUNK))):
        length -= len(chunk)
        yield chunk


def _reason(error: Exception) -> str:
    return shown(str(error) or type(error).__name__)

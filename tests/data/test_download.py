"""Downloads are whole or absent: nothing half-written stays, and the message says what to do by hand."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from quantizable.data import CifarArchive, load_cifar
from quantizable.data.download import download
from quantizable.errors import DataError

CONTENT = bytes(range(256)) * 5000  # more than one chunk
MD5 = hashlib.md5(CONTENT).hexdigest()


class _Server(BaseHTTPRequestHandler):
    """/whole sends all, /short promises more than it sends, /broken stops without a length, anything else is not found."""

    archive = b""

    def do_GET(self) -> None:
        body = type(self).archive if self.path.endswith(".tar.gz") else CONTENT
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(200)
        if self.path != "/broken":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path in ("/short", "/broken") else body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of a server on this machine."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), _Server) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_whole_file_arrives(server: str, tmp_path: Path) -> None:
    """The bytes, under the name, and nothing beside them; the folder is made."""
    path = tmp_path / "new" / "file.bin"
    download(f"{server}/whole", path, md5=MD5)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("page", "md5", "words"),
    [
        ("short", MD5, f"ended after {len(CONTENT) // 2} of {len(CONTENT)} bytes; try again"),
        ("broken", MD5, f"downloaded {len(CONTENT) // 2} bytes with md5"),
        ("whole", "0" * 32, f"with md5 {MD5}, expected {'0' * 32}"),
        ("missing", MD5, "answered 404 Not Found"),
    ],
)
def test_a_failed_download_leaves_nothing(server: str, tmp_path: Path, page: str, md5: str, words: str) -> None:
    """One line: what came, what was expected, where to fetch it by hand and where to put it."""
    path = tmp_path / "file.bin"
    with pytest.raises(DataError) as caught:
        download(f"{server}/{page}", path, md5=md5)
    message = str(caught.value)
    assert words in message
    assert f"fetch it by hand from {server}/{page} and put it at {path}" in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_an_old_file_stays_when_the_new_one_fails(server: str, tmp_path: Path) -> None:
    """Nothing is replaced before the new bytes are whole."""
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(DataError):
        download(f"{server}/short", path, md5=MD5)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interrupt_leaves_nothing(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle is no DataError, and no part of the file stays."""

    class Interrupting:
        def update(self, chunk: bytes) -> None:
            raise KeyboardInterrupt

    monkeypatch.setattr("quantizable.data.download._md5", Interrupting)
    with pytest.raises(KeyboardInterrupt):
        download(f"{server}/whole", tmp_path / "file.bin", md5=MD5)
    assert list(tmp_path.iterdir()) == []


def test_no_network_and_no_place_are_one_line(tmp_path: Path) -> None:
    """A refused connection, and a folder that cannot be made."""
    with pytest.raises(DataError, match=r"download failed \(.*\); fetch it by hand"):
        download("http://127.0.0.1:1/file.bin", tmp_path / "file.bin", md5=MD5)
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(DataError, match="download failed"):
        download("http://127.0.0.1:1/file.bin", tmp_path / "taken" / "file.bin", md5=MD5)


def test_cifar_is_downloaded_once(
    server: str,
    tmp_path: Path,
    batch_files: dict[str, bytes],
    tar_of: Callable[[dict[str, bytes]], bytes],
    archive_of: Callable[..., CifarArchive],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The archive is fetched, kept and read; the second time no server is needed."""
    raw = tar_of(batch_files)
    monkeypatch.setattr(_Server, "archive", raw)
    first = load_cifar(archive_of(raw, f"{server}/cifar-10-python.tar.gz"), tmp_path, download=True)
    assert (tmp_path / "cifar-10-python.tar.gz").read_bytes() == raw
    again = load_cifar(archive_of(raw), tmp_path, download=True)
    assert np.array_equal(first.train.y, again.train.y)

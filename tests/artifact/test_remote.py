"""Opening over HTTP: only the bytes of the prefix travel, and a server that answers oddly is found out."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from frozen import cut_codes, small

from quantizable.artifact import open_artifact, read_header, save_artifact
from quantizable.errors import ArtifactError
from quantizable.graph import equal


class FileServer:
    """A plain static file server for one file that counts what it sends; `answer` may change (status, headers, body)."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.sent = 0
        self.requests: list[str] = []
        self.ranges = True
        self.answer: Callable[[int, dict[str, str], bytes], tuple[int, dict[str, str], bytes]] = lambda *given: given

    def reply(self, asked: str | None) -> tuple[int, dict[str, str], bytes]:
        self.requests.append(asked or "")
        found = re.fullmatch(r"bytes=(\d+)-(\d+)", asked or "")
        if not self.ranges or not found:
            return self.answer(200, {}, self.content)
        start, stop = int(found[1]), min(int(found[2]) + 1, len(self.content))
        if start >= len(self.content):
            return self.answer(416, {"Content-Range": f"bytes */{len(self.content)}"}, b"")
        told = {"Content-Range": f"bytes {start}-{stop - 1}/{len(self.content)}"}
        return self.answer(206, told, self.content[start:stop])

    @contextmanager
    def running(self) -> Iterator[str]:
        """Yield the file's address."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                status, headers, body = outer.reply(self.headers.get("Range"))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                outer.sent += len(body)
                with suppress(OSError):  # the reader has what it came for and hung up
                    self.wfile.write(body)

            def log_message(self, *args: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}/net.qdnn"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


@pytest.fixture
def server(tmp_path, monkeypatch) -> FileServer:
    """A server of the small network, reached without a proxy."""
    monkeypatch.setenv("no_proxy", "*")
    save_artifact(small(), tmp_path / "net.qdnn")
    return FileServer((tmp_path / "net.qdnn").read_bytes())


@pytest.mark.parametrize("max_bits", [1, 2, 4, 8, None])
def test_only_the_prefix_travels(max_bits, server, tmp_path):
    """Promise: three requests bring exactly the bytes that the modes need, and the network is that of the file."""
    header = read_header(tmp_path / "net.qdnn")
    with server.running() as address:
        artifact = open_artifact(address, max_bits=max_bits)
    assert server.sent == header.prefix_bytes(max_bits or 32)
    assert len(server.requests) == 3
    assert equal(artifact.model(), open_artifact(tmp_path / "net.qdnn", max_bits=max_bits).model())


def test_a_server_without_ranges_serves_too(server):
    """Promise: where the whole file comes for every request, the result is the same."""
    server.ranges = False
    with server.running() as address:
        model = open_artifact(address, max_bits=2).model()
    assert equal(model, cut_codes(small(), 2).keep(("w2a2", "w1a1")))


def test_a_header_can_be_read_alone(server, tmp_path):
    """Promise: what a file holds is known after two requests."""
    with server.running() as address:
        assert read_header(address) == read_header(tmp_path / "net.qdnn")
    assert len(server.requests) == 2


def swap(status: int | None = None, body: Callable[[bytes], bytes] = bytes, **headers: str):
    """Return an `answer` that changes some of it; underscores in names of headers stand for hyphens."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda old, given, content: (status or old, {**given, **more}, body(content))


LIES = {
    "not there": (swap(404), "server", "did not come ('HTTP Error 404: Not Found'); check the address"),
    "broken": (swap(500), "server", "HTTP Error 500"),
    "nothing": (swap(204, body=lambda content: b""), "server", "answered with status 204"),
    "another range": (swap(Content_Range="bytes 7-54/6000"), "server", "answered with the range 'bytes 7-54/6000', asked for byte 0 on"),
    "no range": (swap(Content_Range="all of it"), "server", "answered with the range 'all of it'"),
    "compressed": (swap(Content_Encoding="gzip"), "server", "sent it as 'gzip', plain bytes were asked for"),
    "half": (swap(body=lambda content: content[: len(content) // 2]), "truncated", "has 24 bytes, the preamble alone takes 48"),
    "too much claimed": (swap(Content_Length=str(10**15)), "", ""),
    "more than asked": (swap(body=lambda content: content + b"x" * 100_000), "", ""),
    "a page": (swap(200, body=lambda content: b"<html>" * 20), "magic", "is no .qdnn file, it starts with b'<html><h'"),
    "shorter file": (swap(Content_Range="bytes 0-47/48"), "server", "asked for byte 48 on"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_server_that_lies_is_found_out(lie, server):
    """Promise: an error of its own, or the right network; never a guess, never memory for what only a header claims."""
    server.answer, reason, says = LIES[lie]
    with server.running() as address:
        if not reason:
            assert equal(open_artifact(address, max_bits=1).model(), cut_codes(small(), 1).keep(("w1a1",)))
            return
        with pytest.raises(ArtifactError) as found:
            open_artifact(address, max_bits=1)
    assert found.value.reason == reason
    assert says in str(found.value)
    assert str(found.value).startswith(f"{address}: ")


@pytest.mark.parametrize("ranges", [True, False])
def test_a_file_cut_on_the_server_opens_as_far_as_it_goes(ranges, server, tmp_path):
    """Promise: as on the disk, the error names the bits that are whole."""
    server.content, server.ranges = server.content[: read_header(tmp_path / "net.qdnn").prefix_bytes(2)], ranges
    with server.running() as address:
        assert open_artifact(address, max_bits=2).modes == ("w2a2", "w1a1")
        with pytest.raises(ArtifactError, match="has 0 of 64 bytes; fetch it again, or open it with max_bits=2") as found:
            open_artifact(address, max_bits=4)
    assert found.value.reason == "truncated"


def test_bytes_behind_the_last_section_are_seen(server):
    """Promise: the length that the server tells is held against the header's."""
    server.content += b"more"
    with server.running() as address, pytest.raises(ArtifactError, match="goes on for 4 bytes after its last section"):
        open_artifact(address)


def test_nobody_at_the_address(server):
    """Bad input: one clear line where no server answers."""
    with server.running() as address:
        pass
    with pytest.raises(ArtifactError, match=r"bytes 0 to 47 did not come \(.*refused.*\); check the address") as found:
        open_artifact(address)
    assert found.value.reason == "server"

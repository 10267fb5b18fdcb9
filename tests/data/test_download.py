"""Files from the web, tested against a server on this computer's loopback address."""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

from mixedflow.data import download
from mixedflow.errors import SourceError

BODY = b"id,y\n1,2\n1,3\n2,5\n"
SHA256 = hashlib.sha256(BODY).hexdigest()
WHERE = "datasets.d.source"


class Handler(BaseHTTPRequestHandler):
    hits: ClassVar[Counter[str]] = Counter()

    def do_GET(self) -> None:
        Handler.hits[self.path] += 1
        match self.path.split("?")[0]:
            case "/data.csv":
                self.answer(200, {"Content-Length": str(len(BODY))}, BODY)
            case "/endless.csv":
                self.answer(200, {}, b"x" * 3_000_000)
            case "/announced.csv":
                self.answer(200, {"Content-Length": "9000000000"}, b"")
            case "/short.csv":
                self.answer(200, {"Content-Length": "1000"}, BODY)
            case "/trickle.csv":
                self.answer(200, {}, b"id,y\n", seconds=0.1)
            case "/trickling-header.csv":
                self.trickle(b"HTTP/1.0 200 OK\r\nX-Slow: " + b"x" * 1000, 0.1)
            case "/to-http":
                self.answer(302, {"Location": "/data.csv"}, b"")
            case "/to-file":
                self.answer(302, {"Location": "file:///etc/hostname"}, b"")
            case "/to-https":
                self.answer(302, {"Location": "https://127.0.0.1:1/data.csv"}, b"")
            case _:
                self.answer(404, {"Content-Length": "0"}, b"")

    def trickle(self, content: bytes, seconds: float) -> None:
        with contextlib.suppress(OSError):
            for byte in content:
                self.wfile.write(bytes([byte]))
                time.sleep(seconds)

    def answer(
        self, status: int, headers: dict[str, str], body: bytes, seconds: float = 0.0
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if seconds:
            self.trickle(body * 200, seconds)
        with contextlib.suppress(OSError):  # some clients have had enough, as they should
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Silence."""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


def test_fetched_once(server: str, tmp_path: Path) -> None:
    url = f"{server}/data.csv?once"
    path = download.fetch(url, tmp_path / "downloads", WHERE, SHA256)
    assert path.read_bytes() == BODY
    assert path.parent == tmp_path / "downloads" and path.suffix == ".csv"
    assert download.fetch(url, tmp_path / "downloads", WHERE, SHA256.upper()) == path
    assert download.fetch(url, tmp_path / "downloads", WHERE) == path
    assert Handler.hits["/data.csv?once"] == 1
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    other = download.fetch(f"{server}/data.csv?other", tmp_path / "downloads", WHERE)
    assert other != path


def test_a_stored_file_that_changed_is_refused(server: str, tmp_path: Path) -> None:
    path = download.fetch(f"{server}/data.csv", tmp_path, WHERE, SHA256)
    path.write_bytes(b"something else")
    with pytest.raises(SourceError, match=r"wrong checksum.*delete data-"):
        download.fetch(f"{server}/data.csv", tmp_path, WHERE, SHA256)


def test_wrong_checksum_keeps_nothing(server: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"expected sha256 {'0' * 64}, found {SHA256}"):
        download.fetch(f"{server}/data.csv", tmp_path, WHERE, "0" * 64)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/endless.csv", "larger than 1 MB"),
        ("/announced.csv", "larger than 1 MB"),
        ("/short.csv", "broke off: 17 of 1000 bytes"),
        ("/missing.csv", "answers 404 Not Found"),
        ("/to-http", "redirects to .*only https"),
        ("/to-file", "302 Found.*not allowed"),
        ("/to-https", "cannot reach"),  # followed, but nobody is at home there
    ],
)
def test_refused_answers(server: str, tmp_path: Path, path: str, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        download.fetch(server + path, tmp_path, WHERE, max_mb=1)
    assert str(caught.value).startswith(WHERE) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_refused_address(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not https"):
        download.fetch("http://example.org/data.csv", tmp_path, WHERE)


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"cannot reach 'http://127.0.0.1:1/data.csv'"):
        download.fetch("http://127.0.0.1:1/data.csv", tmp_path, WHERE)


def test_too_slow(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_TOTAL_SECONDS", -1.0)
    with pytest.raises(SourceError, match="took too long"):
        download.fetch(f"{server}/data.csv", tmp_path, WHERE)


@pytest.mark.parametrize("path", ["/trickle.csv", "/trickling-header.csv"])
def test_the_limit_holds_when_bytes_trickle(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(download, "_TOTAL_SECONDS", 0.5)
    began = time.monotonic()
    with pytest.raises(SourceError, match=r"took too long; more than 0\.5 s"):
        download.fetch(server + path, tmp_path, WHERE)
    assert time.monotonic() - began < 2
    assert list(tmp_path.iterdir()) == []


def test_a_name_never_leaves_the_folder(server: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="404"):
        download.fetch(f"{server}/..%2F..%2Fescape.csv", tmp_path / "in", WHERE)
    parts = download.urllib.parse.urlsplit("https://h/..%2F..%2F%2e%2e%00x.csv")
    name = download._stored_name("u", parts)
    assert "/" not in name and ".." not in name and name.endswith(".csv")


def test_folder_that_cannot_be_made(server: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="cannot fetch and store"):
        download.fetch(f"{server}/data.csv", tmp_path / "file" / "below", WHERE)

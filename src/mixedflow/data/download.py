"""Files from the web: fetched once, checked before anything reads them."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import re
import socket
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Self

from mixedflow.artifacts import storage
from mixedflow.config.addresses import check_address
from mixedflow.errors import SourceError, quote

DOWNLOADS = "downloads"  # in the working folder
_SOCKET_SECONDS, _TOTAL_SECONDS = 30.0, 600.0
_CHUNK = 1 << 16


def compare_sha256(found: str, expected: str | None, where: str, hint: str) -> None:
    """Raise SourceError unless the checksums agree or none was asked for."""
    if expected is not None and found != expected.lower():
        what = f"wrong checksum: expected sha256 {expected.lower()}, found {found}"
        raise SourceError(where, what, hint)


def fetch(url: str, folder: Path, where: str, sha256: str | None = None, max_mb: int = 100) -> Path:
    """The local copy of ``url`` in ``folder``, downloaded only where there is none yet.

    https only; plain http is for servers on this computer's loopback address. A redirection must
    lead to https. A file appears under its name complete and with the right checksum, or not at
    all.

    Raises
    ------
    SourceError
        A refused address, an answer other than the file, more than ``max_mb`` megabytes, a
        transfer that breaks off or takes too long, a wrong checksum.
    """
    parts = check_address(url, where)
    stored = folder / _stored_name(url, parts)
    if stored.is_file():
        hint = f"delete {stored.name} to fetch it again"
        compare_sha256(storage.sha256(stored), sha256, where, hint)
        return stored
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".part-")
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as stream:
                found = _transfer(url, parts, stream, where, max_mb)
            compare_sha256(found, sha256, where, "nothing was kept")
            temporary.chmod(0o644)
            temporary.replace(stored)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        what = f"cannot fetch and store {quote(url)}: {error.strerror or error}"
        raise SourceError(where, what) from None
    return stored


def _stored_name(url: str, parts: urllib.parse.SplitResult) -> str:
    """A readable name that two addresses never share: asian-1a2b3c4d5e6f.dta."""
    last = Path(urllib.parse.unquote(parts.path))
    stem = re.sub(r"[^A-Za-z0-9_-]+", "_", last.stem)[:40] or "download"
    suffix = re.sub(r"[^a-z0-9.]", "", last.suffix.lower())[:12]
    return f"{stem}-{hashlib.sha256(url.encode()).hexdigest()[:12]}{suffix}"


class _HttpsRedirects(urllib.request.HTTPRedirectHandler):
    def __init__(self, where: str) -> None:
        self.where = where

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urllib.parse.urlsplit(newurl).scheme != "https":
            what = f"{quote(req.full_url)} redirects to {quote(newurl)}"
            raise SourceError(self.where, what, "only https addresses are followed")
        check_address(newurl, self.where)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class _Limit:
    """The time that a whole transfer may take: at its end the connections are shut down.

    A socket's own limit begins anew with every byte, in headers and handshakes too.
    """

    def __init__(self) -> None:
        self.over = False
        self._lock, self._connections = threading.Lock(), list[socket.socket]()

    def watch(self, connection: socket.socket) -> None:
        with self._lock:
            # A copy, because TLS takes the socket over; what is shut down is the same connection.
            self._connections.append(connection.dup())
        if self.over:
            self._end()

    def _end(self) -> None:
        with self._lock:
            self.over = True
            for connection in self._connections:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def running(self, seconds: float) -> Iterator[None]:
        timer = threading.Timer(max(0.0, seconds), self._end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            with self._lock:
                for connection in self._connections:
                    connection.close()


class _Connection(http.client.HTTPConnection):
    limit: _Limit

    def connect(self) -> None:
        super().connect()
        self.limit.watch(self.sock)

    @classmethod
    def within(cls, limit: _Limit, host: str, **more: Any) -> Self:
        made = cls(host, **more)
        made.limit = limit
        return made


class _SecureConnection(http.client.HTTPSConnection, _Connection):
    """Of its parents the first connects by the second, whose socket is watched before TLS."""


class _Http(urllib.request.HTTPHandler):
    def __init__(self, limit: _Limit) -> None:
        super().__init__()
        self.limit = limit

    def http_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(partial(_Connection.within, self.limit), req)


class _Https(urllib.request.HTTPSHandler):
    def __init__(self, limit: _Limit) -> None:
        super().__init__()
        self.limit = limit

    def https_open(self, req: urllib.request.Request) -> Any:
        return self.do_open(partial(_SecureConnection.within, self.limit), req)


def _transfer(
    url: str, parts: urllib.parse.SplitResult, stream: Any, where: str, max_mb: int
) -> str:
    """Write the body of the answer to ``stream``; its SHA-256."""
    limit = _Limit()
    late = SourceError(where, f"{quote(url)} took too long", f"more than {_TOTAL_SECONDS:g} s")
    try:
        with limit.running(_TOTAL_SECONDS):
            found = _received(url, parts, stream, where, max_mb, limit)
    except SourceError:
        if limit.over:  # and what was said is how that showed
            raise late from None
        raise
    if limit.over:
        raise late
    return found


def _received(
    url: str,
    parts: urllib.parse.SplitResult,
    stream: Any,
    where: str,
    max_mb: int,
    limit: _Limit,
) -> str:
    handlers: list[Any] = [_HttpsRedirects(where), _Http(limit), _Https(limit)]
    if parts.scheme == "http":  # loopback: a proxy would ask its own loopback
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    opener.addheaders = [("User-Agent", "mixedflow"), ("Accept-Encoding", "identity")]
    most, digest, received = max_mb * 1_000_000, hashlib.sha256(), 0
    too_large = SourceError(
        where, f"{quote(url)} is larger than {max_mb} MB", "raise max_mb if that is right"
    )
    try:
        with contextlib.closing(opener.open(url, timeout=_SOCKET_SECONDS)) as answer:
            length = answer.headers.get("Content-Length", "")
            announced = int(length) if length.isdigit() else None
            if announced is not None and announced > most:
                raise too_large
            while chunk := answer.read(_CHUNK):
                received += len(chunk)
                if received > most:
                    raise too_large
                digest.update(chunk)
                stream.write(chunk)
    except urllib.error.HTTPError as error:
        error.close()
        what = f"the server answers {error.code} {error.reason} for {quote(url)}"
        raise SourceError(where, what) from None
    except TimeoutError:
        raise SourceError(where, f"{quote(url)} took too long") from None
    except urllib.error.URLError as error:
        late = isinstance(error.reason, TimeoutError)
        what = f"{quote(url)} took too long" if late else f"cannot reach {quote(url)}"
        raise SourceError(where, what, "" if late else str(error.reason)) from None
    except (http.client.HTTPException, ConnectionError, ValueError) as error:
        what = f"the transfer of {quote(url)} broke off"
        raise SourceError(where, what, type(error).__name__) from None
    if announced is not None and received != announced:
        what = f"the transfer of {quote(url)} broke off: {received} of {announced} bytes"
        raise SourceError(where, what)
    return digest.hexdigest()

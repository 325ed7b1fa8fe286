"""A folder served over HTTP on loopback, with ranges, validators and listings; it fails as a test tells it to."""

from __future__ import annotations

import hashlib
import html
import re
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote


@dataclass(frozen=True)
class Fault:
    """How one answer differs from a right one."""

    status: int | None = None  # an error, and no file
    cut: int | None = None  # bytes of the body before the connection ends
    stall: bool = False  # headers, and then nothing
    body: bytes | None = None  # what is sent in the place of the file
    kind: str = "application/octet-stream"
    ranges: bool = True  # False: sends all, whatever is asked for
    shift: int = 0  # of the first byte that is sent, and said so
    headers: Mapping[str, str | None] = field(default_factory=dict)  # None: without this one


@dataclass
class Site:
    """What is served from where, and who asked for what."""

    root: Path
    url: str = ""
    script: dict[str, list[Fault]] = field(default_factory=lambda: defaultdict(list))  # path -> the next answers to GET
    heads: dict[str, Fault] = field(default_factory=dict)  # path -> every answer to HEAD
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, path, range
    closing: threading.Event = field(default_factory=threading.Event)

    def got(self, path: str) -> list[str | None]:
        """The ranges of the GETs of a path."""
        return [span for method, where, span in self.asked if (method, where) == ("GET", path)]


@contextmanager
def serving(root: Path) -> Iterator[Site]:
    """The folder, served until the block ends."""
    site = Site(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    site.url = "http://{}:{}".format(*server.server_address[:2])
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.closing.set()
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    site: Site

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self._answer(self.site.heads.get(self._path(), Fault()))

    def do_GET(self) -> None:
        script = self.site.script[self._path()]
        self._answer(script.pop(0) if script else Fault())

    def _path(self) -> str:
        return unquote(self.path.partition("?")[0]).strip("/")

    def _answer(self, fault: Fault) -> None:
        self.site.asked.append((self.command, self._path(), self.headers.get("Range")))
        target = self.site.root / self._path()
        if fault.status or not (fault.body is not None or target.exists()):
            self._send(fault.status or 404, b"<html>no</html>", {"Content-Type": "text/html"}, Fault())
        elif fault.body is None and target.is_dir():
            self._send(200, self._listing(target), {"Content-Type": "text/html"}, fault)
        else:
            self._file(target.read_bytes() if fault.body is None else fault.body, fault)

    def _file(self, content: bytes, fault: Fault) -> None:
        headers = {"Content-Type": fault.kind, "ETag": f'"{hashlib.md5(content).hexdigest()}"'}
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")) if fault.ranges else None
        if span is None and not fault.shift:
            self._send(200, content, headers, fault)
            return
        start = (int(span[1]) if span else 0) + fault.shift
        stop = min(int(span[2]) + 1, len(content)) if span and span[2] else len(content)
        if start >= len(content):
            self._send(416, b"", {}, fault)
        else:
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
            self._send(206, content[start:stop], headers, fault)

    def _send(self, status: int, body: bytes, headers: Mapping[str, str | None], fault: Fault) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers, **fault.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if fault.stall:
            self.wfile.flush()
            self.site.closing.wait(10)
        elif self.command == "GET":
            with suppress(ConnectionError):  # whoever asked may have gone
                self.wfile.write(body if fault.cut is None else body[: fault.cut])
        self.close_connection = True

    def _listing(self, folder: Path) -> bytes:
        """As Apache writes it: links to sort by, to the folder above, and to what lies there."""
        names = [path.name + "/" * path.is_dir() for path in sorted(folder.iterdir())]
        above = "/" + "/".join(self._path().split("/")[:-1])
        links = ["?C=N;O=D", "?C=M;O=A", above, *names]
        return "".join(f'<a href="{html.escape(link)}">{html.escape(link)}</a><br>\n' for link in links).encode()

"""A stand-in of the hub on loopback: what `huggingface_hub` asks for to make, fill, look up and read a repository.

Every commit is kept; a file has the ETag and the headers by which the library finds its commit and size. Tests spoil
what is stored, or answer a path with a status of their own.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

TOKEN = "hf_of_the_owner"  # the only one that may write, or read what is private
READ_ONLY = "hf_of_a_reader"  # may read what is public


@dataclass
class Repository:
    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)  # commit -> its files, newest last

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.head]

    def commit(self, files: dict[str, bytes], salt: str = "") -> str:
        names = "".join(f"{name} {hashlib.sha1(data).hexdigest()}" for name, data in sorted(files.items()))
        found = hashlib.sha1(f"{len(self.commits)}{salt}{names}".encode()).hexdigest()
        self.commits[found] = files
        return found

    def at(self, revision: str) -> str | None:
        return self.head if revision == "main" else revision if revision in self.commits else None


@dataclass
class HubServer:
    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    large: dict[str, bytes] = field(default_factory=dict)  # by SHA-256, before they are committed
    asked: list[tuple[str, str]] = field(default_factory=list)  # method and path
    answers: dict[str, int] = field(default_factory=dict)  # start of a path -> status
    shorter: dict[str, int] = field(default_factory=dict)  # file -> bytes that its body lacks

    def got(self, name: str) -> bool:
        """Whether anybody asked for a file."""
        return any(path.endswith(f"/{name}") for _, path in self.asked)


@contextmanager
def hub() -> Iterator[HubServer]:
    """The stand-in, until the block ends."""
    server = HubServer()
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": server}))
    server.url = "http://{}:{}".format(*httpd.server_address[:2])
    thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        httpd.shutdown()
        httpd.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self._route()

    do_HEAD = do_POST = do_PUT = do_GET

    def _route(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.hub.asked.append((self.command, path))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status = next((code for start, code in self.hub.answers.items() if path.startswith(start)), None)
        if status is not None:
            self._send(status, {"error": "as the test told"})
        elif path == "/api/repos/create":
            self._create()
        elif path == "/api/validate-yaml":
            self._send(200, {"errors": [], "warnings": []})
        elif path.startswith("/upload/"):
            self.hub.large[path.rpartition("/")[2]] = self.body
            self._send(200, {})
        elif path.endswith("/info/lfs/objects/batch"):
            self._batch()
        elif path.startswith("/api/models/"):
            self._model(*path.removeprefix("/api/models/").split("/", 2))
        else:
            self._file(*path.lstrip("/").split("/", 4))

    def _may(self, private: bool = True) -> bool:
        return not private or self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def _create(self) -> None:
        asked = json.loads(self.body)
        name = f"{asked['organization']}/{asked['name']}"
        if not self._may():
            self._send(403 if self.headers.get("Authorization") else 401, {"error": "no right to create"})
        elif name in self.hub.repositories:
            self._send(409, {"error": "it exists", "url": f"{self.hub.url}/{name}"})
        else:
            self.hub.repositories[name] = made = Repository(asked.get("visibility") == "private")
            made.commit({".gitattributes": b"*.safetensors filter=lfs\n"})
            self._send(200, {"url": f"{self.hub.url}/{name}"})

    def _batch(self) -> None:
        upload = {"upload": {"href": f"{self.hub.url}/upload/"}}
        objects = [
            {**one, "actions": {"upload": {"href": upload["upload"]["href"] + one["oid"]}}}
            for one in json.loads(self.body)["objects"]
        ]
        self._send(200, {"transfer": "basic", "objects": objects})

    def _model(self, owner: str, name: str, rest: str = "") -> None:
        found = self.hub.repositories.get(f"{owner}/{name}")
        if found is None or not self._may(found.private):
            self._send(404 if self.headers.get("Authorization") else 401, {"error": "none"}, "RepoNotFound")
            return
        verb, _, revision = rest.partition("/")
        at = found.at(revision.partition("/")[0] or "main")
        if at is None:
            self._send(404, {"error": "no such revision"}, "RevisionNotFound")
        elif verb in ("", "revision"):
            siblings = [{"rfilename": path} for path in found.commits[at]]
            self._send(200, {"id": f"{owner}/{name}", "sha": at, "private": found.private, "siblings": siblings})
        elif verb == "tree":
            rows = [{"type": "file", "path": p, "size": len(d), "oid": "0" * 40} for p, d in found.commits[at].items()]
            self._send(200, rows)
        elif not self._may():
            self._send(403, {"error": "read only"})
        elif verb == "preupload":
            files = json.loads(self.body)["files"]
            self._send(200, {"files": [self._mode(found.files, file["path"]) for file in files]})
        else:
            self._commit(found, f"{owner}/{name}")

    def _mode(self, there: dict[str, bytes], path: str) -> dict[str, object]:
        mode = "lfs" if path.endswith((".safetensors", ".png")) else "regular"
        data, oid = there.get(path), None
        if data is not None:
            git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
            oid = hashlib.sha256(data).hexdigest() if mode == "lfs" else git
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def _commit(self, found: Repository, name: str) -> None:
        files = dict(found.files)
        for line in self.body.splitlines():
            record = json.loads(line)
            value = record["value"]
            if record["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif record["key"] == "lfsFile":
                files[value["path"]] = self.hub.large[value["oid"]]
            elif record["key"] == "deletedFile":
                del files[value["path"]]
        made = found.commit(files)
        self._send(200, {"commitUrl": f"{self.hub.url}/{name}/commit/{made}", "commitOid": made})

    def _file(self, owner: str, name: str, word: str = "", revision: str = "", path: str = "") -> None:
        found = self.hub.repositories.get(f"{owner}/{name}")
        if word != "resolve" or found is None or not self._may(found.private):
            self._send(404 if self.headers.get("Authorization") else 401, {"error": "none"}, "RepoNotFound")
            return
        at = found.at(revision)
        if at is None:
            self._send(404, {"error": "none"}, "RevisionNotFound")
        elif path not in found.commits[at]:
            self._send(404, {"error": "none"}, "EntryNotFound")
        else:
            data = found.commits[at][path]
            headers = {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": at}
            headers["X-Linked-Size"] = str(len(data))
            self._answer(200, data[: len(data) - self.hub.shorter.get(path, 0)], headers)

    def _send(self, status: int, record: object, code: str = "") -> None:
        headers = {"Content-Type": "application/json"} | ({"X-Error-Code": code} if code else {})
        self._answer(status, json.dumps(record).encode(), headers)

    def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

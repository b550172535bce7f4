"""The Hugging Face hub on a loopback port: what `huggingface_hub` asks of it, and the faults it may meet.

`root/ORG/NAME/` is a model repository, `root/datasets/ORG/NAME/` a data set. The only branch is `main`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.conftest import sqbert

IN_LFS = (".safetensors", ".bin", ".parquet")
API = re.compile(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+)(?:/(.*))?)?")
FILE = re.compile(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)")
PREAMBLE = """
from sqbert_cli.errors import SqbertError

def show(function, *arguments, **options):
    try:
        print(function(*arguments, **options))
    except SqbertError as error:
        print(f"error: {error.message} | hint: {error.hint}")
"""


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None


@dataclass
class Hub:
    """What is served, the faults to come, and what was asked."""

    root: Path
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    cut_once: set[str] = field(default_factory=set)  # files whose next download ends in the middle
    damaged: set[str] = field(default_factory=set)  # files that arrive with one wrong byte
    extra: list[dict[str, Any]] = field(default_factory=list)  # of a listing, what is not there
    is_gated: bool = False

    def downloads(self) -> list[Request]:
        return [request for request in self.requests if request.method == "GET" and "/resolve/" in request.path]


@contextmanager
def serve(root: Path, certificate: Path | None = None) -> Iterator[Hub]:
    """Serve the repositories below `root` until the block ends; over TLS with a certificate and its key in one file."""
    hub = Hub(root)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, hub))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def commit_of(repository: Path) -> str:
    """A commit hash that changes with the content."""
    return hashlib.sha1(json.dumps(_tree(repository)).encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    timeout = 5  # seconds; lets the server end where a client keeps its connection open

    def __init__(self, hub: Hub, *args: Any) -> None:
        self.hub = hub
        super().__init__(*args)

    def log_message(self, *_: Any) -> None: ...

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.hub.requests.append(Request(self.command, unquote(path), self.headers.get("Range")))
        if match := API.fullmatch(path):
            kind, name, view, revision, folder = match.groups()
            repository = self._repository(kind == "datasets", name, revision)
            if repository:
                self._send_json(self._view(repository, name, view, unquote(folder or "")))
        elif match := FILE.fullmatch(path):
            is_data, name, revision, file = match.groups()
            repository = self._repository(bool(is_data), name, revision)
            if repository and self.hub.is_gated:
                self._send(b"", 403, {"X-Error-Code": "GatedRepo"})
            elif repository:
                self._send_file(repository, unquote(file))
        else:
            self._send(b"", 404)

    def _repository(self, is_data: bool, name: str, revision: str | None) -> Path | None:
        """Find it, or answer that there is none."""
        repository = self.hub.root / ("datasets" if is_data else "") / name
        if not repository.is_dir():
            self._send(b"", 404, {"X-Error-Code": "RepoNotFound"})
        elif revision not in (None, "main", commit_of(repository)):
            self._send(b"", 404, {"X-Error-Code": "RevisionNotFound"})
        else:
            return repository
        return None

    def _view(self, repository: Path, name: str, view: str | None, folder: str) -> Any:
        if view == "tree":
            everything = "recursive=true" in self.path.lower()
            return _tree(repository, "**/*" if everything else "*", folder) + self.hub.extra
        siblings = [_sibling(entry) for entry in _tree(repository) + self.hub.extra if entry["type"] == "file"]
        return {"id": name, "sha": commit_of(repository), "siblings": siblings}

    def _send_file(self, repository: Path, name: str) -> None:
        file = repository / name
        if not file.is_file():
            self._send(b"", 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit_of(repository)})
            return
        entry, content = _entry(repository, file), file.read_bytes()
        identity = entry.get("lfs", entry)["oid"]
        headers = {"X-Repo-Commit": commit_of(repository), "ETag": f'"{identity}"', "Accept-Ranges": "bytes"}
        if "lfs" in entry:
            headers |= {"X-Linked-ETag": f'"{identity}"', "X-Linked-Size": str(len(content))}
        if name in self.hub.damaged:
            content = content[:-1] + bytes([content[-1] ^ 1])
        status, start, end = 200, 0, len(content)
        if asked := re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            status, start, end = 206, int(asked[1]), int(asked[2] or end - 1) + 1
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(content)}"
        is_cut = self.command == "GET" and name in self.hub.cut_once
        self.hub.cut_once -= {name} if is_cut else set()
        self._send(content[start:end], status, headers, cut_after=len(content) // 2 if is_cut else None)

    def _send_json(self, values: Any) -> None:
        self._send(json.dumps(values).encode(), 200, {"Content-Type": "application/json"})

    def _send(
        self, body: bytes, status: int, headers: dict[str, str] | None = None, cut_after: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[:cut_after])


def _tree(repository: Path, pattern: str = "**/*", folder: str = "") -> list[dict[str, Any]]:
    return [_entry(repository, path) for path in sorted((repository / folder).glob(pattern))]


def _entry(repository: Path, path: Path) -> dict[str, Any]:
    name = path.relative_to(repository).as_posix()
    if path.is_dir():
        return {"type": "directory", "path": name, "size": 0, "oid": hashlib.sha1(name.encode()).hexdigest()}
    content = path.read_bytes()
    oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": oid}
    if path.suffix in IN_LFS:
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return entry


def _sibling(entry: dict[str, Any]) -> dict[str, Any]:
    sibling = {"rfilename": entry["path"], "size": entry["size"], "blobId": entry["oid"]}
    if lfs := entry.get("lfs"):
        sibling["lfs"] = {"sha256": lfs["oid"], "size": lfs["size"], "pointerSize": lfs["pointerSize"]}
    return sibling


def run(code: str, home: Path, url: str, **environment: str) -> Popen[str]:
    """Start Python on `code`, with everything it keeps below `home` and this server as the hub.

    `huggingface_hub` reads its environment once, when it is imported: hence a process for each scenario.
    """
    settings = {
        "HF_ENDPOINT": url,
        "HF_HOME": str(home / "hf"),
        "HF_HUB_CACHE": str(home / "hf/hub"),
        "SQBERT_CACHE": str(home / "sqbert"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DOWNLOAD_TIMEOUT": "3",
        "HF_HUB_ETAG_TIMEOUT": "3",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    return Popen(
        sqbert("-c", PREAMBLE + code),
        env={**os.environ, "HF_HUB_OFFLINE": "0", **settings, **environment},
        stdout=PIPE,
        stderr=PIPE,
        text=True,
    )


def lines(process: Popen[str]) -> list[str]:
    """Wait for a process of `run` and return what it printed."""
    output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    return output.splitlines()

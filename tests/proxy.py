"""A proxy on a loopback port, as HTTP_PROXY and HTTPS_PROXY name one: the only way to the hub behind it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import urlsplit


@dataclass
class Proxy:
    """Where it listens, the port of what is behind it, and what was asked."""

    port: int
    url: str = ""
    asked: list[str] = field(default_factory=list)


@contextmanager
def serve_proxy(port: int) -> Iterator[Proxy]:
    """Lead whatever is asked for, under whichever name, to a loopback port."""
    proxy = Proxy(port)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, proxy))
    server.daemon_threads = True
    proxy.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield proxy
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = 5

    def __init__(self, proxy: Proxy, *args: Any) -> None:
        self.proxy = proxy
        super().__init__(*args)

    def log_message(self, *_: Any) -> None: ...

    def do_GET(self) -> None:
        self._forward()

    def do_HEAD(self) -> None:
        self._forward()

    def do_CONNECT(self) -> None:
        self.proxy.asked.append(f"CONNECT {self.path}")
        with socket.create_connection(("127.0.0.1", self.proxy.port)) as behind:
            self.send_response(200)
            self.end_headers()
            back = Thread(target=_pipe, args=(behind, self.connection))
            back.start()
            _pipe(self.connection, behind)
            back.join()
        self.close_connection = True

    def _forward(self) -> None:
        self.proxy.asked.append(f"{self.command} {self.path}")
        target = urlsplit(self.path)
        connection = HTTPConnection("127.0.0.1", self.proxy.port, timeout=5)
        path = f"{target.path}?{target.query}" if target.query else target.path
        connection.request(self.command, path, headers=dict(self.headers))
        answer = connection.getresponse()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("date", "server"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.read())
        connection.close()


def _pipe(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while some := source.recv(1 << 16):
            target.sendall(some)
        target.shutdown(socket.SHUT_WR)

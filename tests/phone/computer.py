"""The computer that a phone is plugged into: a network of its own, adb, and what the tests run there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

from tests.conftest import ROOT, sqbert

from . import clients
from .namespace import Namespace, wait_until

SERVER_PORT = 5137  # in a network apart, so that runs never collide
FOREIGN = ("ANDROID_SERIAL", "ANDROID_ADB_SERVER_ADDRESS", "ADB_SERVER_SOCKET", "ADB_TRACE", "SSH_AUTH_SOCK")


class Computer:
    """Everything of it that is no program is below `home`."""

    def __init__(self, home: Path, namespace: Namespace) -> None:
        self.home, self.namespace = home, namespace
        self.clients = clients.write_clients(home)
        self.adb_path = self.clients["adb-29"]
        self.ssh_key = clients.write_keys(home)
        self._started: list[subprocess.Popen[Any]] = []

    def environment(self, **changes: str) -> dict[str, str]:
        """What a command finds around it."""
        own = {
            "HOME": str(self.home),
            "PATH": f"{self.home}/bin:{os.environ['PATH']}",
            "SQBERT_ADB": str(self.adb_path),
            "ANDROID_ADB_SERVER_PORT": str(SERVER_PORT),
            "ANDROID_ADB_LOG_PATH": f"{self.home}/adb.log",
        }
        return {name: value for name, value in os.environ.items() if name not in FOREIGN} | own | changes

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        stdin: bytes = b"",
        timeout: float = 300,
        **options: Any,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command."""
        return subprocess.run(
            self.namespace.on_computer(argv),
            env=self.environment(**(env or {})),
            input=stdin,
            capture_output=True,
            timeout=timeout,
            **options,
        )

    def sqbert(self, *words: str | Path) -> subprocess.CompletedProcess[bytes]:
        """Run our command to its end, forked from a process in the phone's network."""
        return self.run(self.forked(*words), cwd=ROOT, timeout=900)

    def forked(self, *words: str | Path) -> list[str]:
        return sqbert(*words, inside=tuple(self.namespace.on_computer([])))

    def start(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None, **options: Any
    ) -> subprocess.Popen[Any]:
        """Start a command. The process is the command's own, so that signals reach it."""
        process = subprocess.Popen(self.namespace.on_computer(argv), env=self.environment(**(env or {})), **options)
        self._started.append(process)
        return process

    def end_started(self) -> None:
        """Kill what `start` started and still runs."""
        for process in self._started:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe:
                    pipe.close()
        self._started.clear()

    def adb(self, *words: str | Path, **options: Any) -> subprocess.CompletedProcess[bytes]:
        return self.run([self.adb_path, *words], **options)

    def use(self, client: str) -> None:
        """Go on with the client (and a server) of `adb-29` or of `adb-34`; all phones have to be connected anew."""
        if self.adb_path != self.clients[client]:
            self.adb("kill-server")
            self.adb_path = self.clients[client]

    def devices(self) -> str:
        return self.adb("devices", "-l").stdout.decode()

    def state(self, serial: str) -> str:
        return self.adb("-s", serial, "get-state").stdout.decode().strip()

    def forwards(self) -> list[str]:
        return self.adb("forward", "--list").stdout.decode().strip().splitlines()

    def connect(self, serial: str) -> None:
        """Plug a phone in: tell adb's server where it is, until it says that it is there."""

        def is_there() -> bool:
            if self.state(serial) == "device":
                return True
            self.adb("connect", serial)
            return False

        wait_until(is_there, f"`adb connect {serial}`")

    def start_stub(self, state: str, port: int) -> str:
        """Plug in a phone that stays `unauthorized` or `offline`. Returns its serial."""
        serial = f"127.0.0.1:{port}"
        stub = self.start([sys.executable, Path(__file__).with_name("stub.py"), state, str(port)], stdout=PIPE)
        stub.stdout.readline()
        self.start([self.adb_path, "connect", serial], stdout=DEVNULL, stderr=DEVNULL)  # waits for 10 s in vain

        def is_listed() -> bool:
            return any(line.split()[:2] == [serial, state] for line in self.devices().splitlines())

        wait_until(is_listed, f"{serial} {state}")
        return serial

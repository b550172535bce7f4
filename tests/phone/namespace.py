"""The namespaces of one phone, as the tests see them: start, enter, look in, stop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tests.procs import pids

PACKAGES_ROOT = Path(__file__).parents[2]
ANDROID_PATH = "/product/bin:/system_ext/bin:/system/bin:/system/xbin:/odm/bin:/vendor/bin:/vendor/xbin"


NSENTER = shutil.which("nsenter") or "nsenter"  # whatever PATH the phone has


class PhoneError(Exception):
    """A phone could not be made, or does not do what it should."""


@dataclass(frozen=True)
class Process:
    pid: int  # on the machine
    command: str


class Namespace:
    """A root, processes and a network apart, kept by `keeper.py`."""

    def __init__(self, plan: Mapping[str, object]) -> None:
        self.has_users = plan["kind"] == "arm64"
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.keeper", json.dumps(plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=PACKAGES_ROOT,
            start_new_session=True,  # Ctrl-C ends the tests, and they end it
        )
        lines = sorted(self._line() for _ in range(2))
        if lines[1] != "ready":
            self.stop()
            raise PhoneError(" ".join(lines))
        self.first = int(lines[0])
        self.root = Path(f"/proc/{self.first}/root")
        self._identity = os.stat(f"/proc/{self.first}/ns/pid").st_ino

    def _line(self) -> str:
        assert self._keeper.stdout
        return self._keeper.stdout.readline().strip()

    def stop(self) -> None:
        """End all that runs in the namespaces, and with it its mounts."""
        self._keeper.communicate()

    def on_computer(self, argv: Sequence[str | Path]) -> list[str]:
        """The command line that runs a program of the machine in the phone's network. Its pid stays the same."""
        return [NSENTER, f"--net=/proc/{self.first}/ns/net", "--", *map(str, argv)]

    def on_phone(self, argv: Sequence[str], user: int = 0) -> list[str]:
        """The command line that runs a program of the phone on the phone."""
        where = ["--mount", "--net", "--pid", "--root", *(["--user"] if self.has_users else [])]
        return [NSENTER, f"--target={self.first}", *where, f"--setuid={user}", f"--setgid={user}", "--", *argv]

    def start_on_phone(
        self, argv: Sequence[str], user: int, environment: Mapping[str, str], log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            self.on_phone(argv, user),
            env={"PATH": ANDROID_PATH, "HOME": "/", "ANDROID_ROOT": "/system", "ANDROID_DATA": "/data", **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def mount(self, *words: str) -> None:
        """Mount (or `umount`) with the machine's own programs: below roots.BASE is the phone's root."""
        users = ["--user"] if self.has_users else []
        subprocess.run([NSENTER, f"--target={self.first}", "--mount", *users, "--", *words], check=True)

    def processes(self) -> list[Process]:
        """All that runs on the phone but its first process."""
        found = (self._process(pid) for pid in pids() if pid != self.first)
        return [process for process in found if process]

    def _process(self, pid: int) -> Process | None:
        with suppress(OSError):
            if os.stat(f"/proc/{pid}/ns/pid").st_ino == self._identity:
                words = Path(f"/proc/{pid}/cmdline").read_bytes().rstrip(b"\0").decode(errors="replace").split("\0")
                if words[0].endswith("qemu-aarch64-static"):
                    words = words[1:]
                return Process(pid, " ".join(words)) if words != [""] else None  # a dead one has no command
        return None

    def environment(self, pid: int) -> list[str]:
        with suppress(OSError):
            return Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
        return []


def kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_until(is_so: Callable[[], object], what: str, seconds: float = 60) -> None:
    """Ask again and again; the machine may be busy."""
    end = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > end:
            raise PhoneError(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.02)

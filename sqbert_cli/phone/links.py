"""Ways to run a command on a phone. All that a link can do is run one; files travel through its stdin and stdout."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from shlex import quote
from subprocess import PIPE
from typing import Protocol

from sqbert_cli.phone.adb import GONE, ask, complaint
from sqbert_cli.phone.problems import PhoneError, Status

TERMUX = "com.termux"
PREFIX = f"/data/data/{TERMUX}/files/usr"
TERMUX_HOME = f"/data/data/{TERMUX}/files/home"
CACHE = ".cache/sqbert-bench"
"""Below the home folder there: not where a sqbert of that machine keeps its models."""
SSHD_PORT = 8022
SHORT = 300.0
"""Seconds for a command that should take few: a hash of large weights on a slow phone."""
END = "SQBERT-END"
SSH_OPTIONS = ("-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=10")


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str
    seconds: float = 0.0


class Link(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def folder(self) -> str:
        """Where files of ours may be, on the phone."""
        ...

    @property
    def remedy(self) -> str:
        """What is to be tried where it breaks."""
        ...

    def argv(self, command: str) -> list[str]:
        """The command of this computer that runs a shell command there."""
        ...

    def problem(self, ran: Ran) -> PhoneError | None:
        """What the link itself complains of."""
        ...


@dataclass(frozen=True)
class AdbLink:
    """`adb shell`. adb joins its arguments with spaces, so that the command is always one."""

    adb: str
    serial: str
    folder: str = "/data/local/tmp/sqbert"
    name: str = "adb shell"
    remedy: str = GONE

    def argv(self, command: str) -> list[str]:
        return [self.adb, "-s", self.serial, "shell", command]

    def problem(self, ran: Ran) -> PhoneError | None:
        return complaint(ran.err) if ran.status else None


@dataclass(frozen=True)
class RunAsLink(AdbLink):
    """As Termux, through `run-as`, which its debuggable builds (GitHub's) allow."""

    folder: str = f"{TERMUX_HOME}/{CACHE}"
    name: str = "run-as com.termux"
    remedy: str = f"{GONE}; or did Android end Termux? Keep it in front, with `termux-wake-lock`"

    def argv(self, command: str) -> list[str]:
        inside = f"export PREFIX={PREFIX} HOME={TERMUX_HOME} PATH={PREFIX}/bin:$PATH; cd; {command}"
        return super().argv(f"run-as {TERMUX} {PREFIX}/bin/sh -c {quote(inside)}")


@dataclass(frozen=True)
class SshLink:
    """A shell through ssh: of Termux behind `adb forward`, or of a Linux machine."""

    host: str
    options: tuple[str, ...] = ()
    folder: str = CACHE
    name: str = "ssh"
    remedy: str = "try `ssh HOST true`: it must work without a password, and know the host's key"
    status: Status = Status.LOST
    """Of an error of ssh itself."""

    def argv(self, command: str) -> list[str]:
        return [program("ssh", self.status), *SSH_OPTIONS, *self.options, self.host, f"exec sh -c {quote(command)}"]

    def problem(self, ran: Ran) -> PhoneError | None:
        if ran.status != 255:
            return None
        if "IDENTIFICATION HAS CHANGED" in ran.err:
            return PhoneError(
                Status.HOST_KEY,
                f"{self.host} has another host key than before: another phone, or Termux was installed anew",
                f"if that is so, remove the old key: {self._forget()}",
            )
        return PhoneError(self.status, f"ssh to {self.host} failed: {_last(ran.err)}", self.remedy)

    def _forget(self) -> str:
        names = dict(option.split("=", 1) for option in self.options if "=" in option)
        file = names.get("UserKnownHostsFile", "").strip('"')
        host = names.get("HostKeyAlias", self.host.rpartition("@")[2])
        return f"`ssh-keygen {f'-f {quote(file)} ' if file else ''}-R {host}`"


@dataclass(frozen=True)
class SshFiles:
    """What is kept of the way into Termux, on this computer."""

    folder: Path
    key: Path = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self.folder / "termux_key")

    def options(self, serial: str, port: int) -> tuple[str, ...]:
        own = (f'UserKnownHostsFile="{self.folder / "known_hosts"}"', f"HostKeyAlias=sqbert-{serial}")
        chosen = [*own, "StrictHostKeyChecking=accept-new"]
        key = ("-i", str(self.key), "-o", "IdentitiesOnly=yes") if self.key.is_file() else ()
        return ("-p", str(port), *key, *(part for option in chosen for part in ("-o", option)))


@contextmanager
def forwarded(adb: str, serial: str, port: int) -> Iterator[int]:
    """A port of this computer that leads to one of the phone; taken away again."""
    own = int(ask(adb, "-s", serial, "forward", "tcp:0", f"tcp:{port}").strip())
    try:
        yield own
    finally:
        with suppress(subprocess.TimeoutExpired):
            subprocess.run([adb, "-s", serial, "forward", "--remove", f"tcp:{own}"], capture_output=True, timeout=30)


def run(link: Link, command: str, *, source: Path | None = None, timeout: float = SHORT) -> Ran:
    """Run a command on the phone, with a file as its stdin. Raises `PhoneError` where the link itself fails."""
    with open(source or os.devnull, "rb") as stdin:
        return _ended(link, subprocess.Popen(link.argv(command), stdin=stdin, stdout=PIPE, stderr=PIPE), timeout)


def run_whole(link: Link, command: str, *, source: Path | None = None, timeout: float = SHORT) -> Ran:
    """Run a command that comes to its end or says why not: adb 29 ends with 0 where the phone vanished."""
    ran = run(link, f"{{ {command.strip()}; }} && echo {END}", source=source, timeout=timeout)
    out = ran.out.rstrip()
    if not out.endswith(END) and not (ran.status and ran.err.strip()):
        raise PhoneError(Status.LOST, f"{link.name}: no answer any more", link.remedy)
    return replace(ran, out=out.removesuffix(END))


def run_alive(link: Link, command: str, timeout: float) -> Ran:
    """Run a command whose stdin stays open as long as this process lives: its end tells the phone that we are gone."""
    reading, writing = os.pipe()
    try:
        process = subprocess.Popen(link.argv(command), stdin=reading, stdout=PIPE, stderr=PIPE)
        os.close(reading)
        return _ended(link, process, timeout)
    finally:
        os.close(writing)


def _ended(link: Link, process: subprocess.Popen[bytes], timeout: float) -> Ran:
    began = time.monotonic()
    with process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise PhoneError(
                Status.TOO_LONG, f"{link.name}: no end after {timeout:.0f} seconds", "is the phone busy, or asleep?"
            ) from None
        finally:
            process.kill()
    seconds = time.monotonic() - began
    ran = Ran(process.returncode, out.decode(errors="replace"), err.decode(errors="replace"), seconds)
    if problem := link.problem(ran):
        raise problem
    return ran


def program(name: str, status: Status) -> str:
    """Return the path of a program of OpenSSH on this computer. Raises `PhoneError` where there is none."""
    if found := shutil.which(name):
        return found
    raise PhoneError(
        status,
        f"there is no `{name}` on this computer",
        "install OpenSSH's client (Debian: `apt install openssh-client`)",
    )


def _last(said: str) -> str:
    return (said.strip().splitlines() or ["no reason given"])[-1]

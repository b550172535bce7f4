"""The process that keeps one phone: it makes the namespaces and, when its standard input ends, leaves nothing of them.

The tests hold the other end of that pipe, so that this happens too where they are killed.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tests.procs import pids

from . import roots

NEW_MOUNTS, NEW_USERS, NEW_PIDS, NEW_NETWORK = 0x00020000, 0x10000000, 0x20000000, 0x40000000
PARENT_DEATH_SIGNAL = 1
SET_FLAGS, UP = 0x8914, 0x1
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Print the pid of the phone's first process, then `ready`, or the reason why not."""
    plan = json.loads(sys.argv[1])
    os.umask(0o022)
    outer = _begin(lambda: roots.make(**plan), own_users=plan["kind"] == "arm64")
    sys.stdin.buffer.read()
    network = _network(outer)
    os.kill(outer, signal.SIGKILL)  # the first process dies with it, and so do all of its namespace
    os.waitpid(outer, 0)
    while network and (left := [pid for pid in pids() if _network(pid) == network]):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _begin(build: Callable[[], None], own_users: bool) -> int:
    """Fork a process that makes the namespaces and forks the first process in them."""
    requests, answers = os.pipe(), os.pipe()
    outer = os.fork()
    if outer == 0:
        _call(LIBC.prctl, PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if own_users:
            _call(LIBC.unshare, NEW_USERS)
        os.write(requests[1], b".")
        os.read(answers[0], 1)
        _call(LIBC.unshare, NEW_MOUNTS | NEW_PIDS | NEW_NETWORK)
        _fork_first(build)
    os.read(requests[0], 1)
    if own_users:
        for name in ("uid_map", "gid_map"):
            Path(f"/proc/{outer}/{name}").write_text("0 0 65536")
    os.write(answers[1], b".")
    return outer


def _fork_first(build: Callable[[], None]) -> None:
    first = os.fork()
    if first == 0:
        _call(LIBC.prctl, PARENT_DEATH_SIGNAL, signal.SIGKILL)
        try:
            _raise_loopback()
            build()
            print("ready", flush=True)
        except BaseException:
            print(traceback.format_exc().replace("\n", " | "), flush=True)
            os._exit(1)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # orphans are reaped
        while True:
            signal.pause()
    print(first, flush=True)
    os.waitpid(first, 0)
    signal.pause()


def _raise_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh", b"lo", UP))


def _network(pid: int) -> int | None:
    with suppress(OSError):
        return os.stat(f"/proc/{pid}/ns/net").st_ino
    return None


def _call(function: Callable[..., int], *arguments: int) -> None:
    if function(*arguments):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main()

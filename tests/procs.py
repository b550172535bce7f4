"""Processes of this machine, which come and go while they are looked at."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path


def pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def writers(start: str) -> Iterator[int]:
    """Those that have files open whose names begin so; one for each such file."""
    for pid in pids():
        for name in _names(f"/proc/{pid}/fd"):
            with suppress(OSError):
                if os.readlink(f"/proc/{pid}/fd/{name}").startswith(start):
                    yield pid


def command_lines() -> Iterator[bytes]:
    for pid in pids():
        with suppress(OSError):
            yield Path(f"/proc/{pid}/cmdline").read_bytes()


def _names(folder: str) -> list[str]:
    with suppress(OSError):
        return os.listdir(folder)
    return []

"""Phones leave nothing on the machine, however their tests end."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.procs import pids

from .namespace import wait_until
from .phone import overlay_phone

pytestmark = [pytest.mark.phones, pytest.mark.usefixtures("phone")]  # skipped where there can be none
ROOT = Path(__file__).parents[2]


def test_nothing_is_left(tmp_path: Path) -> None:
    mounts = Path("/proc/self/mounts").read_text()
    with overlay_phone(tmp_path) as phone:
        network = os.stat(f"/proc/{phone.namespace.first}/ns/net").st_ino
        assert len(_members(network)) > 2
        phone.start([sys.executable, "-c", "import time; time.sleep(1000)"])
    assert _members(network) == []
    assert Path("/proc/self/mounts").read_text() == mounts
    assert not Path("/data/local/tmp").exists()


def test_nothing_is_left_by_tests_that_are_killed(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from tests.phone.phone import overlay_phone\n"
        "with overlay_phone(Path(sys.argv[1])) as phone:\n"
        "    print(os.stat(f'/proc/{phone.namespace.first}/ns/net').st_ino, flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout
        network = int(tests.stdout.readline())
        assert len(_members(network)) > 2
        tests.kill()
    wait_until(lambda: not _members(network), "all gone")


def _members(network: int) -> list[str]:
    """The processes that are in a network namespace."""
    found = []
    for pid in pids():
        try:
            if os.stat(f"/proc/{pid}/ns/net").st_ino == network:
                found.append(Path(f"/proc/{pid}/cmdline").read_text())
        except OSError:
            continue  # it has ended
    return found

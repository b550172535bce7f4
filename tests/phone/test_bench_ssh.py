"""`sqbert bench --device ssh:HOST`: a real sshd, behind which everything runs on the emulated arm64."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from sqbert_cli.phone.problems import Status

from .android import SHELL
from .namespace import ANDROID_PATH, wait_until
from .phone import Phone

pytestmark = pytest.mark.phones
PORT = 2222
HOST = f"""
Host board
    HostName 127.0.0.1
    Port {PORT}
    User root
"""


@pytest.fixture
def board(arm64: Phone, tmp_path: Path) -> Phone:
    """The arm64 phone as a Linux machine: its sshd is of this machine, and all that it begins is begun there."""
    inside = shlex.join(arm64.namespace.on_phone(["/system/bin/sh", "-c"], SHELL))
    script = tmp_path / "enter"
    shell = f"export HOME=/data/local/tmp PATH={ANDROID_PATH}; cd"
    script.write_text(f'#!/bin/sh\nexec {inside} "{shell}; $SSH_ORIGINAL_COMMAND"\n')
    script.chmod(0o755)
    settings = tmp_path / "sshd_config"
    settings.write_text(
        f"Port {PORT}\nListenAddress 127.0.0.1\nUsePAM no\nPasswordAuthentication no\nPidFile none\nStrictModes no\n"
        f"HostKey {arm64.home}/host_key\nAuthorizedKeysFile {arm64.ssh_key}.pub\nPermitRootLogin yes\n"
        f"ForceCommand {script}\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # which sshd wants as root
    log = tmp_path / "sshd.log"
    arm64.start(["/usr/sbin/sshd", "-D", "-E", log, "-f", settings])
    wait_until(lambda: log.is_file() and "Server listening" in log.read_text(), "sshd")
    config = arm64.home / ".ssh" / "config"
    if "Host board" not in config.read_text():
        config.write_text(HOST + "    StrictHostKeyChecking accept-new\n" + config.read_text())
    return arm64


def bench(board: Phone, *words: str) -> tuple[int, str, str]:
    ended = board.sqbert("bench", "--lengths", "16", *words)
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


def test_an_arm64_machine_by_ssh(board: Phone, make_model: Callable[..., Path], tmp_path: Path) -> None:
    words = ("--device", "ssh:board", "--models", str(make_model(vocab_size=120)), "--runs", "10", "--threads", "2")
    status, out, err = bench(board, *words, "--json", str(tmp_path / "board.json"))
    assert status == 0, err
    assert "native, 2 threads, on aarch64" in out
    report = json.loads((tmp_path / "board.json").read_text())
    assert report["measurements"][0]["difference"] < 1e-4
    assert all("/weights/" in name for name in board.files())
    assert not [process for process in board.processes() if "sqbert-phone" in process.command]


def test_a_machine_that_cannot_be_reached(board: Phone, tiny_model: Path) -> None:
    status, _, err = bench(board, "--device", "ssh:nowhere.invalid", "--models", str(tiny_model))
    assert status == Status.LOST
    assert "ssh to nowhere.invalid failed" in err
    status, _, err = bench(board, "--device", "ssh:board", "--runtime", "both", "--models", str(tiny_model))
    assert status == Status.NO_TERMUX
    assert "leave out `--runtime`" in err

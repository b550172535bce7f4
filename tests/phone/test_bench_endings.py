"""A measurement of a phone that ends before its time, and what is left of it there."""

from __future__ import annotations

import signal
import subprocess

import pytest

from sqbert_cli.phone.links import CACHE
from sqbert_cli.phone.problems import Status
from tests.conftest import ROOT

from .android import FILES
from .benches import BOTH_CLIENTS, arguments, begin, bench, is_clean, running, weights_only
from .namespace import kill, wait_until
from .phone import Phone

pytestmark = pytest.mark.phones


@BOTH_CLIENTS
def test_a_phone_that_is_lost_in_the_middle(phone: Phone, models: str) -> None:
    process = begin(phone, models, "--runtime", "termux")
    phone.kill_adbd()
    _, said = process.communicate(timeout=60)
    assert process.returncode in (Status.LOST, Status.OFFLINE), said.decode()
    wait_until(lambda: not phone.processes() and weights_only(phone), "a clean phone")
    phone.start_adbd()
    assert is_clean(phone)


@pytest.mark.parametrize(
    ("sent", "status"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGHUP, 130)],
)
def test_the_computers_side_is_ended(phone: Phone, models: str, sent: signal.Signals, status: int) -> None:
    process = begin(phone, models, "--runtime", "termux")
    process.send_signal(sent)
    process.communicate(timeout=60)
    assert process.returncode == status
    wait_until(lambda: is_clean(phone), "a clean phone")


def test_the_computer_is_gone_while_it_sends(phone: Phone) -> None:
    process = phone.start(
        phone.forked(*arguments("squeezebert-base", "--runtime", "termux")), cwd=ROOT, stderr=subprocess.PIPE
    )
    wait_until(lambda: any(name.endswith(".part") for name in phone.files()), "a file under way")
    process.kill()
    wait_until(lambda: is_clean(phone), "a clean phone")


@BOTH_CLIENTS
def test_the_phone_is_lost_while_it_gets_weights(phone: Phone) -> None:
    process = phone.start(
        phone.forked(*arguments("squeezebert-base", "--runtime", "termux")), cwd=ROOT, stderr=subprocess.PIPE
    )
    wait_until(lambda: any(name.endswith(".part") for name in phone.files()), "a file under way")
    phone.kill_adbd()
    _, said = process.communicate(timeout=60)
    assert process.returncode in (Status.LOST, Status.OFFLINE), said.decode()
    phone.start_adbd()
    wait_until(lambda: is_clean(phone), "a clean phone")


def test_the_forward_is_gone_after_a_signal(phone: Phone, models: str) -> None:
    phone.install_termux(debuggable=False)
    phone.start_sshd()
    process = begin(phone, models, "--runtime", "termux")
    assert phone.forwards()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130
    wait_until(lambda: is_clean(phone), "a clean phone")


def test_what_dead_jobs_left_is_swept(phone: Phone, models: str) -> None:
    dead = "mkdir -p job-dead; cd job-dead; echo 999999 > shell; echo x > result.json"
    phone.shell(f"cd /data/local/tmp; mkdir sqbert; cd sqbert; {dead}")
    home = f"cd files/home; mkdir -p {CACHE}; cd {CACHE}"
    phone.shell(f"run-as com.termux /{FILES}/usr/bin/sh -c '{home}; {dead}'")
    assert any("job-dead" in name for name in phone.files())
    bench(phone, models, "--runtime", "both", "--check")
    assert not any("home" in name and "job-dead" in name for name in phone.files())


def test_a_run_that_android_kills(phone: Phone, models: str) -> None:
    process = begin(phone, models, "--runtime", "termux")

    def own() -> list[int]:
        return [one.pid for one in phone.processes() if "--lifeline" in one.command and "timeout" not in one.command]

    wait_until(own, "the program itself, behind the shell that starts it")
    kill(own())
    _, said = process.communicate(timeout=60)
    assert process.returncode == Status.RUNNER_FAILED, said.decode()
    assert b"the system killed the run" in said
    wait_until(lambda: is_clean(phone), "a clean phone")


def test_a_second_run_is_refused(phone: Phone, models: str) -> None:
    begin(phone, models, "--runtime", "termux")
    ended = bench(phone, models, "--runtime", "termux", "--check")
    assert ended.returncode == Status.RUNNER_FAILED
    assert b"another run of sqbert is under way" in ended.stderr
    assert running(phone)


def test_purge_leaves_nothing(phone: Phone, models: str) -> None:
    assert bench(phone, models, "--runtime", "termux", "--check").returncode == 0
    assert phone.files()
    ended = bench(phone, models, "--runtime", "termux", "--check", "--purge")
    assert ended.returncode == 0
    assert b"ok  purge: nothing of ours is left there" in ended.stderr
    assert phone.files() == []


def test_a_damaged_cache_is_sent_again_and_a_purge_that_fails_is_told(phone: Phone, models: str) -> None:
    assert bench(phone, models, "--runtime", "termux", "--check").returncode == 0
    phone.path(phone.files()[0]).write_bytes(b"x")
    assert bench(phone, models, "--runtime", "termux", "--check").returncode == 0
    phone.install_termux(debuggable=False)  # its sshd does not run
    ended = bench(phone, models, "--runtime", "termux", "--check", "--purge")
    assert ended.returncode == Status.NO_TERMUX
    assert b"--  purge: weights may still be there: ssh to 127.0.0.1 failed" in ended.stderr

"""`sqbert bench --device pixel3` against phones whose every part but the silicon is real."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from sqbert_cli.phone.problems import Status

from .benches import BOTH_CLIENTS, bench, big_cores, failed, is_clean
from .phone import Phone

pytestmark = pytest.mark.phones


@BOTH_CLIENTS
def test_check_does_all_but_the_measurement(phone: Phone, models: str) -> None:
    ended = bench(phone, models, "--check", "--runtime", "termux")
    assert ended.returncode == 0, ended.stderr.decode()
    lines = ended.stderr.decode().splitlines()
    assert [line[4:].split(":")[0] for line in lines] == [
        "phone",
        "conditions",
        "termux",
        "weights",
        "termux, 1 thread",
    ]
    assert all(line.startswith("ok  ") for line in lines)
    assert "through run-as com.termux" in lines[2]
    assert ended.stdout == b""
    assert is_clean(phone)


def test_a_whole_report_of_termux(phone: Phone, models: str, tmp_path: Path) -> None:
    words = ("--runtime", "termux", "--runs", "12", "--threads", "1,2", "--json", str(tmp_path / "a.json"))
    ended = bench(phone, models, *words)
    assert ended.returncode == 0, ended.stderr.decode()
    shown = " ".join(ended.stdout.decode().split())
    assert "Google Pixel 3 (sdm845, x86_64) (not a Pixel 3)" in shown  # whatever it calls itself
    assert "termux, 2 threads, on x86_64: " in shown
    report = json.loads((tmp_path / "a.json").read_text())
    assert [one["case"]["shape"]["threads"] for one in report["measurements"]] == [1, 1, 2, 2]
    assert all(len(one["times_ms"]) == 12 and one["difference"] < 1e-4 for one in report["measurements"])
    assert len(report["conditions"]) == 5  # at the start, before and after each of two runs
    run = report["runs"][0]
    assert run["is_pinned"]
    assert set(run["result"]["affinity"]) <= set(big_cores(phone))
    assert run["result"]["watched"] == [[2803200] * len(big_cores(phone))] * 12
    assert report["phone"]["build"].startswith("google/blueline")
    assert is_clean(phone)
    again = bench(
        phone, models, "--runtime", "termux", "--runs", "12", "--compare", str(tmp_path / "a.json"), "--markdown"
    )
    assert b"| model" in again.stdout
    assert b"\n- termux, 1 thread, on x86_64: " in again.stdout
    assert b"at first: battery 87 %" in again.stdout


def test_through_sshd_where_run_as_is_refused(phone: Phone, models: str) -> None:
    phone.install_termux(debuggable=False)
    status, said = failed(phone, models, "--runtime", "termux", "--check")
    assert status == Status.NO_TERMUX
    assert "its sshd must run" in said
    setup = phone.sqbert("bench", "--device", "pixel3", "--setup")
    key = setup.stdout.decode().split("echo '")[1].split("'")[0]
    assert key.startswith("ssh-ed25519 ")
    phone.start_sshd(key)
    away = phone.ssh_key.rename(phone.ssh_key.with_suffix(".away"))  # only the key of --setup is of use
    ended = bench(phone, models, "--runtime", "termux", "--check")
    away.rename(phone.ssh_key)
    assert ended.returncode == 0, ended.stderr.decode()
    assert b"through Termux's sshd" in ended.stderr
    assert is_clean(phone)


def test_check_goes_on_after_a_problem(phone: Phone, models: str) -> None:
    phone.replace(*EMPTY)
    status, said = failed(phone, models, "--check", "--runtime", "both")
    assert status == Status.CONDITIONS
    assert "--  conditions: the phone is not fit to be measured: its battery is at 12 %" in said
    assert "charge it" in said
    assert "--  native: the native program is for arm64, and this is x86_64" in said
    assert "ok  termux, 1 thread: logits as on this computer" in said
    assert "problems: 2" in said


def test_a_phone_that_hides_its_clock(phone: Phone, models: str) -> None:
    for path in phone.path("/sys/devices/system/cpu").glob("cpu*/cpufreq/*"):
        path.write_text("")
    ended = bench(phone, models, "--runtime", "termux", "--runs", "10")
    assert ended.returncode == 0, ended.stderr.decode()
    assert "not pinned to the big cores" in " ".join(ended.stdout.decode().split())


def test_a_phone_whose_screen_is_off(phone: Phone, models: str) -> None:
    phone.replace("/system/dumpsys.power", "mWakefulness=Awake", "mWakefulness=Asleep")
    status, said = failed(phone, models)
    assert status == Status.CONDITIONS
    assert "wake it" in said


def test_termux_without_torch(phone: Phone, models: str) -> None:
    phone.write("/data/data/com.termux/files/usr/bin/python", '#!/bin/sh\nexec /system/python -S "$@"\n')
    status, said = failed(phone, models, "--runtime", "termux")
    assert status == Status.NO_TORCH, said
    assert "pkg install python-torch" in said


def test_no_termux(phone: Phone, models: str) -> None:
    phone.remove_termux()
    status, said = failed(phone, models, "--runtime", "termux")
    assert status == Status.NO_TERMUX
    assert "--setup" in said
    status, said = failed(phone, models)
    assert status == Status.WRONG_ARCHITECTURE, said


def test_two_phones_and_none(phone: Phone, models: str) -> None:
    other = phone.start_adbd(6557)
    status, said = failed(phone, models)
    assert status == Status.SEVERAL
    assert phone.serial in said
    assert other in said
    assert bench(phone, models, "--runtime", "termux", "--check", "--serial", phone.serial).returncode == 0
    for port in (6555, 6557):
        phone.kill_adbd(port)
    phone.adb("disconnect")
    began = time.monotonic()
    ended = bench(phone, models)
    assert ended.returncode == Status.NO_PHONE
    assert b"adb sees no phone" in ended.stderr
    assert time.monotonic() - began < 10  # under one where nothing else runs


@pytest.mark.parametrize(("state", "status"), [("unauthorized", Status.UNAUTHORIZED), ("offline", Status.OFFLINE)])
def test_phones_that_cannot_be_asked(phone: Phone, models: str, state: str, status: Status) -> None:
    serial = phone.start_stub(state, 6559)
    ended = bench(phone, models, "--serial", serial)
    assert ended.returncode == status, ended.stderr.decode()


def test_another_phone_is_refused_or_labelled(phone: Phone, models: str) -> None:
    phone.replace("/system/build.prop", "ro.product.device=blueline", "ro.product.device=walleye")
    status, said = failed(phone, models)
    assert status == Status.WRONG_PHONE
    assert "walleye" in said
    ended = bench(phone, models, "--any-device", "--runtime", "termux", "--runs", "10")
    assert ended.returncode == 0, ended.stderr.decode()
    assert b"(not a Pixel 3)" in ended.stdout


HOT = ("/system/dumpsys.battery", "temperature: 271", "temperature: 412")
EMPTY = ("/system/dumpsys.battery", "level: 87", "level: 12")


def test_a_phone_in_bad_condition(phone: Phone, models: str) -> None:
    for change, told in ((EMPTY, "at 12 %"), (HOT, "41.2 °C")):
        phone.replace(*change)
        status, said = failed(phone, models, "--cooldown", "0.5")
        assert status == Status.CONDITIONS
        assert told in said
    for core in big_cores(phone):
        phone.write(f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq", "1209600\n")
    ended = bench(phone, models, "--force", "--runtime", "termux", "--runs", "10")
    assert ended.returncode == 0
    for told in ("measured all the same (--force)", "41.2 °C", "throttled", "1.21 of 2.80 GHz"):
        assert told in ended.stdout.decode()


def test_a_full_phone(phone: Phone, models: str) -> None:
    phone.small_disk("40k", "/data/data/com.termux/files/home")
    status, said = failed(phone, models, "--runtime", "termux")
    assert status == Status.NO_SPACE, said


def test_another_host_key(phone: Phone, models: str) -> None:
    phone.install_termux(debuggable=False)
    setup = phone.sqbert("bench", "--device", "pixel3", "--setup")
    phone.start_sshd(setup.stdout.decode().split("echo '")[1].split("'")[0])
    assert bench(phone, models, "--runtime", "termux", "--check").returncode == 0
    known = next(path for path in phone.home.rglob("known_hosts") if path.parent.name != ".ssh")  # ours, not the user's
    name, kind, _ = known.read_text().splitlines()[0].split(maxsplit=2)
    other = phone.ssh_key.with_suffix(".pub").read_text().split()[1]
    known.write_text(f"{name} {kind} {other}\n")
    status, said = failed(phone, models, "--runtime", "termux")
    assert status == Status.HOST_KEY, said
    assert "ssh-keygen -f" in said

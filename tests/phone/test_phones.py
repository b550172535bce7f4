"""The phones themselves: that they are what the tests of the tool take them for."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from .android import FILES
from .debian import address_in
from .device import big_cpus
from .namespace import wait_until
from .phone import HOME, Phone

pytestmark = pytest.mark.phones
both_clients = pytest.mark.parametrize("phone", ["adb-29", "adb-34"], indirect=True)
AS_TERMUX = f"run-as com.termux /{FILES}/usr/bin/sh -c"


def test_mirror_is_read_from_either_form_of_sources() -> None:
    block = "Types: deb\nURIs: http://a/debian\nSuites: bookworm bookworm-updates\n"
    assert address_in(block, "bookworm") == "http://a/debian"
    assert address_in(block.replace("bookworm", "nodistro"), "bookworm") is None
    assert address_in("deb [arch=amd64] http://b/debian bookworm main", "bookworm") == "http://b/debian"
    assert address_in("# deb http://b/debian bookworm main", "bookworm") is None


@both_clients
def test_adb_sees_a_pixel_3(phone: Phone) -> None:
    (line,) = phone.devices().splitlines()[1:-1]
    assert line.split()[:2] == [phone.serial, "device"]
    assert "product:blueline model:Pixel_3 device:blueline" in line
    assert phone.shell("id -u").stdout == b"2000\n"
    assert phone.shell("getprop ro.product.model; getprop no.such otherwise").stdout == b"Pixel 3\notherwise\n"


@both_clients
def test_shell_keeps_status_and_streams_apart(phone: Phone) -> None:
    assert phone.shell("exit 7").returncode == 7
    assert phone.shell("no-such-program").returncode == 127
    ended = phone.shell("echo out; echo err >&2; echo $KSH_VERSION")
    assert ended.stdout.startswith(b"out\n@(#)MIRBSD KSH")
    assert ended.stderr == b"err\n"


@both_clients
def test_streams_carry_every_byte(phone: Phone, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, file = os.urandom(5_000_000), tmp_path / "content"
    file.write_bytes(content)
    started = time.monotonic()
    assert phone.shell("cat > /data/local/tmp/streamed", stdin=content).returncode == 0
    streamed = time.monotonic()
    assert phone.adb("push", file, "/data/local/tmp/pushed").returncode == 0
    pushed = time.monotonic()
    assert phone.path("/data/local/tmp/streamed").read_bytes() == phone.shell("cat /data/local/tmp/pushed").stdout
    assert phone.shell("cat /data/local/tmp/streamed").stdout == content
    with capsys.disabled():
        print(f" shell {5 / (streamed - started):.0f} MB/s, push {5 / (pushed - streamed):.0f} MB/s", end=" ")


def test_arm64_programs_run(arm64: Phone) -> None:
    assert arm64.shell("uname -m").stdout == b"aarch64\n"
    assert "model:Pixel_3" in arm64.devices()
    program = arm64.root / "usr/bin/busybox"  # linked statically
    arm64.adb("push", program, "/data/local/tmp/")
    ended = arm64.shell("cd /data/local/tmp; chmod 755 busybox; ./busybox sh -c 'uname -m; exit 9'")
    assert (ended.returncode, ended.stdout) == (9, b"aarch64\n")
    assert arm64.shell("pm path com.termux").returncode == 1


def test_device_is_described_by_files_that_tests_may_change(phone: Phone) -> None:
    phone.replace("/system/dumpsys.battery", "level: 87", "level: 5")
    phone.write("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "300000\n")
    assert b"level: 5\n" in phone.shell("dumpsys battery").stdout
    assert phone.shell("cat /sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").stdout == b"300000\n"
    assert b"Thermal Status: 0" in phone.shell("dumpsys thermalservice").stdout
    assert phone.shell("settings get global low_power; settings get global none").stdout == b"0\nnull\n"
    assert b"Qualcomm Technologies, Inc SDM845" in phone.shell("cat /proc/cpuinfo").stdout
    phone.reset()
    assert b"level: 87\n" in phone.shell("dumpsys battery").stdout


def test_pinning_happens(phone: Phone) -> None:
    mask = sum(1 << number for number in big_cpus())
    pinned = phone.shell(f"taskset {mask:x} grep Cpus_allowed: /proc/self/status")
    assert int(pinned.stdout.split()[-1].replace(b",", b""), 16) == mask


def test_run_as(phone: Phone) -> None:
    assert phone.shell("pm path com.termux").stdout.startswith(b"package:")
    assert phone.shell(f"{AS_TERMUX} 'id -u; pwd'").stdout == b"10123\n/data/data/com.termux\n"
    assert phone.shell("run-as com.termux sh -c 'exit 3'").returncode == 3
    assert phone.shell(f"ls /{HOME}").returncode != 0
    ended = phone.shell("run-as org.other id")
    assert (ended.returncode, ended.stderr) == (1, b"run-as: unknown package: org.other\n")
    phone.install_termux(debuggable=False)
    ended = phone.shell("run-as com.termux id")
    assert (ended.returncode, ended.stderr) == (1, b"run-as: package not debuggable: com.termux\n")
    assert b"DEBUGGABLE" not in phone.shell("dumpsys package com.termux").stdout


def test_termux_has_torch_and_little_else(phone: Phone) -> None:
    python = f"{AS_TERMUX} '/{FILES}/usr/bin/python -c \"import torch; print(torch.__version__); import safetensors\"'"
    ended = phone.shell(python)
    assert ended.stdout
    assert b"No module named 'safetensors'" in ended.stderr


def test_ssh_through_a_forwarded_port(phone: Phone) -> None:
    phone.start_sshd()
    port = phone.adb("forward", "tcp:0", "tcp:8022").stdout.decode().strip()
    assert phone.forwards() == [f"{phone.serial} tcp:{port} tcp:8022"]
    ssh = ["ssh", "-T", "-p", port, "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=accept-new"]
    ended = phone.run([*ssh, "whoever@127.0.0.1", "id -u; echo $PREFIX; exit 5"])
    assert (ended.returncode, ended.stdout.decode()) == (5, f"10123\n/{FILES}/usr\n")
    refused = phone.run([*ssh, "-F", "none", "-i", "/dev/null", "127.0.0.1", "true"])
    assert refused.returncode == 255


@both_clients
def test_phones_that_cannot_be_asked(phone: Phone) -> None:
    stubs = {state: phone.start_stub(state, port) for state, port in (("unauthorized", 7001), ("offline", 7002))}
    assert b"device unauthorized" in phone.adb("-s", stubs["unauthorized"], "shell", "true").stderr
    assert b"device offline" in phone.adb("-s", stubs["offline"], "shell", "true").stderr
    assert b"more than one device" in phone.adb("shell", "true").stderr


def test_two_phones(phone: Phone) -> None:
    device = phone.read("/system/build.prop")
    phone.write("/system/other.prop", device.replace("blueline", "oriole").replace("Pixel 3", "Pixel 6"))
    other = phone.start_adbd(6655, "/system/other.prop")
    assert f"{other}         device product:oriole model:Pixel_6 device:oriole" in phone.devices()
    assert phone.adb("-s", other, "shell", "getprop ro.product.model").stdout == b"Pixel 6\n"
    assert phone.shell("getprop ro.product.model").stdout == b"Pixel 3\n"


@both_clients
def test_phone_that_is_lost(phone: Phone) -> None:
    lost = phone.start([phone.adb_path, "-s", phone.serial, "shell", "sleep 100"], stdin=subprocess.PIPE)
    wait_until(lambda: any("sleep 100" in process.command for process in phone.processes()), "sleep")
    phone.kill_adbd()
    assert lost.wait(timeout=60) == 0  # so a status of 0 says nothing; adb 36 gives 255
    phone.reset(phone.adb_path.name)
    assert phone.processes() == []


@both_clients
@pytest.mark.parametrize("way", ["", AS_TERMUX])
@pytest.mark.parametrize("end", ["client", "adbd", "connection"])
def test_a_lost_computer_is_the_end_of_stdin(phone: Phone, way: str, end: str) -> None:
    """Also where nothing kills what runs on the phone."""
    command = "cat; exec sleep 200"
    argv = [phone.adb_path, "-s", phone.serial, "shell", f"{way} '{command}'" if way else command]
    client = phone.start(argv, stdin=subprocess.PIPE)
    wait_until(lambda: _runs(phone, "cat"), "cat")
    {"client": client.kill, "adbd": phone.kill_adbd, "connection": lambda: phone.adb("disconnect")}[end]()
    wait_until(lambda: not _runs(phone, "cat"), "the end of stdin")
    if way:
        wait_until(lambda: _runs(phone, "sleep 200"), "what comes next")  # adbd may not signal another user


def test_full_disk(phone: Phone) -> None:
    phone.small_disk("100k")
    ended = phone.shell("cat > /data/local/tmp/large", stdin=bytes(200_000))
    assert ended.returncode != 0
    assert b"No space left on device" in ended.stderr
    phone.reset()
    assert phone.files() == []


def _runs(phone: Phone, command: str) -> bool:
    return any(process.command.rpartition("/")[2] == command for process in phone.processes())

"""`sqbert bench --device pixel3` as the tests run it: to its end, to its error, or up to the middle."""

from __future__ import annotations

import subprocess

import pytest

from tests.conftest import ROOT

from .namespace import wait_until
from .phone import Phone

BOTH_CLIENTS = pytest.mark.parametrize("phone", ["adb-29", "adb-34"], indirect=True)
MANY = ("--runs", "100000")
"""More than a test waits for: it ends the run in another way."""


def arguments(models: str, *words: str) -> list[str]:
    return ["bench", "--device", "pixel3", "--models", models, "--lengths", "16", "--threads", "1", *words]


def bench(phone: Phone, models: str, *words: str) -> subprocess.CompletedProcess[bytes]:
    return phone.sqbert(*arguments(models, *words))


def weights_only(phone: Phone) -> bool:
    return all("/weights/" in name and name.endswith(".safetensors") for name in phone.files())


def is_clean(phone: Phone) -> bool:
    return not phone.processes() and weights_only(phone) and not phone.forwards()


def failed(phone: Phone, models: str, *words: str) -> tuple[int, str]:
    """A run that ends in an error: its status and what it said; nothing of it is left."""
    ended = bench(phone, models, *words)
    assert is_clean(phone), (phone.files(), phone.processes())
    said = ended.stderr.decode()
    assert "Traceback" not in said
    return ended.returncode, said


def running(phone: Phone) -> bool:
    """Whether it is being timed."""
    return any(" ".join(MANY) in process.command for process in phone.processes())


def begin(phone: Phone, models: str, *words: str) -> subprocess.Popen[bytes]:
    """A command whose run on the phone is under way."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = phone.start(phone.forked(*arguments(models, *MANY), *words), cwd=ROOT, **pipes)
    wait_until(lambda: running(phone), "the run on the phone", 240)
    return process


def big_cores(phone: Phone) -> list[int]:
    folders = phone.path("/sys/devices/system/cpu").glob("cpu[0-9]*")
    return [int(one.name[3:]) for one in folders if (one / "cpufreq/cpuinfo_max_freq").read_text().strip() == "2803200"]

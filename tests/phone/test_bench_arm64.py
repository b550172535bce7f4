"""The program for phones without Termux, on an emulated arm64."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .benches import begin, bench, is_clean
from .namespace import wait_until
from .phone import Phone

pytestmark = pytest.mark.phones


def test_the_arm64_program_says_what_pytorch_says(arm64: Phone, models: str, tmp_path: Path) -> None:
    ended = bench(arm64, models, "--runs", "10", "--threads", "2", "--json", str(tmp_path / "a.json"))
    assert ended.returncode == 0, ended.stderr.decode()
    assert "there is no Termux on the phone" in ended.stderr.decode()
    report = json.loads((tmp_path / "a.json").read_text())
    assert {one["case"]["engine"] for one in report["measurements"]} == {"native"}
    assert all(one["difference"] < 1e-4 and len(one["times_ms"]) >= 10 for one in report["measurements"])
    assert {run["result"]["machine"] for run in report["runs"]} == {"aarch64"}
    assert is_clean(arm64)


@pytest.mark.slow
def test_the_weights_that_ship_on_arm64(arm64: Phone) -> None:
    ended = bench(arm64, "sqbert-small", "--runtime", "native", "--check", "--purge")
    assert ended.returncode == 0, ended.stderr.decode()
    difference = float(ended.stderr.decode().split("differences up to ")[1].split(")")[0])
    assert difference < 1e-4
    assert arm64.files() == []


def test_the_native_program_ends_with_the_computer(arm64: Phone, models: str) -> None:
    process = begin(arm64, models, "--runtime", "native")
    process.kill()
    process.communicate(timeout=60)
    wait_until(lambda: is_clean(arm64), "a clean phone")

"""The same command on a real Pixel 3: `SQBERT_PIXEL3_SERIAL=... pytest -m pixel3`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.conftest import run_sqbert

SERIAL = os.environ.get("SQBERT_PIXEL3_SERIAL")
pytestmark = [pytest.mark.pixel3, pytest.mark.skipif(not SERIAL, reason="no phone named in $SQBERT_PIXEL3_SERIAL")]


@pytest.mark.parametrize("runtime", ["native", "termux"])
def test_a_whole_report(runtime: str, tmp_path: Path) -> None:
    words = ["--device", "pixel3", "--serial", str(SERIAL), "--runtime", runtime, "--json", tmp_path / "pixel3.json"]
    ran = run_sqbert("bench", *words, timeout=1800)
    assert ran.status == 0, ran.err
    report = json.loads((tmp_path / "pixel3.json").read_text())
    assert report["is_pixel_3"]
    assert all(one["difference"] < 1e-4 for one in report["measurements"])
    assert all(run["is_pinned"] for run in report["runs"])

"""The published checkpoint, where there is a network: the value that transformers' own tests expect of it."""

from __future__ import annotations

import os
import subprocess
import sys
from ast import literal_eval
from pathlib import Path

import pytest

from tests.conftest import ROOT

NAME = "squeezebert/squeezebert-mnli"
IDS = [[1, 29414, 232, 328, 740, 1140, 12695, 69, 13, 1588, 2]]
LOGITS = [0.6401, -0.0349, -0.6041]
CODE = f"""
import sys
from sqbert_cli.errors import SqbertError
from sqbert_cli.hub import find_commit
try:
    find_commit({NAME!r})
except SqbertError as error:
    print(error.message, file=sys.stderr)
    raise SystemExit(77)
import torch
from sqbert_cli.models import load_checkpoint
checkpoint = load_checkpoint({NAME!r})
ids = torch.tensor({IDS!r})
with torch.inference_mode():
    print(checkpoint.network("sequence", ids, torch.ones_like(ids), torch.zeros_like(ids))[0].tolist())
"""


@pytest.mark.slow
def test_the_published_entailment_model_says_what_its_authors_test(tmp_path: Path) -> None:
    """Downloads 204 MB; nothing is kept."""
    environment = {
        **os.environ,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_ETAG_TIMEOUT": "5",
        "HF_HUB_DOWNLOAD_TIMEOUT": "20",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(ROOT),
    }
    ended = subprocess.run(
        [sys.executable, "-c", CODE], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=900
    )
    if ended.returncode == 77:
        pytest.skip(f"needs the network: {ended.stderr.strip()}")
    assert ended.returncode == 0, ended.stderr
    assert literal_eval(ended.stdout) == pytest.approx(LOGITS, abs=1e-4)

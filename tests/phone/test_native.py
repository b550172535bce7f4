"""The native program: what the sources give, PyTorch's logits, and an error for whatever is no model."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from sqbert_cli.phone.cargo import Cargo, far_from, pack, token_rows, write_rows
from sqbert_cli.phone.native.build import HERE, SOURCES, build, sha256
from sqbert_cli.phone.result import parse_result
from sqbert_cli.phone.runtimes import PROGRAM
from tests.conftest import ROOT

pytestmark = pytest.mark.phones
BUILT = json.loads((HERE / "build.json").read_text())
COMPILER = BUILT["compiler"]
QEMU = "qemu-aarch64-static"


def needs(is_here: object, what: str) -> None:
    if not is_here:
        (pytest.fail if os.environ.get("CI_PHONES") == "1" else pytest.skip)(f"{what} is not installed")


def test_the_program_is_the_one_that_was_built_of_these_sources() -> None:
    assert sha256(PROGRAM) == BUILT["sha256"]
    assert {path.name: sha256(path) for path in SOURCES.glob("*.[ch]")} == BUILT["sources"]


@pytest.mark.slow
def test_the_sources_give_the_program_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs(find_spec("ziglang"), "ziglang")
    version = subprocess.run([sys.executable, "-m", "ziglang", "version"], capture_output=True, text=True).stdout
    needs(f"zig {version.strip()}" == COMPILER, COMPILER)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ZIG_GLOBAL_CACHE_DIR", str(tmp_path / "zig"))
    assert hashlib.sha256(build(folder=tmp_path / "out").read_bytes()).hexdigest() == BUILT["sha256"]
    assert str(ROOT).encode() not in PROGRAM.read_bytes()


@pytest.fixture
def native(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run the program as it ships, emulated, in the test's folder."""
    needs(shutil.which(QEMU), QEMU)

    def run(*words: str | Path) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run([QEMU, PROGRAM, *words], cwd=tmp_path, capture_output=True, timeout=120)

    return run


SHAPES: dict[str, dict[str, Any]] = {
    "squeezebert": {},
    "bert": {"model_type": "bert"},
    "widths that are no multiples": {
        "hidden_size": 36, "num_attention_heads": 3, "intermediate_size": 60, "q_groups": 2, "k_groups": 3,
        "v_groups": 6, "post_attention_groups": 2, "intermediate_groups": 3, "output_groups": 4,
    },
    "one head, one layer": {"hidden_size": 12, "num_attention_heads": 1, "num_hidden_layers": 1},
}  # fmt: skip


@pytest.fixture
def cargo(make_model: Callable[..., Path], tmp_path: Path) -> Callable[..., Cargo]:
    def packed(length: int = 5, **values: Any) -> Cargo:
        write_rows(tmp_path / "rows.txt", *token_rows(length))
        return pack(str(make_model(**{"vocab_size": 120, **values})), length, tmp_path)

    return packed


@pytest.mark.parametrize("length", [2, 5, 17, 128])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_says_what_pytorch_says(shape: str, length: int, native: Any, cargo: Any) -> None:
    model = cargo(length, **SHAPES[shape])
    found = []
    for threads in ("1", "3"):
        words = ["--inputs", "rows.txt", "--threads", threads, "--warmup", "1", "--runs", "2", "--watch", "gone"]
        ran = native(*words, model.file)
        assert ran.returncode == 0, ran.stderr
        result = parse_result(json.loads(ran.stdout))
        assert far_from(model, result.models[0].logits) < 1e-4
        assert (len(result.models[0].times_ms), result.watched) == (2, ((None,), (None,)))
        found.append(result.models[0].logits)
    assert found[0] == found[1]  # however many threads share the work


def test_several_models_take_turns(native: Any, cargo: Any) -> None:
    models = [cargo(8), cargo(8, model_type="bert")]
    words = ["--inputs", "rows.txt", "--threads", "1", "--warmup", "0", "--runs", "3"]
    result = parse_result(json.loads(native(*words, *(model.file for model in models)).stdout))
    for model, timed in zip(models, result.models, strict=True):
        assert far_from(model, timed.logits) < 1e-4


def test_what_is_no_model_is_an_error_and_no_crash(native: Any, cargo: Any, tmp_path: Path) -> None:
    model = cargo()
    whole = model.file.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    huge = (2**60).to_bytes(8, "little") + whole[8:]
    swapped = whole.replace(b'"shape": [32, 32, 1]', b'"shape": [32, 99, 1]')
    missing = whole.replace(b"classifier.bias", b"classifier.bend")
    far = whole.replace(b'"data_offsets": [0,', b'"data_offsets": [9,', 1)
    absurd = whole.replace(b'"hidden_size": "32"', b'"hidden_size": "99"')
    damaged = [b"", b"{}", whole[:8], whole[: size // 2], whole[:-64], huge, swapped, missing, far, absurd]
    for number, content in enumerate(damaged):
        assert content != whole
        (tmp_path / "bad.safetensors").write_bytes(content)
        ran = native("--inputs", "rows.txt", "--threads", "1", "--warmup", "0", "--runs", "0", "bad.safetensors")
        assert (ran.returncode, ran.stdout) == (2, b""), (number, ran)
        assert b"bad.safetensors" in ran.stderr


def test_rows_that_are_none_and_wrong_options(native: Any, cargo: Any, tmp_path: Path) -> None:
    model = cargo()
    for text in ("", "2\n", "3 1 2\n", "1 5 6\n1 5\n", "2 5 x\n", "2 5 99999999\n"):
        (tmp_path / "rows.txt").write_text(text)
        words = ["--inputs", "rows.txt", "--threads", "1", "--warmup", "0", "--runs", "0", model.file]
        assert native(*words).returncode == 2, text
    assert native("--threads", "1").returncode == 64
    assert native("--inputs", "gone", "--threads", "1", "--warmup", "0", "--runs", "0", model.file).returncode == 2

"""Several processes train as one does; and on a GPU, where there is one."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sqbert_cli.errors import SqbertError
from sqbert_cli.training.processes import join_processes
from tests.conftest import ROOT, run_sqbert

WORDS = ["the", "a", "film", "was", "is", "not", "good", "bad", "very", "and", "but", "it", "i", "loved", "hated"]


def test_a_scheduler_that_sets_half_of_what_torchrun_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    with pytest.raises(SqbertError, match="LOCAL_RANK is None where `torchrun` puts a number"):
        join_processes(torch.device("cpu"))


def test_more_processes_than_gpus_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(SqbertError, match="process 1 of this machine has no GPU: there are 1"):
        join_processes(torch.device("cuda"))


def test_processes_on_apples_gpu_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    with pytest.raises(SqbertError, match="cannot share Apple's GPU"):
        join_processes(torch.device("mps"))


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    draw = random.Random(0)
    path = tmp_path / "texts.jsonl"
    rows = [
        {"text": " ".join(draw.choices(WORDS, k=draw.randint(4, 20))), "label": draw.choice(["yes", "no"])}
        for _ in range(120)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "texts.txt").write_text("\n".join(str(row["text"]) for row in rows))
    return path


def arguments_of(command: str, texts: Path, model: Path) -> list[str]:
    same = ["--model", str(model), "--batch-size", "6", "--max-length", "32", "--learning-rate", "3e-3",
            "--threads", "1", "--dtype", "float32"]  # fmt: skip
    if command == "finetune":
        return ["finetune", "--train", str(texts), "--dev", str(texts), "--epochs", "1", "--dropout", "0",
                "--eval-steps", "4", *same]  # fmt: skip
    return ["pretrain", str(texts.with_suffix(".txt")), "--accumulation", "2", "--steps", "12", "--save-steps", "1",
            "--optimizer", command, *same]  # fmt: skip


@pytest.mark.slow
def test_processes_that_would_do_different_things_end_at_once(texts: Path, tiny_model: Path, tmp_path: Path) -> None:
    arguments = [*arguments_of("finetune", texts, tiny_model), "--output", str(tmp_path / "out")]
    ended = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--no-python", "sh", "-c",
         f'exec {sys.executable} -m sqbert_cli "$@" --seed $RANK', "sh", *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode != 0
    assert "1 of 2 processes would not do what the first does" in ended.stderr
    assert "sqbert_cli/cli.py" not in ended.stderr  # no traceback of ours


def history(folder: Path) -> list[dict[str, float]]:
    return json.loads((folder / "training.json").read_text())["history"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["lamb", "finetune"])
def test_two_processes_have_the_curve_of_one(command: str, texts: Path, tiny_model: Path, tmp_path: Path) -> None:
    arguments = arguments_of(command, texts, tiny_model)
    ran = run_sqbert(*arguments, "--output", tmp_path / "one")
    assert ran.status == 0, ran.err
    ended = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "sqbert_cli", *arguments,
         "--output", str(tmp_path / "two")],
        cwd=ROOT, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("saved to") == 1
    one, two = history(tmp_path / "one"), history(tmp_path / "two")
    assert len(one) >= 5
    for ours, theirs in zip(one, two, strict=True):
        assert theirs == pytest.approx(ours, rel=1e-3, abs=1e-4)
    assert json.loads((tmp_path / "two" / "training.json").read_text())["versions"]["processes"] == 2


def start_machines(count: int, folder: Path, arguments: list[str], *more: str) -> list[subprocess.Popen[str]]:
    """What `torchrun` is given on each of several machines, of which all are this one, each with a cache of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    meeting = ["--nnodes", str(count), "--nproc-per-node", "1", "--rdzv-backend", "c10d", "--rdzv-id", "test",
               "--rdzv-endpoint", f"127.0.0.1:{port}"]  # fmt: skip
    command = [sys.executable, "-m", "torch.distributed.run", *meeting, "-m", "sqbert_cli", *arguments, *more]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    environments = [os.environ | {"SQBERT_CACHE": str(folder / f"cache-{number}")} for number in range(count)]
    return [subprocess.Popen(command, cwd=ROOT, env=each, **pipes) for each in environments]  # type: ignore[call-overload]


def children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


@pytest.mark.slow
def test_a_run_of_two_machines_loses_one_and_goes_on_with_others(texts: Path, tiny_model: Path, tmp_path: Path) -> None:
    arguments = arguments_of("adamw", texts, tiny_model)
    for option, value in (("--steps", "60"), ("--save-steps", "5")):
        arguments[arguments.index(option) + 1] = value
    ran = run_sqbert(*arguments, "--output", tmp_path / "whole")
    assert ran.status == 0, ran.err
    both = start_machines(2, tmp_path, arguments, "--output", str(tmp_path / "cut"))
    progress = tmp_path / "cut" / ".resume" / "progress.pt"
    deadline = time.monotonic() + 200
    while not progress.is_file() and time.monotonic() < deadline:
        time.sleep(0.05)
    for child in children(both[1].pid):
        os.kill(child, signal.SIGKILL)
    said = [process.communicate(timeout=200)[1] for process in both]
    assert all(process.returncode for process in both), said
    assert progress.is_file(), said
    filled = [sorted(file.name for file in (tmp_path / f"cache-{number}").rglob("*.*")) for number in range(2)]
    assert filled[0] == filled[1] != []
    for machines in (1, 2):
        output = tmp_path / f"cut-{machines}"
        shutil.copytree(tmp_path / "cut", output)
        again = start_machines(machines, tmp_path, arguments, "--output", str(output), "--resume")
        said = [process.communicate(timeout=200)[1] for process in again]
        assert not any(process.returncode for process in again), said
        assert ("the same curve, not the same bits" in "".join(said)) == (machines == 1)
        assert "".join(said).count("saved to") == 1
        for ours, theirs in zip(history(tmp_path / "whole"), history(output), strict=True):
            assert theirs == pytest.approx(ours, rel=1e-3, abs=1e-4)


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
@pytest.mark.parametrize("command", ["adamw", "finetune"])
def test_training_runs_on_a_gpu(command: str, texts: Path, tiny_model: Path, tmp_path: Path) -> None:
    arguments = [*arguments_of(command, texts, tiny_model)[:-2], "--device", "cuda", "--output", str(tmp_path / "out")]
    ran = run_sqbert(*arguments)
    assert ran.status == 0, ran.err
    assert "bfloat16" in (tmp_path / "out" / "training.json").read_text()

"""Runs that are stopped, killed or in each other's way, and go on to the same bits."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from filelock import FileLock

from sqbert_cli.checkpoint import Checkpoint, read_checkpoint
from sqbert_cli.console import talk
from sqbert_cli.errors import SqbertError
from sqbert_cli.training.finetune import Evaluation, finetune, with_heads
from sqbert_cli.training.guides import Guidance
from sqbert_cli.training.optimise import Step
from sqbert_cli.training.processes import Processes
from sqbert_cli.training.run import Run, open_run
from sqbert_cli.training.settings import FinetuneSettings
from sqbert_cli.training.teacher import OwnTeacher
from sqbert_cli.views.training import show_training
from tests.conftest import ROOT, run_sqbert
from tests.toys import toy_arguments, toy_dataset


def test_an_interrupted_run_is_neither_overwritten_nor_mixed_up(toy: Path, tiny_model: Path, tmp_path: Path) -> None:
    output = tmp_path / "model"
    dataset = toy_dataset()
    settings = FinetuneSettings(epochs=2, batch_size=8, save_steps=1, eval_steps=100, max_length=32)
    base = read_checkpoint(tiny_model)
    run = open_run(output, torch.device("cpu"), torch.float32, resume=False)
    events = finetune(with_heads(base, [dataset.head], settings), [dataset], settings, run)
    next(events), next(events), next(events)
    ran = run_sqbert(*toy_arguments(toy, tiny_model, output))
    assert ran.status == 1
    assert "another process is at work in" in ran.err  # and nothing of removing what it fills
    assert run.lock is not None
    run.lock.release()
    ran = run_sqbert(*toy_arguments(toy, tiny_model, output))
    assert ran.status == 1
    assert "holds an interrupted run" in ran.err
    assert "--resume" in ran.err
    other = replace(settings, learning_rate=1e-5)
    again = finetune(with_heads(base, [dataset.head], other), [dataset], other, replace(run, resume=True))
    with pytest.raises(SqbertError, match=r"belongs to another run:\n  learning_rate: was 0.0005, now 1e-05"):
        next(again)


def test_a_folder_with_a_model_is_not_overwritten(toy: Path, tiny_model: Path, trained: Path) -> None:
    ran = run_sqbert(*toy_arguments(toy, tiny_model, trained))
    assert ran.status == 1
    assert "already holds a model" in ran.err


def test_files_that_are_not_ours_are_not_overwritten(toy: Path, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("precious")
    ran = run_sqbert(*toy_arguments(toy, tiny_model, tmp_path))
    assert ran.status == 1
    assert "is not empty: it holds `README.md`" in ran.err
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("README.md", "precious")]


def test_a_damaged_resume_file_is_named(toy: Path, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / ".resume").mkdir()
    (tmp_path / ".resume" / "progress.pt").write_bytes(b"PK half a file")
    ran = run_sqbert(*toy_arguments(toy, tiny_model, tmp_path), "--resume")
    assert ran.status == 1
    assert "progress.pt` is damaged" in ran.err


def test_a_disk_that_fills_while_training_is_an_error_and_not_a_traceback(
    toy: Path, tiny_model: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "sqbert_cli", *toy_arguments(toy, tiny_model, tmp_path / "model")]
    limited = ["bash", "-c", f"ulimit -f 20; exec {shlex.join(command)}"]
    ended = subprocess.run(limited, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith(f"error: File too large: `{tmp_path / 'model' / '.resume'}")


def test_nothing_to_resume_is_said(toy: Path, tiny_model: Path, tmp_path: Path) -> None:
    arguments = toy_arguments(toy, tiny_model, tmp_path / "model")
    arguments[arguments.index("--epochs") + 1] = "0.1"
    ran = run_sqbert(*arguments, "--resume")
    assert ran.status == 0
    assert "nothing to resume" in ran.err


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "parts of a step": {"accumulation": 2},
    "weighted and smoothed labels": {"class_weights": True, "label_smoothing": 0.1},
    "frozen embeddings": {"embedding_rate": 0.0},
    "a teacher": {},
    "a teacher's states": {},
    "patience": {"patience": 2, "eval_steps": 3, "learning_rate": 0.0},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_run_resumes_to_the_same_bits(
    variant: str, dtype: torch.dtype, trained: Path, tiny_model: Path, tmp_path: Path
) -> None:
    dataset = toy_dataset(labels=("negative", "positive"), texts={"negative": "a bad film", "positive": "a good film"})
    values = {"epochs": 6, "batch_size": 2, "max_length": 32, "save_steps": 3, "eval_steps": 5, "dropout": 0.1}
    settings = FinetuneSettings(**values | VARIANTS[variant])

    def start(folder: str, resume: bool) -> tuple[Checkpoint, Iterator[Any]]:
        student = with_heads(read_checkpoint(tiny_model), [dataset.head], settings)
        weight = 1.0 if variant == "a teacher's states" else 0.0
        teacher = Guidance(
            teachers={dataset.head.name: OwnTeacher(read_checkpoint(trained))}, weight=0.5, state_weight=weight
        )
        run = open_run(tmp_path / folder, torch.device("cpu"), dtype, resume=resume)
        return student, finetune(
            student, [dataset], settings, run, teacher if variant.startswith("a teacher") else None
        )

    whole, events = start("whole", resume=False)
    straight = list(events)
    _, events = start("cut", resume=False)
    for event in events:
        if isinstance(event, Step) and event.index == 5:
            break
    resumed, events = start("cut", resume=True)
    rest = list(events)
    assert 0 < sum(isinstance(event, Step) for event in rest) < sum(isinstance(event, Step) for event in straight)
    assert rest[-1].history == straight[-1].history
    for name, tensor in whole.network.state_dict().items():
        assert torch.equal(tensor, resumed.network.state_dict()[name]), name
    if variant == "patience":
        assert len(straight[-1].history) == 3  # the first is the best, and two were no better


def test_what_did_not_fit_goes_on_in_smaller_parts(tiny_model: Path, tmp_path: Path) -> None:
    dataset = toy_dataset()
    whole = FinetuneSettings(batch_size=8, save_steps=1, max_length=32)

    def start(settings: FinetuneSettings, resume: bool) -> Iterator[Any]:
        run = open_run(tmp_path / "out", torch.device("cpu"), torch.float32, resume=resume)
        return finetune(with_heads(read_checkpoint(tiny_model), [dataset.head], settings), [dataset], settings, run)

    events = start(whole, resume=False)
    assert [next(events).index for _ in range(3)] == [1, 2, 3]
    events.close()
    resumed, step, *_ = start(replace(whole, batch_size=4, accumulation=2), resume=True)
    assert (resumed.step, step.index) == (2, 3)
    assert resumed.changes == ("batch_size: was 8, now 4", "accumulation: was 1, now 2")
    with pytest.raises(SqbertError, match="windows in a step: was 8, now 4"):
        list(start(replace(whole, batch_size=4), resume=True))


def test_short_epochs_are_not_written_out_at_each_step(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, written = toy_dataset(), list[Path]()
    monkeypatch.setattr("sqbert_cli.training.run.write_state", lambda path, values: written.append(path))
    settings = FinetuneSettings(epochs=25, batch_size=len(dataset.train.records), max_length=32)
    student = with_heads(read_checkpoint(tiny_model), [dataset.head], settings)
    run = open_run(tmp_path / "out", torch.device("cpu"), torch.float32, resume=False)
    events = list(finetune(student, [dataset], settings, run))
    assert [event.step for event in events if isinstance(event, Evaluation)] == [10, 20, 25]
    assert len(written) == 1


def test_two_runs_do_not_fill_one_folder(tmp_path: Path) -> None:
    run = open_run(tmp_path, torch.device("cpu"), torch.float32, resume=False)
    assert run.lock is not None
    run.lock.release()
    with FileLock(run.folder / "lock"):  # by another file descriptor, as another process has it
        for resume in (False, True):
            with pytest.raises(SqbertError, match="another process is at work in"):
                open_run(tmp_path, torch.device("cpu"), torch.float32, resume=resume)
    open_run(tmp_path, torch.device("cpu"), torch.float32, resume=True)


def test_an_output_that_another_machine_does_not_see_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sqbert_cli.training.run.SEEN_SECONDS", 0)
    with pytest.raises(SqbertError, match="process 1 does not see"):
        open_run(tmp_path / "out", torch.device("cpu"), torch.float32, Processes(rank=1), resume=False)


def test_resuming_is_promised_where_there_is_something_to_resume(tmp_path: Path) -> None:
    def interrupted() -> Iterator[Step]:
        raise KeyboardInterrupt
        yield

    run = open_run(tmp_path / "out", torch.device("cpu"), torch.float32, resume=False)
    for said in ("nothing was saved yet", "the same command with `--resume` goes on"):
        with talk.capture() as heard, pytest.raises(KeyboardInterrupt):
            show_training(interrupted(), run)
        assert said in heard.get()
        run.file.touch()


def test_a_run_that_was_killed_when_its_patience_had_ended_has_ended(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = toy_dataset()
    settings = FinetuneSettings(epochs=6, batch_size=2, max_length=32, patience=2, eval_steps=3, learning_rate=0.0)

    def start(resume: bool) -> Iterator[Any]:
        run = open_run(tmp_path / "out", torch.device("cpu"), torch.float32, resume=resume)
        return finetune(with_heads(read_checkpoint(tiny_model), [dataset.head], settings), [dataset], settings, run)

    with monkeypatch.context() as killed:
        killed.setattr("sqbert_cli.training.finetune.take_best", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            list(start(resume=False))
    resumed, finished = start(resume=True)
    assert resumed.step == finished.history[-1]["step"] == 9


def test_ctrl_c_lets_a_step_end_and_be_saved(
    tiny_model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dataset = toy_dataset(labels=("negative", "positive"), texts={"negative": "a bad film", "positive": "a good film"})
    settings = FinetuneSettings(epochs=6, batch_size=2, max_length=32, save_steps=1_000, eval_steps=1_000)

    def start(resume: bool) -> tuple[Run, Iterator[Any]]:
        run = open_run(tmp_path / "out", torch.device("cpu"), torch.float32, resume=resume)
        return run, finetune(
            with_heads(read_checkpoint(tiny_model), [dataset.head], settings), [dataset], settings, run
        )

    def pressed_in(events: Iterator[Any], step: int, times: int = 1) -> Iterator[Any]:
        for event in events:
            yield event
            if isinstance(event, Step) and event.index == step:
                for _ in range(times):
                    os.kill(os.getpid(), signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    run, events = start(resume=False)
    with talk.capture() as heard, pytest.raises(KeyboardInterrupt):
        show_training(pressed_in(events, 5), run)
    assert "Ctrl-C again ends at once" in capfd.readouterr().err
    assert "the same command with `--resume` goes on" in heard.get()
    assert signal.getsignal(signal.SIGINT) is before
    run, events = start(resume=True)
    with talk.capture() as heard, pytest.raises(KeyboardInterrupt):
        show_training(pressed_in(events, 8, times=2), run)
    assert "going on from step 5" in heard.get()
    run, events = start(resume=True)
    assert next(events).step == 5  # the second Ctrl-C did not wait
    assert next(event.index for event in events if isinstance(event, Step)) == 6

"""Training overfits, repeats itself to the bit, and survives being killed; distillation starts where it says."""

from __future__ import annotations

import json
import os
import random
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors.torch import load_file

from sqbert_cli.api import classify
from sqbert_cli.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from sqbert_cli.console import talk
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.predict.rows import head_rows
from sqbert_cli.predict.texts import encode
from sqbert_cli.records import Classification, Record, Span
from sqbert_cli.tasks.dataset import Dataset, Split
from sqbert_cli.tasks.entities import tags_of
from sqbert_cli.training.examples import label_weights
from sqbert_cli.training.finetune import Evaluation, finetune, with_heads
from sqbert_cli.training.guides import Guidance
from sqbert_cli.training.heads import network_with_heads
from sqbert_cli.training.optimise import MicroBatch, Step, make_trainer, optimise
from sqbert_cli.training.processes import Processes
from sqbert_cli.training.run import Run, open_run
from sqbert_cli.training.sampler import Sampler
from sqbert_cli.training.settings import FinetuneSettings, OptimiserSettings
from sqbert_cli.training.teacher import OwnTeacher
from sqbert_cli.views.training import show_training
from tests.conftest import ROOT, run_sqbert

GOOD, BAD = ("good", "great", "fun", "loved"), ("bad", "awful", "boring", "hated")


def toy_lines(count: int, seed: int) -> str:
    """JSONL whose label is told by one word."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        label = draw.choice(("negative", "positive"))
        words = [draw.choice(["the", "a", "film", "was", "very", "and", "it", "i"]) for _ in range(draw.randint(3, 8))]
        words.insert(draw.randrange(len(words)), draw.choice(GOOD if label == "positive" else BAD))
        rows.append(json.dumps({"text": " ".join(words), "label": label}))
    return "\n".join(rows) + "\n"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("toy")
    (folder / "train.jsonl").write_text(toy_lines(300, 1))
    (folder / "dev.jsonl").write_text(toy_lines(50, 2))
    return folder


def toy_arguments(toy: Path, model: Path, output: Path) -> list[str]:
    return [
        "finetune", "--train", str(toy / "train.jsonl"), "--dev", str(toy / "dev.jsonl"), "--model", str(model),
        "--output", str(output), "--epochs", "8", "--batch-size", "8", "--learning-rate", "2e-3", "--threads", "1",
        "--eval-steps", "20", "--save-steps", "7",
    ]  # fmt: skip


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def trained(toy: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy task, learnt in one go."""
    output = tmp_path_factory.mktemp("trained") / "model"
    ran = run_sqbert(*toy_arguments(toy, tiny_model, output))
    assert ran.status == 0, ran.err
    return output


def test_a_toy_task_is_learnt_to_the_end(toy: Path, trained: Path) -> None:
    ran = run_sqbert("evaluate", "--input", toy / "dev.jsonl", "--model", trained)
    (scores,) = json.loads(ran.out).values()
    assert scores["metrics"]["accuracy"] == 1.0
    assert scores["confusion"][0][1] == scores["confusion"][1][0] == 0


def test_a_finished_run_says_how_it_was_made_and_leaves_nothing_else(trained: Path) -> None:
    assert sorted(file.name for file in trained.iterdir()) == [
        "README.md", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "training.json",
    ]  # fmt: skip
    training = json.loads((trained / "training.json").read_text())
    assert training["settings"]["epochs"] == 8
    assert set(training["data"]) == set(training["scores"]) | {name for name in training["data"] if "train" in name}
    assert training["versions"]["torch"] == torch.__version__


@pytest.mark.slow
def test_a_run_killed_again_and_again_ends_with_the_same_bits(
    toy: Path, tiny_model: Path, trained: Path, tmp_path: Path
) -> None:
    output = tmp_path / "model"
    command = [sys.executable, "-m", "sqbert_cli", *toy_arguments(toy, tiny_model, output), "--resume"]
    kills = 0
    draw = random.Random(0)
    while True:
        process = subprocess.Popen(
            command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
        )
        progress, before = output / ".resume" / "progress.pt", time.monotonic()
        written = progress.stat().st_mtime_ns if progress.exists() else 0
        while process.poll() is None and time.monotonic() - before < 120:  # kill it soon after it has got on
            if kills < 2 and progress.exists() and progress.stat().st_mtime_ns != written:
                time.sleep(draw.random() * 0.1)
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
                break
            time.sleep(0.005)
        _, err = process.communicate()
        if process.returncode != -signal.SIGKILL:
            break
    assert process.returncode == 0, err.decode()
    assert kills == 2
    assert same_weights(output, trained)
    ours, theirs = (json.loads((folder / "training.json").read_text()) for folder in (output, trained))
    assert ours["scores"] == theirs["scores"]
    assert ours["history"] == theirs["history"]  # those before the kills too


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


def test_a_teacher_that_reads_less_is_refused(
    toy: Path, make_model: Callable[..., Path], tiny_model: Path, tmp_path: Path
) -> None:
    teacher = make_model(max_position_embeddings=8)
    ran = run_sqbert(*toy_arguments(toy, tiny_model, tmp_path / "student"), "--teacher", teacher)
    assert ran.status == 1
    assert "reads 8 tokens at most" in ran.err


def test_a_label_that_every_example_has_still_weighs(tiny_model: Path) -> None:
    head = HeadConfig(name="h", kind="sequence", labels=("a", "b"), problem_type="multi_label_classification")
    weights = label_weights(torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 0.0]]), head)
    assert weights is not None
    assert weights.tolist() == pytest.approx([1 / 3, 2.0])


def toy_dataset(
    problem: str = "single_label_classification",
    labels: tuple[str, ...] = ("bad", "good"),
    texts: Mapping[str, str] = MappingProxyType({"good": "a good film", "bad": "a bad film"}),
) -> Dataset:
    if problem == "multi_label_classification":
        records = [Record("good and bad", gold=("good", "bad")), Record("good film", gold=("good",)),
                   Record("bad film", gold=("bad",)), Record("a film", gold=())]  # fmt: skip
    elif problem == "regression":
        records = [Record("one film", gold=1.0), Record("two film", gold=2.0), Record("three film", gold=3.0)]
    else:
        records = [Record(text, gold=label) for label, text in texts.items()]
    split = Split(name="toy", records=tuple(records * 4))
    metrics = ("pearson", "spearman") if problem == "regression" else ("accuracy", "macro_f1")
    head = HeadConfig(name="toy", kind="sequence", labels=labels, problem_type=problem)  # type: ignore[arg-type]
    return Dataset(name="toy", head=head, metrics=metrics, train=split, dev=(split,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("problem", "labels"),
    [("single_label_classification", ("bad", "good")), ("multi_label_classification", ("bad", "good")),
     ("regression", ("score",))],
)  # fmt: skip
def test_each_kind_of_problem_overfits_a_few_examples(
    problem: str, labels: tuple[str, ...], tiny_model: Path, tmp_path: Path
) -> None:
    dataset = toy_dataset(problem, labels)
    settings = FinetuneSettings(epochs=60, batch_size=8, learning_rate=3e-3, dropout=0, max_length=32, eval_steps=30)
    student = with_heads(read_checkpoint(tiny_model), [dataset.head], settings)
    events = list(finetune(student, [dataset], settings, Run(tmp_path, torch.device("cpu"), torch.float32)))
    evaluations = [event for event in events if isinstance(event, Evaluation)]
    assert evaluations[-1].scores[dataset.head.name].main > 0.99


def numbers_of(checkpoint: Checkpoint, records: Sequence[Record]) -> list[float]:
    return [result.scores["score"] for result in classify(checkpoint, records) if isinstance(result, Classification)]


@pytest.mark.parametrize("mean", [2_000.0, 100_000.0])
def test_half_precision_does_not_round_numbers_far_from_nought(
    make_model: Callable[..., Path], tmp_path: Path, mean: float
) -> None:
    model = read_checkpoint(make_model(("score",), problem_type="regression"))
    texts = [Record("a good film"), Record("a bad one"), Record("boring")]
    with torch.no_grad():
        model.network.heads["test"].classifier.bias += mean
    numbers = numbers_of(model, texts)
    assert max(numbers) - min(numbers) > 0.1
    write_checkpoint(model, tmp_path / "half", torch.float16)
    assert numbers_of(read_checkpoint(tmp_path / "half"), texts) == pytest.approx(numbers, abs=0.02)
    with torch.autocast("cpu", torch.bfloat16):
        rows = head_rows(model, "test", [window for some in encode(model, texts, 32) for window in some])
    assert torch.cat(rows).tolist() == pytest.approx(numbers, abs=0.1)
    model.network.to(torch.bfloat16)
    assert numbers_of(model, texts) == pytest.approx(numbers, abs=0.1)


def test_numbers_far_from_nought_are_learnt_and_learnt_on(tiny_model: Path, tmp_path: Path) -> None:
    texts = {"one film": 1001.0, "a good one": 1002.0, "it was very bad": 1006.0}
    records = tuple(Record(text, gold=number) for text, number in texts.items())
    split = Split(name="years", records=records * 4)
    dataset = replace(toy_dataset("regression", ("score",)), train=split, dev=(split,))
    student, (first, later) = read_checkpoint(tiny_model), (60.0, 2.0)
    for epochs in (first, later):
        settings = FinetuneSettings(
            epochs=epochs, batch_size=8, learning_rate=3e-3 if epochs == first else 1e-5, max_length=32
        )
        student = with_heads(student, [dataset.head], settings)
        list(finetune(student, [dataset], settings, Run(tmp_path, torch.device("cpu"), torch.float32)))
        assert numbers_of(student, records) == pytest.approx(list(texts.values()), abs=0.5)


def test_of_weights_that_are_alike_on_dev_those_that_learnt_longest_are_kept(tiny_model: Path, tmp_path: Path) -> None:
    dataset = toy_dataset()
    settings = FinetuneSettings(epochs=60, batch_size=8, learning_rate=3e-3, max_length=32, eval_steps=4, patience=3)
    student = with_heads(read_checkpoint(tiny_model), [dataset.head], settings)
    events = list(finetune(student, [dataset], settings, Run(tmp_path, torch.device("cpu"), torch.float32)))
    *_, first, second, third, last = [event for event in events if isinstance(event, Evaluation)]
    assert [one.scores["toy"].main for one in (first, second, third, last)] == [1.0] * 4  # and then patience ends it
    assert last.is_best


def test_an_option_that_the_task_cannot_listen_to_is_told(tiny_model: Path, tmp_path: Path) -> None:
    dataset = toy_dataset("regression", ("score",))
    for option, values in (("class-weights", {"class_weights": True}), ("label-smoothing", {"label_smoothing": 0.1})):
        settings = FinetuneSettings(**values)  # type: ignore[arg-type]
        student = with_heads(read_checkpoint(tiny_model), [dataset.head], settings)
        with pytest.raises(SqbertError, match=f"`--{option}` does nothing for this task"):
            list(finetune(student, [dataset], settings, Run(tmp_path, torch.device("cpu"), torch.float32)))


def toy_entities() -> Dataset:
    """Texts that have more words, or fewer, to be told."""
    records = [Record("a good film", spans=(Span(2, 6, "THING"),)), Record("film"), Record("it was not very bad")]
    split = Split(name="toy", records=tuple(replace(one, spans=one.spans or ()) for one in records * 4))
    head = HeadConfig(name="toy", kind="token", labels=tags_of(["THING"]))
    return Dataset(name="toy", head=head, metrics=(), train=split, dev=(split,))


@pytest.mark.parametrize("kind", ["labels", "labels of other weights", "entities", "scores and weights", "states"])
def test_accumulation_gives_the_weights_of_one_large_batch(
    kind: str, trained: Path, tiny_model: Path, tmp_path: Path
) -> None:
    texts = {"negative": "a bad film", "positive": "it was a very good film"}
    dataset = toy_entities() if kind == "entities" else toy_dataset(labels=("negative", "positive"), texts=texts)
    guidance = Guidance(
        teachers={dataset.head.name: OwnTeacher(read_checkpoint(trained))}, state_weight=float(kind == "states")
    )
    records = dataset.train.records
    dataset = replace(dataset, train=replace(dataset.train, records=records + records[:1] * 5))  # one label is rarer
    networks, steps = [], 3 * -(-len(dataset.train.records) // 8)
    for batch_size, accumulation in ((8, 1), (2, 4)):
        settings = FinetuneSettings(
            epochs=3, batch_size=batch_size, accumulation=accumulation, learning_rate=1e-4, max_length=32,
            class_weights=kind in ("labels of other weights", "scores and weights"),
        )  # fmt: skip
        student = with_heads(read_checkpoint(tiny_model), [dataset.head], settings)
        run = open_run(tmp_path / str(accumulation), torch.device("cpu"), torch.float32, resume=False)
        events = finetune(
            student, [dataset], settings, run, guidance if kind in ("scores and weights", "states") else None
        )
        assert sum(isinstance(event, Step) for event in events) == steps
        networks.append(student.network.state_dict())
    for name, tensor in networks[0].items():
        if not name.endswith("key.bias"):  # which changes nothing: its gradient is rounding, made large by Adam
            torch.testing.assert_close(tensor, networks[1][name], atol=2e-5, rtol=1e-3, msg=name)


def test_a_student_believes_its_teacher_more_than_wrong_labels(
    toy: Path, trained: Path, tiny_model: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in (toy / "train.jsonl").read_text().splitlines()]
    other = {"negative": "positive", "positive": "negative"}
    (tmp_path / "train.jsonl").write_text(
        "".join(json.dumps(row | {"label": other[row["label"]]}) + "\n" for row in rows)
    )
    (tmp_path / "dev.jsonl").write_bytes((toy / "dev.jsonl").read_bytes())
    arguments = toy_arguments(tmp_path, tiny_model, tmp_path / "student")
    ran = run_sqbert(*arguments, "--teacher", trained, "--teacher-weight", "1")
    assert ran.status == 0, ran.err
    training = json.loads((tmp_path / "student" / "training.json").read_text())
    assert training["teacher"] == str(trained)
    assert next(iter(training["scores"].values()))["metrics"]["accuracy"] > 0.95


def test_a_teacher_may_have_its_labels_in_another_order(trained: Path, tiny_model: Path, tmp_path: Path) -> None:
    teacher = read_checkpoint(trained)
    head = replace(teacher.heads[0], labels=teacher.heads[0].labels[::-1])
    turned = read_checkpoint(trained)
    for parameter in turned.network.heads[head.name].classifier.parameters():  # type: ignore[union-attr]
        parameter.data = parameter.data.flip(0)
    dataset = toy_dataset(labels=("negative", "positive"), texts={"negative": "a bad film", "positive": "a good film"})
    settings = FinetuneSettings(epochs=2, batch_size=4, max_length=32)
    losses = []
    for number, guide in enumerate((teacher, replace(turned, heads=(head,)))):
        student = with_heads(read_checkpoint(tiny_model), [dataset.head], settings)
        run = open_run(tmp_path / str(number), torch.device("cpu"), torch.float32, resume=False)
        events = finetune(student, [dataset], settings, run, Guidance(teachers={dataset.head.name: OwnTeacher(guide)}))
        losses.append([event.loss for event in events if isinstance(event, Step)])
    assert losses[0] == losses[1]


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


def test_a_loss_that_is_no_number_ends_the_run(tiny_model: Path, tmp_path: Path) -> None:
    dataset = toy_dataset()
    settings = FinetuneSettings(batch_size=4, max_length=32)
    student = with_heads(read_checkpoint(tiny_model), [dataset.head], settings)
    next(student.network.parameters()).data.fill_(float("nan"))
    with pytest.raises(SqbertError, match="step 1: the loss is nan") as caught:
        list(finetune(student, [dataset], settings, Run(tmp_path, torch.device("cpu"), torch.float32)))
    assert "--learning-rate" in str(caught.value.hint)


def test_a_step_that_does_not_fit_is_told(tiny_model: Path) -> None:
    def losses(step: int) -> Iterator[MicroBatch]:
        raise torch.OutOfMemoryError

    trainer = make_trainer(read_checkpoint(tiny_model).network, OptimiserSettings(learning_rate=1e-3), 10)
    with pytest.raises(SqbertError, match="step 1 does not fit") as caught:
        list(optimise(trainer, losses))
    assert "--accumulation" in str(caught.value.hint)


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


def test_only_the_encoders_embeddings_have_a_rate_of_their_own(tiny_model: Path) -> None:
    head = HeadConfig(name="embeddings", kind="sequence", labels=("a", "b"))
    network = network_with_heads(read_checkpoint(tiny_model), [head], dropout=0, seed=1).network
    make_trainer(network, OptimiserSettings(learning_rate=1e-3, embedding_rate=0), 10)
    assert {name.split(".")[1] for name, one in network.named_parameters() if not one.requires_grad} == {"embeddings"}
    assert all(parameter.requires_grad for parameter in network.heads.parameters())


def test_a_teacher_of_other_labels_is_refused(
    toy: Path, make_model: Callable[..., Path], tiny_model: Path, tmp_path: Path
) -> None:
    teacher = make_model(labels=("sport", "politics"))
    ran = run_sqbert(*toy_arguments(toy, tiny_model, tmp_path / "student"), "--teacher", teacher)
    assert ran.status == 1
    assert "tells sport, politics, `classifier` wants negative, positive" in ran.err


def test_frozen_embeddings_stay_and_biases_and_norms_do_not_decay(tiny_model: Path) -> None:
    network = read_checkpoint(tiny_model).network
    trainer = make_trainer(network, OptimiserSettings(learning_rate=1e-3, embedding_rate=0), 10)
    decay = {
        id(parameter): group["weight_decay"]
        for group in trainer.optimiser.param_groups
        for parameter in group["params"]
    }
    for name, parameter in network.named_parameters():
        if "embeddings" in name:
            assert not parameter.requires_grad
            assert id(parameter) not in decay
        else:
            plain = name.endswith("bias") or "norm" in name.lower()
            assert decay[id(parameter)] == (0 if plain else 0.01), name


FAULTS = """
import platform, resource, torch
from sqbert_cli.model.device import keep_freed_memory
keep_freed_memory()
faults = []
for _ in range(24):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(2**24)
    faults.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
print(platform.libc_ver()[0] or "none", *faults)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's memory")
def test_memory_that_a_step_frees_serves_the_next() -> None:
    ended = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True, timeout=60)
    libc, first, *others = ended.stdout.split()
    if libc == "glibc":  # the heap may grow for some rounds more; then half of what one round takes is for noise
        assert sum(map(int, others[-12:])) < int(first) / 2


def test_the_rate_warms_up_and_falls_to_zero() -> None:
    layer = torch.nn.Linear(1, 1)
    trainer = make_trainer(layer, OptimiserSettings(learning_rate=1.0, warmup_fraction=0.2), 10)
    assert [trainer.rate(step) for step in range(10)] == pytest.approx(
        [0.5, 1, 1, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]
    )


def test_each_epoch_shows_every_example_once_and_differently() -> None:
    sampler = Sampler(tuple(range(103)), 10, 42)
    epochs = [[row for step in range(11) for row in sampler.batch(epoch * 11 + step)] for epoch in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(103))
    assert epochs[0] != epochs[1]
    assert list(Sampler(tuple(range(103)), 10, 42).batch(15)) == list(sampler.batch(15))


def test_no_text_makes_up_a_step_alone_nor_always_with_the_same_others() -> None:
    sampler = Sampler(tuple(range(20, 341)), 32, 42)
    epochs = [[set(sampler.batch(epoch * 11 + step)) for step in range(11)] for epoch in range(4)]
    assert {len(batch) for epoch in epochs for batch in epoch} <= {29, 30}
    with_the_longest = [next(batch for batch in epoch if 320 in batch) for epoch in epochs]
    assert len(set(map(frozenset, with_the_longest))) == 4
    assert max(max(batch) - min(batch) for epoch in epochs for batch in epoch) < 110

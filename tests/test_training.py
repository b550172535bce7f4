"""Training overfits, repeats itself to the bit, and survives being killed; distillation starts where it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sqbert_cli.api import classify
from sqbert_cli.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.predict.rows import head_rows
from sqbert_cli.predict.texts import encode
from sqbert_cli.records import Classification, Record
from sqbert_cli.tasks.dataset import Split
from sqbert_cli.training.examples import make_lesson
from sqbert_cli.training.finetune import Evaluation, finetune, with_heads
from sqbert_cli.training.guides import Guidance
from sqbert_cli.training.lessons import TextLesson
from sqbert_cli.training.optimise import Step
from sqbert_cli.training.run import Run, open_run
from sqbert_cli.training.settings import FinetuneSettings
from sqbert_cli.training.teacher import OwnTeacher
from tests.conftest import run_sqbert
from tests.toys import toy_arguments, toy_dataset, toy_entities


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


def test_a_teacher_that_reads_less_is_refused(
    toy: Path, make_model: Callable[..., Path], tiny_model: Path, tmp_path: Path
) -> None:
    teacher = make_model(max_position_embeddings=8)
    ran = run_sqbert(*toy_arguments(toy, tiny_model, tmp_path / "student"), "--teacher", teacher)
    assert ran.status == 1
    assert "reads 8 tokens at most" in ran.err


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


@pytest.mark.parametrize(("labels", "doubt"), [(2, 0.0), (19, 0.0), (20, 0.1)])
def test_many_labels_are_doubted_unless_it_is_said(labels: int, doubt: float, tiny_model: Path) -> None:
    dataset = toy_dataset(labels=("bad", "good", *map(str, range(labels - 2))))
    student = with_heads(read_checkpoint(tiny_model), [dataset.head], FinetuneSettings())
    lesson, told = make_lesson(student, dataset), make_lesson(student, dataset, smoothing=0.0)
    assert isinstance(lesson, TextLesson)
    assert isinstance(told, TextLesson)
    assert (lesson.smoothing, told.smoothing) == (doubt, 0.0)


def test_an_option_that_the_task_cannot_listen_to_is_told(tiny_model: Path, tmp_path: Path) -> None:
    dataset = toy_dataset("regression", ("score",))
    for option, values in (("class-weights", {"class_weights": True}), ("label-smoothing", {"label_smoothing": 0.1})):
        settings = FinetuneSettings(**values)  # type: ignore[arg-type]
        student = with_heads(read_checkpoint(tiny_model), [dataset.head], settings)
        with pytest.raises(SqbertError, match=f"`--{option}` does nothing for this task"):
            list(finetune(student, [dataset], settings, Run(tmp_path, torch.device("cpu"), torch.float32)))


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


def test_a_teacher_of_other_labels_is_refused(
    toy: Path, make_model: Callable[..., Path], tiny_model: Path, tmp_path: Path
) -> None:
    teacher = make_model(labels=("sport", "politics"))
    ran = run_sqbert(*toy_arguments(toy, tiny_model, tmp_path / "student"), "--teacher", teacher)
    assert ran.status == 1
    assert "tells sport, politics, `classifier` wants negative, positive" in ran.err

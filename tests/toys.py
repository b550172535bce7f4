"""Tasks small enough to be learnt in seconds."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import torch
from safetensors.torch import load_file

from sqbert_cli.checkpoint import Checkpoint, read_checkpoint
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.records import Record, Span
from sqbert_cli.tasks.dataset import Dataset, Split
from sqbert_cli.tasks.entities import tags_of
from sqbert_cli.text.corpus import TokenFile, read_tokens, tokenize
from sqbert_cli.text.tokenizer import Tokenizer
from sqbert_cli.training.finetune import finetune, with_heads
from sqbert_cli.training.run import Run
from sqbert_cli.training.settings import FinetuneSettings

FILLERS = ["the", "a", "was", "is", "not", "very", "and", "but", "it", "i"]
CPU = torch.device("cpu")


def sentences(count: int, seed: int) -> list[list[tuple[str, str]]]:
    """`good` and what follows it is a person, `bad` alone a place."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        row = [(word, "O") for word in draw.choices(FILLERS, k=draw.randint(2, 5))]
        row += [("good", "B-PER"), (draw.choice(["film", "boring", "don't"]), "I-PER")] if draw.random() < 0.6 else []
        row += [(draw.choice(FILLERS), "O")]
        row += [("bad", "B-LOC"), (".", "O")] if draw.random() < 0.6 else [("fun", "O")]
        made.append(row)
    return made


def write_conll(path: Path, rows: list[list[tuple[str, str]]]) -> Path:
    path.write_text("\n\n".join("\n".join(" ".join(pair) for pair in row) for row in rows) + "\n")
    return path


def write_questions(path: Path, count: int, seed: int) -> Path:
    """The answer is a number and what there is so many of; some texts have none, some are several windows."""
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        words = draw.choices(FILLERS, k=draw.randint(5, 40))
        number, thing = draw.choice(["one", "two", "three"]), draw.choice(["film", "fun"])
        answer = f"{number} {thing}" if draw.random() < 0.8 else None
        if answer is not None:
            words.insert(draw.randrange(len(words)), answer)
        context = " ".join(words)
        answers = [] if answer is None else [{"text": answer, "answer_start": context.index(answer)}]
        lines.append(
            json.dumps({"question": draw.choice(["it ?", "was it ?"]), "context": context, "answers": answers})
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def teach(model: Path, datasets: list[Dataset], folder: Path, **values: object) -> tuple[Checkpoint, list[object]]:
    settings = FinetuneSettings(**{"batch_size": 16, "dropout": 0.0, "max_length": 32, **values})  # type: ignore[arg-type]
    student = with_heads(read_checkpoint(model), [dataset.head for dataset in datasets], settings)
    folder.mkdir()
    return student, list(finetune(student, datasets, settings, Run(folder, CPU, torch.float32)))


GOOD = ("good", "great", "fun", "loved")
BAD = ("bad", "awful", "boring", "hated")


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


def toy_arguments(toy: Path, model: Path, output: Path) -> list[str]:
    return [
        "finetune", "--train", str(toy / "train.jsonl"), "--dev", str(toy / "dev.jsonl"), "--model", str(model),
        "--output", str(output), "--epochs", "8", "--batch-size", "8", "--learning-rate", "2e-3", "--threads", "1",
        "--eval-steps", "20", "--save-steps", "7",
    ]  # fmt: skip


def same_weights(one: Path, other: Path) -> bool:
    ours, theirs = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


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


def toy_entities() -> Dataset:
    """Texts that have more words, or fewer, to be told."""
    records = [Record("a good film", spans=(Span(2, 6, "THING"),)), Record("film"), Record("it was not very bad")]
    split = Split(name="toy", records=tuple(replace(one, spans=one.spans or ()) for one in records * 4))
    head = HeadConfig(name="toy", kind="token", labels=tags_of(["THING"]))
    return Dataset(name="toy", head=head, metrics=(), train=split, dev=(split,))


def tokens_of(path: Path, tokenizer: Tokenizer, folder: Path) -> TokenFile:
    for _ in tokenize(path, tokenizer, folder):
        pass
    return read_tokens(path, tokenizer, folder)

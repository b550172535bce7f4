"""What fine-tuning learns from, shown before it begins; and how well it did, in the model's folder and shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.commands.training_view import show_scores
from sqbert_cli.console import show_warning, talk
from sqbert_cli.evaluation import judge
from sqbert_cli.records import Record
from sqbert_cli.tasks.choose import counts_of, problems_of, read_pairs
from sqbert_cli.tasks.dataset import Dataset, bad_lines, split_hash
from sqbert_cli.tasks.running_text import read_text
from sqbert_cli.text.fields import Fields
from sqbert_cli.training.run import Run, finish_run, round_weights


def show_datasets(datasets: Iterable[Dataset]) -> None:
    """Say how much there is, and what is wrong with it. Raises `SqbertError` if there is nothing to learn."""
    for dataset in datasets:
        for problem in problems_of(dataset):
            show_warning(problem)
        for line in counts_of(dataset):
            talk.print(line)


def read_unlabelled(
    files: Mapping[str, Path], datasets: Iterable[Dataset], fields: Fields, characters: int
) -> Mapping[str, Sequence[Record]]:
    """Return the texts of each head, or the pairs of texts where it is about such; `characters` are of texts."""
    found: dict[str, Sequence[Record]] = {}
    for dataset in datasets:
        name = dataset.head.name
        if name not in files:
            continue
        if any(record.pair is not None for record in dataset.train.records):
            split = read_pairs(files[name], dataset.head, fields)
        else:
            split = read_text([files[name]], characters, shortest=1)
        if split.bad:
            show_warning(bad_lines(split))
        found[name] = split.records
        talk.print(f"{name}: {files[name]}: {len(split.records):,} texts without labels")
    return found


def finish(
    student: Checkpoint, datasets: Sequence[Dataset], run: Run, save_dtype: str, training: Mapping[str, Any]
) -> None:
    """Judge the weights as they are saved, on all that the datasets have for it; save them, and show the scores."""
    round_weights(student, save_dtype)
    before = {dataset.name: f"{dataset.name}: " if len(datasets) > 1 else "" for dataset in datasets}
    scores = {
        before[d.name] + split.name: judge(student, split, d.metrics, d.head) for d in datasets for split in d.dev
    }
    about = {
        "data": {before[d.name] + split.name: split_hash(split) for d in datasets for split in (d.train, *d.dev)},
        "scores": {name: asdict(of_split) for name, of_split in scores.items()},
    }
    finish_run(run, student, save_dtype, {**training, **about})
    for name, of_split in scores.items():
        show_scores(name, of_split)
    talk.print(f"saved to {run.folder.parent}")

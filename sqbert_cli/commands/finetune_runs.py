"""What fine-tuning learns from, shown before it begins; and how well it did, in the model's folder and shown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.console import show_warning, talk
from sqbert_cli.evaluation import judge
from sqbert_cli.records import Record
from sqbert_cli.tasks.choose import Source, counts_of, problems_of, read_unlabelled
from sqbert_cli.tasks.dataset import Dataset, bad_lines, split_hash
from sqbert_cli.training.run import Run, finish_run, round_weights
from sqbert_cli.views.training import show_scores, told_of_resume


def show_datasets(datasets: Sequence[Dataset]) -> None:
    """Say how much there is, and what is wrong with it. Raises `SqbertError` if there is nothing to learn."""
    for dataset in datasets:
        for problem in problems_of(dataset):
            show_warning(problem)
        for line in counts_of(dataset):
            talk.print(_of_which(dataset, datasets) + line)


def _of_which(dataset: Dataset, datasets: Sequence[Dataset]) -> str:
    """What goes before the name of a file where there are several tasks."""
    return f"{dataset.name}: " if len(datasets) > 1 else ""


def gather_unlabelled(
    files: Mapping[str, Path], datasets: Iterable[Dataset], source: Source
) -> dict[str, Sequence[Record]]:
    """Return the examples without labels of each head that has a file of them."""
    found: dict[str, Sequence[Record]] = {}
    for name, dataset in ((dataset.head.name, dataset) for dataset in datasets if dataset.head.name in files):
        split = read_unlabelled(files[name], dataset, source)
        if split.bad:
            show_warning(bad_lines(split))
        found[name] = split.records
        talk.print(f"{name}: {split.name}: {len(split.records):,} examples without labels")
    return found


def finish(
    student: Checkpoint, datasets: Sequence[Dataset], run: Run, save_dtype: str, training: Mapping[str, Any]
) -> None:
    """Judge the weights as they are saved, on all that the datasets have for it; save them, and show the scores."""
    round_weights(student, save_dtype)
    with told_of_resume(run):
        scores = {
            _of_which(d, datasets) + split.name: judge(student, split, d.metrics, d.head)
            for d in datasets
            for split in d.dev
        }
    about = {
        "data": {
            _of_which(d, datasets) + split.name: split_hash(split) for d in datasets for split in (d.train, *d.dev)
        },
        "scores": {name: asdict(of_split) for name, of_split in scores.items()},
    }
    finish_run(run, student, save_dtype, {**training, **about})
    for name, of_split in scores.items():
        show_scores(name, of_split)
    talk.print(f"saved to {run.folder.parent}")

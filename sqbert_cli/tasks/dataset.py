"""Labelled examples to learn from and to be judged by."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig, ProblemType
from sqbert_cli.records import BadRecord, Gold, Record
from sqbert_cli.tasks.metrics import OWN_METRICS, Metric
from sqbert_cli.text.readers import Fields, Format, read_records

HELD_OUT_SHARE = 0.1
LISTED = 5
HEAD_NAME = "classifier"


@dataclass(frozen=True, kw_only=True)
class Split:
    """The examples of one file, and the lines of it that cannot be used."""

    name: str
    records: tuple[Record, ...]
    bad: tuple[BadRecord, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """Examples, what is to be told of them, and how it is judged."""

    name: str
    head: HeadConfig
    metrics: tuple[Metric, ...]
    train: Split
    dev: tuple[Split, ...]
    """The first decides which weights are the best."""


def read_split(path: Path, fields: Fields, problem: ProblemType, format: Format = "auto") -> Split:
    """Read labelled records, and sort out the lines that cannot be used."""
    items = [
        item if isinstance(item, BadRecord) else with_gold(item, problem) for item in read_records(path, format, fields)
    ]
    return make_split(str(path), items)


def make_split(name: str, items: Iterable[Record | BadRecord]) -> Split:
    items = list(items)
    records = tuple(item for item in items if isinstance(item, Record))
    bad = tuple(item for item in items if isinstance(item, BadRecord))
    if not records:
        reason = f"; the first problem: {bad[0].source}: {bad[0].reason}" if bad else ""
        raise SqbertError(f"`{name}` has no examples{reason}")
    return Split(name=name, records=records, bad=bad)


def with_gold(record: Record, problem: ProblemType) -> Record | BadRecord:
    """Read a label as the problem wants it: a name, several names (a list, or a text with commas), or a number."""
    gold = record.gold
    if problem == "regression":
        try:
            return replace(record, gold=float(gold))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return BadRecord(record.source, f"the label {gold!r} is not a number")
    if problem == "multi_label_classification":
        names = gold if isinstance(gold, tuple) else str(_name(gold)).split(",")
        return replace(record, gold=tuple(name.strip() for name in names if name.strip()))
    if isinstance(gold, tuple):
        return BadRecord(record.source, f"{len(gold)} labels; for several labels a text: `--multi-label`")
    name = _name(gold)
    return replace(record, gold=name) if name else BadRecord(record.source, "the label is empty")


def problem_of(multi_label: bool, regression: bool) -> ProblemType:
    if multi_label and regression:
        raise SqbertError("`--multi-label` and `--regression` exclude one another")
    if regression:
        return "regression"
    return "multi_label_classification" if multi_label else "single_label_classification"


def own_dataset(
    train_path: Path, dev_path: Path | None, fields: Fields, format: Format, problem: ProblemType, seed: int
) -> Dataset:
    """Read one's own files and discover the labels (sorted); without a dev file a tenth of the examples is held out."""
    train = read_split(train_path, fields, problem, format)
    if dev_path is None:
        train, dev = hold_out(train, seed)
    else:
        dev = read_split(dev_path, fields, problem, format)
    names = sorted({label for record in train.records for label in labels_of(record.gold)})
    labels = ("score",) if problem == "regression" else tuple(names)
    head = HeadConfig(name=HEAD_NAME, kind="sequence", labels=labels, problem_type=problem)
    return Dataset(name=train_path.name, head=head, metrics=OWN_METRICS[problem], train=train, dev=(dev,))


def hold_out(split: Split, seed: int) -> tuple[Split, Split]:
    """Take a tenth of a split away as dev, drawn by seed."""
    order = random.Random(seed).sample(split.records, len(split.records))
    count = max(1, round(len(order) * HELD_OUT_SHARE))
    held_out = Split(name=f"a tenth of {split.name}, held out", records=tuple(order[:count]))
    return replace(split, records=tuple(order[count:])), held_out


def check(dataset: Dataset) -> list[str]:
    """Return what the user should know of the data; raise `SqbertError` where there is nothing to learn."""
    if dataset.head.problem_type != "regression":
        _check_labels(dataset)
    notes = [bad_lines(split) for split in (dataset.train, *dataset.dev) if split.bad]
    if dataset.head.problem_type != "regression":
        counts = Counter(label for record in dataset.train.records for label in labels_of(record.gold))
        notes += [f"label `{label}` has only {counts[label]} example(s)" for label in dataset.head.labels
                  if counts[label] < LISTED]  # fmt: skip
    return notes + [note for split in dataset.dev if (note := _duplicates(dataset.train, split))]


def check_known(split: Split, labels: Sequence[str]) -> None:
    """Raise `SqbertError` where examples have labels that the model cannot tell."""
    unknown = {
        label: record for record in reversed(split.records) for label in labels_of(record.gold) if label not in labels
    }
    if unknown:
        listed = ", ".join(f"`{label}` ({record.source})" for label, record in list(unknown.items())[:LISTED])
        raise SqbertError(
            f"`{split.name}` has {len(unknown)} label(s) that are not known: {listed}",
            hint=f"known are: {', '.join(labels[:20])}",
        )


def bad_lines(split: Split) -> str:
    """Say which lines of a split are left out, and why."""
    listed = "".join(f"\n  {bad.source}: {bad.reason}" for bad in split.bad[:LISTED])
    more = f"\n  and {len(split.bad) - LISTED} more" if len(split.bad) > LISTED else ""
    return f"{len(split.bad)} line(s) of `{split.name}` cannot be used and are left out:{listed}{more}"


def fingerprint(split: Split) -> str:
    """A hash of a split's texts and labels."""
    digest = sha256()
    for record in split.records:
        digest.update(repr((record.text, record.pair, record.gold)).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def labels_of(gold: Gold | None) -> tuple[str, ...]:
    return gold if isinstance(gold, tuple) else (str(gold),)


def _check_labels(dataset: Dataset) -> None:
    seen = {label for record in dataset.train.records for label in labels_of(record.gold)}
    if len(seen) < 2 and dataset.head.problem_type == "single_label_classification":
        raise SqbertError(
            f"`{dataset.train.name}`: every example has the same label, `{next(iter(seen))}`",
            hint="at least two labels are needed; is it the right column? name it with `--label-field`",
        )
    for split in (dataset.train, *dataset.dev):
        check_known(split, dataset.head.labels)


def _duplicates(train: Split, dev: Split) -> str | None:
    places = {(record.text, record.pair): record.source for record in train.records}
    twice = [record for record in dev.records if (record.text, record.pair) in places]
    if not twice:
        return None
    first = twice[0]
    return (
        f"{len(twice)} of {len(dev.records)} dev examples are among the training examples too, so the score flatters: "
        f"{first.source} is {places[first.text, first.pair]}"
    )


def _name(gold: Gold | None) -> str:
    return f"{gold:g}" if isinstance(gold, float) else str(gold or "").strip()

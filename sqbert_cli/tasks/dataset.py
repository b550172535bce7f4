"""Labelled examples to learn from and to be judged by."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig, ProblemType
from sqbert_cli.records import BadRecord, Record, labels_of
from sqbert_cli.tasks.metrics import OWN_METRICS, Metric
from sqbert_cli.text.fields import Fields, first_of
from sqbert_cli.text.files import name_of
from sqbert_cli.text.readers import Format, read_records

HELD_OUT_SHARE = 0.1
LISTED = 5
"""Of many problems of a kind, so many are told."""
FEW_EXAMPLES = 5
"""A label with fewer is hardly learnt."""
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
    return make_split(name_of(path), items)


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
    if gold is None:
        return BadRecord(record.source, "no label")
    if problem == "regression":
        number = finite(gold)
        if number is None:
            return BadRecord(record.source, f"the label {gold!r} is not a number")
        return replace(record, gold=number)
    if problem == "multi_label_classification":
        names = gold if isinstance(gold, tuple) else _names_in(str(gold))
        return replace(record, gold=tuple(dict.fromkeys(name.strip() for name in names if name.strip())))
    if isinstance(gold, tuple):
        return BadRecord(
            record.source, f"{len(gold)} labels where one is wanted (`finetune --multi-label` learns several)"
        )
    name = str(gold).strip()
    return replace(record, gold=name) if name else BadRecord(record.source, "the label is empty")


def _names_in(cell: str) -> list[str]:
    """Names with commas between, or the JSON list that we write into a cell of CSV."""
    if cell.lstrip().startswith("["):
        with suppress(ValueError, RecursionError):
            names = json.loads(cell)
            if all(isinstance(name, str) for name in names):
                return list(names)
    return cell.split(",")


def finite(value: object) -> float | None:
    """Read a number; NaN, infinities and what is no number are None."""
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def problem_of(multi_label: bool, regression: bool) -> ProblemType:
    if regression:
        return "regression"
    return "multi_label_classification" if multi_label else "single_label_classification"


def own_dataset(name: str, train: Split, dev: Split | None, problem: ProblemType, seed: int) -> Dataset:
    """Discover the labels of one's own examples (sorted); without a dev split a tenth is held out."""
    known, held_out = with_dev(train, dev, seed)
    names = sorted({label for record in known.records for label in labels_of(record.gold)})
    labels = ("score",) if problem == "regression" else tuple(names)
    head = HeadConfig(name=HEAD_NAME, kind="sequence", labels=labels, problem_type=problem)
    return Dataset(name=name, head=head, metrics=OWN_METRICS[problem], train=known, dev=(held_out,))


def joined(splits: Sequence[Split]) -> Split:
    """Make one of several files."""
    return Split(
        name=", ".join(split.name for split in splits),
        records=tuple(record for split in splits for record in split.records),
        bad=tuple(bad for split in splits for bad in split.bad),
    )


def with_dev(train: Split, dev: Split | None, seed: int, most: int | None = None) -> tuple[Split, Split]:
    """Return what is learnt and what it is judged by: without a dev split a tenth of it, or `most`."""
    return (train, dev) if dev else hold_out(train, seed, most)


def hold_out(split: Split, seed: int, most: int | None = None) -> tuple[Split, Split]:
    """Take a tenth of a split away as dev, drawn by seed: all of equal texts together, whatever is said of them.

    Of every label an example is left to learn from.
    """
    of_one_text = defaultdict[str, list[Record]](list)
    for record in split.records:
        of_one_text[record.text].append(record)
    wanted = min(max(1, round(len(split.records) * HELD_OUT_SHARE)), most or len(split.records))
    train, dev = _divided(list(of_one_text.values()), wanted, seed)
    if not dev:  # much is said of each text, or all of one
        train, dev = _divided([[record] for record in split.records], wanted, seed)
    if not dev or not train:
        raise SqbertError(
            f"`{split.name}` has too few examples to hold some out", hint="name a file of others with `--dev`"
        )
    return replace(split, records=tuple(train)), Split(name=f"held out of {split.name}", records=tuple(dev))


def _divided(groups: list[list[Record]], wanted: int, seed: int) -> tuple[list[Record], list[Record]]:
    """Take groups away, in an order drawn by seed, until there are about as many records as wanted."""
    left = _count_labels(record for group in groups for record in group)
    train, dev = list[Record](), list[Record]()
    for group in random.Random(seed).sample(groups, len(groups)):
        own = _count_labels(group)
        fits = len(dev) < wanted and len(dev) + len(group) <= 2 * wanted
        if fits and all(left[label] > own[label] for label in own):
            dev += group
            left -= own
        else:
            train += group
    return train, dev


def _count_labels(records: Iterable[Record]) -> Counter[str]:
    """In how many examples each is; numbers are no labels."""
    return Counter(label for record in records for label in _labels(record))


def _labels(record: Record) -> Collection[str]:
    if record.spans is not None:
        return {span.label for span in record.spans}
    return () if isinstance(record.gold, float) else labels_of(record.gold)


def check(dataset: Dataset) -> list[str]:
    """Return what the user should know of the data; raise `SqbertError` where there is nothing to learn."""
    if dataset.head.kind == "sequence":
        _check_labels(dataset)
    notes = [bad_lines(split) for split in (dataset.train, *dataset.dev) if split.bad]
    if dataset.head.kind in ("sequence", "token") and dataset.head.problem_type != "regression":
        counts = _count_labels(dataset.train.records)
        known = dataset.head.labels if dataset.head.kind == "sequence" else sorted(counts)
        if rare := [f"`{label}` ({counts[label]})" for label in known if counts[label] < FEW_EXAMPLES]:
            notes.append(f"labels with fewer than {FEW_EXAMPLES} examples: {first_of(rare, LISTED)}")
    return notes + [note for split in dataset.dev if (note := _duplicates(dataset.train, split))]


def check_known(split: Split, labels: Sequence[str]) -> None:
    """Raise `SqbertError` where examples have labels that the model cannot tell."""
    known = set(labels)
    unknown = {
        label: record for record in reversed(split.records) for label in labels_of(record.gold) if label not in known
    }
    if unknown:
        listed = ", ".join(f"`{label}` ({record.source})" for label, record in list(unknown.items())[:LISTED])
        raise SqbertError(
            f"`{split.name}` has {len(unknown)} label(s) that are not known: {listed}",
            hint=f"known are: {', '.join(labels[:20])}",
        )


def bad_lines(split: Split) -> str:
    """Say which lines of a split are left out, and why."""
    return under(
        f"{len(split.bad)} line(s) of `{split.name}` cannot be used and are left out",
        [f"{bad.source}: {bad.reason}" for bad in split.bad],
    )


def under(heading: str, places: Sequence[str]) -> str:
    """A heading with the first places below it, each on a line of its own."""
    return f"{heading}:\n  " + first_of(places, LISTED, "\n  ", "\n  and ")


def split_hash(split: Split) -> str:
    """SHA-256 of a split's texts and labels."""
    digest = sha256()
    for record in split.records:
        digest.update(repr((record.text, record.pair, record.gold, record.spans)).encode("utf-8", "backslashreplace"))
    return digest.hexdigest()


def _check_labels(dataset: Dataset) -> None:
    seen = {label for record in dataset.train.records for label in labels_of(record.gold)}
    if not seen:
        raise SqbertError(f"`{dataset.train.name}`: no example has a label", hint="is it the right column?")
    if len(seen) < 2 and dataset.head.problem_type != "multi_label_classification":
        raise SqbertError(
            f"`{dataset.train.name}`: every example has the same label, `{next(iter(seen))}`",
            hint="at least two labels are needed; is it the right column? name it with `--label-field`",
        )
    if dataset.head.problem_type != "regression":
        for split in (dataset.train, *dataset.dev):
            check_known(split, dataset.head.labels)


def _duplicates(train: Split, dev: Split) -> str | None:
    places = {(record.text, record.pair): record.source for record in train.records}
    twice = [record for record in dev.records if (record.text, record.pair) in places]
    if not twice:
        return None
    first = twice[0]
    example = f": {first.source} is {places[first.text, first.pair]}" if first.source else ""
    return (
        f"{len(twice)} of {len(dev.records)} dev examples are among the training examples too, so the score flatters"
        + example
    )

"""Entailment from files of the usual sets (SNLI, MNLI, SICK and their kin), whatever they call their columns."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.records import BadRecord, Record
from sqbert_cli.tasks.dataset import Dataset, Split, make_split, with_dev
from sqbert_cli.tasks.glue import TASKS
from sqbert_cli.text.fields import FoundFields
from sqbert_cli.text.files import name_of, read_lines
from sqbert_cli.text.readers import Format, guess_format, is_stream, read_records
from sqbert_cli.text.tables import delimiter

COLUMNS = (
    ("premise", "sentence1", "sentence_A", "text"),
    ("hypothesis", "sentence2", "sentence_B", "pair"),
    ("gold_label", "label", "entailment_judgment", "entailment_label"),
)
KEYS = re.compile(r'"(\w+)"\s*:')
LABELS = TASKS["mnli"].labels
SPELLED = {label: label for label in LABELS} | {str(number): label for number, label in enumerate(LABELS)}
UNDECIDED = ("-", "-1")
"""What SNLI and the hub write where the annotators did not agree."""


def read_nli(path: Path, format: Format = "auto") -> Split:
    """Read pairs of sentences; those that have no label by agreement are left out silently, as is usual."""
    if format == "auto":
        format = guess_format(path)
        format = "tsv" if format == "text" else format  # as SNLI's and SICK's own files are
    return make_split(name_of(path), _records(path, format))


def nli_dataset(train: Split, dev: Split | None, seed: int) -> Dataset:
    known, held_out = with_dev(train, dev, seed)
    head = HeadConfig(name="nli", kind="sequence", labels=LABELS)
    return Dataset(name="nli", head=head, metrics=("accuracy", "macro_f1"), train=known, dev=(held_out,))


def _records(path: Path, format: Format) -> Iterator[Record | BadRecord]:
    text, pair, label = columns_of(path, format, COLUMNS)
    for item in read_records(path, format, FoundFields(text=text, pair=pair, label=label)):
        if isinstance(item, BadRecord):
            yield item
        elif (label := str(item.gold).lower()) in SPELLED:
            yield replace(item, gold=SPELLED[label], fields={})
        elif label not in UNDECIDED:
            yield BadRecord(item.source, f"the label `{item.gold}` is none of {', '.join(LABELS)}")


def columns_of(path: Path, format: Format, wanted: Sequence[Sequence[str]]) -> list[str]:
    """Find one of the names of each column in the first line: a header, or the keys of an object."""
    if is_stream(path):
        raise SqbertError(
            f"`{name_of(path)}` can be read once, and its columns are looked for first", hint="name a file"
        )
    first = next((line.decode("utf-8", "replace") for line in read_lines(path) if line.strip()), "").rstrip("\r\n")
    match format:
        case "jsonl":
            there = KEYS.findall(first)
        case "csv":
            there = next(csv.reader([first], delimiter=delimiter(first)), [])
        case _:
            there = first.split("\t")
    found = [name for names in wanted for name in [name for name in names if name in there][:1]]
    if len(found) < len(wanted):
        expected = "; ".join(" or ".join(f"`{name}`" for name in names) for names in wanted)
        raise SqbertError(f"`{path}` does not name its columns", hint=f"expected: {expected}")
    return found

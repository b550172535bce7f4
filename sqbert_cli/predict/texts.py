"""A label, several labels or a number for each text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.predict.rows import head_rows, whole
from sqbert_cli.predict.stream import Records, in_order
from sqbert_cli.records import BadRecord, Classification, Record
from sqbert_cli.tasks.classification import decode, scores
from sqbert_cli.text.pieces import read_ids
from sqbert_cli.text.tokenizer import Window


def classify(
    checkpoint: Checkpoint,
    records: Records,
    *,
    head: str | None = None,
    multi_label: bool = False,
    threshold: float = 0.5,
    live: bool = False,
) -> Iterator[Classification | BadRecord]:
    """Classify texts with the model's sequence head, in order; what could not be read passes through.

    A text longer than the model's window is split into windows, whose scores are averaged, weighted by their tokens.
    `multi_label` lets a single-label head give every label above `threshold`. `live` gives results for what has arrived
    without waiting for more.
    """
    chosen = _head(checkpoint, head, multi_label)
    return in_order(records, lambda some: _classify(checkpoint, chosen, some, threshold), live)


def encode(checkpoint: Checkpoint, records: Sequence[Record], max_length: int) -> list[list[Window]]:
    """Windows of each record."""
    tokenizer = checkpoint.tokenizer
    texts = read_ids(tokenizer, [record.text for record in records])
    pairs = iter(read_ids(tokenizer, [record.pair for record in records if record.pair is not None]))
    return [
        tokenizer.windows(ids, None if record.pair is None else next(pairs), max_length)
        for record, ids in zip(records, texts, strict=True)
    ]


def _classify(
    checkpoint: Checkpoint, head: HeadConfig, records: Sequence[Record], threshold: float
) -> Iterator[Classification]:
    windows = encode(checkpoint, records, checkpoint.max_length(head))
    logits = torch.stack(head_rows(checkpoint, head.name, [window for some in windows for window in some]))
    rows = whole(scores(logits, head.problem_type), windows)
    for record, some, row in zip(records, windows, rows, strict=True):
        yield decode(record, row.tolist(), head, threshold, len(some))


def _head(checkpoint: Checkpoint, name: str | None, multi_label: bool) -> HeadConfig:
    head = checkpoint.head("sequence", name)
    if not multi_label:
        return head
    if head.problem_type == "regression":
        raise SqbertError(f"model `{checkpoint.name}` predicts a number, not labels", hint="leave out `--multi-label`")
    return replace(head, problem_type="multi_label_classification")

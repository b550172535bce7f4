"""Records to predictions: a generator in order of arrival, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sqbert_cli.batch import collate
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.records import BadRecord, Classification, Record
from sqbert_cli.tasks.classification import combine, decode, scores
from sqbert_cli.text.batches import token_batches
from sqbert_cli.text.chunks import chunks, live_chunks
from sqbert_cli.text.tokenizer import Window

CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 512, 16_384
"""On a processor few enough for its cache: with 2,048 a command took 1.1 times as long and 200 MB more."""


def classify(
    checkpoint: Checkpoint,
    records: Iterable[Record | BadRecord | str],
    *,
    multi_label: bool = False,
    threshold: float = 0.5,
    live: bool = False,
) -> Iterator[Classification | BadRecord]:
    """Classify texts with the model's sequence head, in order; what could not be read passes through.

    A text longer than the model's window is split into windows, whose scores are averaged, weighted by their tokens.
    `multi_label` lets a single-label head give every label above `threshold`. `live` gives results for what has arrived
    without waiting for more.
    """
    if isinstance(records, str):
        raise TypeError("records is one string; put it into a list")
    head = _head(checkpoint, multi_label)
    stream = (Record(item, fields={"text": item}) if isinstance(item, str) else item for item in records)
    for chunk in (live_chunks if live else chunks)(stream):
        good = [record for record in chunk if isinstance(record, Record)]
        answers = iter(_classify(checkpoint, head, good, threshold))
        for record in chunk:
            yield next(answers) if isinstance(record, Record) else record


def sequence_logits(checkpoint: Checkpoint, head: str, windows: Sequence[Window]) -> Tensor:
    """Logits of windows in their own order, batched by length. *Shapes:* N windows -> (N, L), float32 on the cpu."""
    rows: list[Tensor] = [torch.empty(0)] * len(windows)
    max_tokens = CPU_BATCH_TOKENS if checkpoint.device.type == "cpu" else GPU_BATCH_TOKENS
    for indices in token_batches([len(window.input_ids) for window in windows], max_tokens):
        batch = collate([windows[index] for index in indices], checkpoint.config.pad_token_id, checkpoint.device)
        with torch.inference_mode():
            logits = checkpoint.network(head, *batch.inputs()).float().cpu()
        if not logits.isfinite().all():
            raise SqbertError(
                f"model `{checkpoint.name}` gives scores that are no numbers",
                hint="try `--dtype float32`; while training also a lower `--learning-rate`",
            )
        for index, row in zip(indices, logits, strict=True):
            rows[index] = row
    return torch.stack(rows)


def encode(checkpoint: Checkpoint, records: Sequence[Record], max_length: int) -> list[list[Window]]:
    """Windows of each record."""
    tokenizer = checkpoint.tokenizer
    texts = tokenizer.encode([record.text for record in records])
    pairs = iter(tokenizer.encode([record.pair for record in records if record.pair is not None]))
    return [
        tokenizer.windows(ids, None if record.pair is None else next(pairs), max_length)
        for record, ids in zip(records, texts, strict=True)
    ]


def _classify(
    checkpoint: Checkpoint, head: HeadConfig, records: Sequence[Record], threshold: float
) -> Iterator[Classification]:
    if not records:
        return
    windows = encode(checkpoint, records, checkpoint.max_length(head))
    logits = sequence_logits(checkpoint, head.name, [window for some in windows for window in some])
    rows = iter(scores(logits, head.problem_type).split([len(some) for some in windows]))
    for record, some in zip(records, windows, strict=True):
        row = combine(next(rows), [len(window.input_ids) for window in some])
        yield decode(record, row.tolist(), head, threshold, len(some))


def _head(checkpoint: Checkpoint, multi_label: bool) -> HeadConfig:
    head = checkpoint.head("sequence")
    if not multi_label:
        return head
    if head.problem_type == "regression":
        raise SqbertError(f"model `{checkpoint.name}` predicts a number, not labels", hint="leave out `--multi-label`")
    return replace(head, problem_type="multi_label_classification")

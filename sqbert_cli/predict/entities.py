"""Entities in texts of any length."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import get_args

import torch
from torch import Tensor

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.predict.rows import by_text
from sqbert_cli.predict.stream import Records, in_order
from sqbert_cli.records import BadRecord, Entities, Record, Word
from sqbert_cli.tasks.entities import Strategy, decode, entity_labels, judge_words, likeliest_tags, word_of_pieces
from sqbert_cli.text.fields import listed
from sqbert_cli.text.pieces import read_pieces, word_bounds
from sqbert_cli.text.tags import OUTSIDE
from sqbert_cli.text.windows import Stretch, stretches, window_stride


def find_entities(
    checkpoint: Checkpoint,
    records: Records,
    *,
    head: str | None = None,
    strategy: Strategy = "first",
    threshold: float = 0.0,
    labels: Sequence[str] | None = None,
    stride: int | None = None,
    live: bool = False,
) -> Iterator[Entities | BadRecord]:
    """Find entities with the model's token head, in order; what could not be read passes through.

    A long text is read in windows that share `stride` tokens (default: a quarter of a window); each token is judged by
    the window that has most of the text around it. `labels` keeps only entities of these, `threshold` those that score
    at least so much.
    """
    chosen = checkpoint.head("token", head)
    if strategy not in get_args(Strategy):
        raise SqbertError(f"no strategy `{strategy}`", hint=f"expected {', '.join(get_args(Strategy))}")
    window_stride(stride, checkpoint.max_length(chosen) - 2)
    if unknown := sorted(set(labels or ()) - set(entity_labels(chosen.labels))):
        raise SqbertError(
            f"model `{checkpoint.name}` has no entities called {listed(unknown)}",
            hint=f"it has: {', '.join(entity_labels(chosen.labels))}",
        )

    def answer(some: Sequence[Record]) -> Iterator[Entities]:
        texts = by_text(checkpoint, chosen.name, (token_stretches(checkpoint, chosen, one, stride) for one in some))
        for record, judged in zip(some, texts, strict=True):
            result = _entities(record, judged, chosen, strategy)
            kept = (e for e in result.entities if e.score >= threshold and (labels is None or e.label in labels))
            yield replace(result, entities=tuple(kept))

    return in_order(records, answer, live)


def token_stretches(checkpoint: Checkpoint, head: HeadConfig, record: Record, stride: int | None) -> Iterator[Stretch]:
    """Windows onto one text."""
    tokenizer, room = checkpoint.tokenizer, checkpoint.max_length(head) - 2
    frame = partial(tokenizer.window, pair_ids=None)
    return stretches(read_pieces(tokenizer, record.text), frame, 1, room, window_stride(stride, room))


def _entities(
    record: Record, judged: Iterable[tuple[Stretch, Tensor]], head: HeadConfig, strategy: Strategy
) -> Entities:
    parts, rows = [], []  # of each window what it owns
    for stretch, row in judged:
        owned = slice(stretch.owned.start, stretch.owned.stop)
        parts.append(stretch.pieces[owned])
        rows.append(row[stretch.first :][owned].softmax(-1))
    words = record.words
    if words is None:
        words = tuple(Word(*bounds) for bounds in word_bounds(parts, record.text))
        word_of = [word for part in parts for word in part.words]
    else:
        word_of = word_of_pieces([offsets for part in parts for offsets in part.offsets], words)
    of_words = judge_words(torch.cat(rows), word_of, len(words), strategy)
    chosen = likeliest_tags(of_words, head.labels) if head.scheme else of_words.argmax(-1).tolist()
    scores: list[float] = of_words.gather(1, torch.tensor(chosen, dtype=torch.long)[:, None])[:, 0].tolist()
    tags = tuple(OUTSIDE if score == 0 else head.labels[label] for label, score in zip(chosen, scores, strict=True))
    return Entities(record, decode(record.text, words, tags, scores), words, tags, len(parts))

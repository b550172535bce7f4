"""Entities: a tag for each word, learnt on its first piece. Letters: P pieces of a text, U its words, L tags."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Literal, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from sqbert_cli.records import Found, Span, Word
from sqbert_cli.text.conll import word_spans
from sqbert_cli.text.tags import OUTSIDE, broken, span_tags, split_tag, tag_spans
from sqbert_cli.text.windows import Stretch

Strategy: TypeAlias = Literal["first", "average", "max"]
NOT_LEARNT = -100


def tags_of(labels: Sequence[str]) -> tuple[str, ...]:
    """Return a head's labels for the names of entities: O, then B- and I- of each."""
    return (OUTSIDE, *(f"{prefix}-{label}" for label in labels for prefix in "BI"))


def entity_labels(tags: Sequence[str]) -> tuple[str, ...]:
    """Names of entities, without the prefixes of tags."""
    return tuple(dict.fromkeys(split_tag(tag)[1] for tag in tags if tag != OUTSIDE))


def piece_targets(stretch: Stretch, spans: Sequence[Span], tags: Sequence[str]) -> list[int]:
    """Return the index of each piece's tag: of the first of a word that of the word, of others `NOT_LEARNT`."""
    pieces = stretch.pieces
    starts = [n for n in range(len(pieces)) if (pieces.words[n] != pieces.words[n - 1] if n else stretch.is_first)]
    edges = pairwise([*starts, len(pieces)])  # none where no word begins
    words = [Word(pieces.offsets[start][0], pieces.offsets[end - 1][1]) for start, end in edges]
    targets = [NOT_LEARNT] * len(pieces)
    for start, tag in zip(starts, span_tags(word_spans(spans, words), len(words)), strict=True):
        targets[start] = tags.index(tag)
    return targets


def token_loss(logits: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
    """Cross-entropy of the pieces that are learnt. *Shapes:* (B, T, L), (B, T) -> ()."""
    flat, wanted = logits.float().flatten(0, 1), targets.flatten()
    learnt = (wanted != NOT_LEARNT).sum().clamp(min=1)
    loss = functional.cross_entropy(flat, wanted, ignore_index=NOT_LEARNT, label_smoothing=smoothing, reduction="sum")
    return loss / learnt


def word_of_pieces(offsets: Sequence[tuple[int, int]], words: Sequence[Word]) -> list[int]:
    """Return the index of the word in which each piece begins, -1 where it is in none."""
    starts = [word.start for word in words]
    places = [bisect_right(starts, start) - 1 for start, _ in offsets]
    return [
        place if place >= 0 and start < words[place].end else -1
        for place, (start, _) in zip(places, offsets, strict=True)
    ]


def judge_words(probabilities: Tensor, word_of: Sequence[int], count: int, strategy: Strategy) -> Tensor:
    """Return the probabilities of each word's tags, zeros for a word without pieces.

    `first` asks its first piece, `average` the mean of its pieces, `max` the piece that is surest (as the strategies of
    transformers' pipeline). *Shapes:* (P, L) -> (U, L).
    """
    owner = torch.tensor(word_of, dtype=torch.long)
    held = owner >= 0
    owner, rows = owner[held], probabilities[held]
    of_words = torch.zeros(count, rows.shape[1])
    if strategy == "average":
        size = torch.zeros(count).index_add_(0, owner, torch.ones(len(owner))).clamp(min=1)
        return of_words.index_add_(0, owner, rows) / size[:, None]
    order = rows.max(-1).values.argsort(descending=True, stable=True) if strategy == "max" else torch.arange(len(owner))
    order = order[owner[order].argsort(stable=True)]  # by words, and in each the piece that decides first
    decides = torch.ones(len(order), dtype=torch.bool)
    decides[1:] = owner[order][1:] != owner[order][:-1]
    of_words[owner[order][decides]] = rows[order][decides]
    return of_words


def likeliest_tags(of_words: Tensor, tags: tuple[str, ...]) -> list[int]:
    """Return the likeliest of all rows of tags that IOB2 allows, where I- only goes on from B- or I- of its label.

    What each word says for itself leaves pieces of entities behind, as `B-PER I-ORG`; so by Viterbi (1967).
    *Shape:* (U, L), O first.
    """
    alone: list[int] = of_words.argmax(-1).tolist()
    if not broken([tags[index] for index in alone]):
        return alone
    scores = of_words.clamp(min=torch.finfo(of_words.dtype).tiny).log()
    scores[of_words.sum(-1) == 0, 1:] = -torch.inf
    bars = _bars(tags)
    best, came_from = bars[0] + scores[0], []
    for row in scores[1:]:
        best, before = (best[:, None] + bars).max(0)
        best = best + row
        came_from.append(before.tolist())
    path = [int(best.argmax())]
    for before in reversed(came_from):
        path.append(before[path[-1]])
    return path[::-1]


@cache
def _bars(tags: tuple[str, ...]) -> Tensor:
    """Minus infinity where a tag may not follow another, else 0. *Shape:* (L, L), the tag before first."""
    barred = [[1 in broken((before, tag)) for tag in tags] for before in tags]
    return torch.zeros(len(tags), len(tags)).masked_fill(torch.tensor(barred), -torch.inf)


def decode(text: str, words: Sequence[Word], labels: Sequence[str], scores: Sequence[float]) -> tuple[Found, ...]:
    """Join neighbouring words of one entity, whose score is the mean of theirs. `labels` are tags."""
    return tuple(
        Found(text[start:end], start, end, sum(scores[s.start : s.end]) / (s.end - s.start), s.label)
        for s in tag_spans(labels)
        for start, end in [(words[s.start].start, words[s.end - 1].end)]
    )

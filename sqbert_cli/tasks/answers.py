"""Answers as spans of a context. Letters: B rows, T tokens of a row, P pieces of the context in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sqbert_cli.records import Found, Span
from sqbert_cli.text.pieces import word_end
from sqbert_cli.text.windows import Stretch

NO_ANSWER = (0, 0)
"""Start and end of a row that has no answer: its first token."""
BEST_OF_WINDOW = 20


def window_target(stretch: Stretch, spans: Sequence[Span]) -> tuple[int, int]:
    """Return the places in the row where the first of the answers begins and ends that is wholly in the window."""
    offsets = stretch.pieces.offsets
    for span in spans:
        inside = [i for i, (start, end) in enumerate(offsets) if start < span.end and end > span.start]
        if inside and offsets[inside[0]][0] <= span.start and offsets[inside[-1]][1] >= span.end:
            return stretch.first + inside[0], stretch.first + inside[-1]
    return NO_ANSWER


def span_loss(logits: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy of start and end. *Shapes:* (B, T, 2), (B, 2) -> (); padding has the lowest logits."""
    return functional.cross_entropy(logits.float().transpose(1, 2).flatten(0, 1), targets.flatten())


def window_answers(stretch: Stretch, logits: Tensor, max_words: int) -> tuple[list[tuple[float, int, int]], float]:
    """Return the best spans of a window, and the probability that it has none.

    A span is (probability, start, end) in characters of the context. Probabilities are over all pairs of a start and an
    end in the window, its first token being "no answer": so windows can be compared, one that has no answer gives all
    its spans little. Spans begin and end with whole words. *Shape:* (T, 2).
    """
    start, end = logits.float().softmax(0).unbind(-1)
    nothing = float(start[0] * end[0])
    pieces = stretch.pieces
    if not len(pieces):
        return [], nothing
    inside = slice(stretch.first, stretch.first + len(pieces))
    words = torch.tensor(pieces.words)
    is_first, is_last = stretch.owned.start == 0, stretch.owned.stop == len(pieces)
    change = words[1:] != words[:-1]
    begins = torch.cat([torch.tensor([is_first]), change])  # a window's edge may be within a word
    ends = torch.cat([change, torch.tensor([is_last])])
    distance = words[None, :] - words[:, None]  # (P, P)
    allowed = begins[:, None] & ends[None, :] & (distance >= 0) & (distance < max_words)
    allowed &= torch.ones_like(allowed).triu()
    joint = (start[inside, None] * end[None, inside]).where(allowed, 0.0).flatten()
    best = joint.topk(min(BEST_OF_WINDOW, len(joint)))
    spans = [
        (score, pieces.offsets[place // len(pieces)][0], pieces.offsets[place % len(pieces)][1])
        for score, place in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        if score > 0
    ]
    return spans, nothing


def best_answers(context: str, spans: Iterable[tuple[float, int, int]], count: int) -> tuple[Found, ...]:
    """Return the best spans that do not overlap, best first."""
    taken: list[Found] = []
    for score, start, end in sorted(spans, key=lambda span: (-span[0], span[1:])):
        if len(taken) == count:
            break
        if all(end <= other.start or start >= other.end for other in taken):
            whole = word_end(context, end)
            taken.append(Found(context[start:whole], start, whole, score))
    return tuple(taken)


def chance_of_none(best: float, nothing: float) -> float:
    """How likely it is that there is no answer, beside the best one: 0 to 1."""
    return nothing / (nothing + best) if nothing + best > 0 else 1.0


def question_fits(question: Sequence[int], max_length: int) -> bool:
    """Whether a window has at least as much room for the context as for the question."""
    return 2 * len(question) <= max_length - 3

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
        touched = [place for place, (start, end) in enumerate(offsets) if start < span.end and end > span.start]
        begins = stretch.is_first or (touched and offsets[0][0] <= span.start)
        ends = stretch.is_last or (touched and offsets[-1][1] >= span.end)
        if touched and begins and ends:
            return stretch.first + touched[0], stretch.first + touched[-1]
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
    nothing, pieces = float(start[0] * end[0]), stretch.pieces
    if not len(pieces):
        return [], nothing
    inside = slice(stretch.first, stretch.first + len(pieces))
    joint = (start[inside, None] * end[None, inside]).where(_whole_words(stretch, max_words), 0.0)
    found: list[tuple[float, int, int]] = []
    for _ in range(BEST_OF_WINDOW):
        score, place = joint.view(-1).max(0)
        if score <= 0:
            break
        first, last = divmod(int(place), len(pieces))
        found.append((float(score), pieces.offsets[first][0], pieces.offsets[last][1]))
        joint[: last + 1, first:] = 0  # all that overlap it
    return found, nothing


def _whole_words(stretch: Stretch, max_words: int) -> Tensor:
    """Which pairs of a first and a last piece are some words in a row. *Shape of the result:* (P, P)."""
    words = torch.tensor(stretch.pieces.words)
    change = words[1:] != words[:-1]
    begins = torch.cat([torch.tensor([stretch.is_first]), change])
    ends = torch.cat([change, torch.tensor([stretch.is_last])])
    distance = words[None, :] - words[:, None]
    allowed = begins[:, None] & ends[None, :] & (distance >= 0) & (distance < max_words)
    return allowed & torch.ones_like(allowed).triu()


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

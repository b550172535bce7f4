"""Texts without labels as more to learn from: the teacher's choice stands for the label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.records import Record
from sqbert_cli.tasks.answers import NO_ANSWER
from sqbert_cli.tasks.entities import NOT_LEARNT
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.examples import span_lesson, text_lesson, token_lesson
from sqbert_cli.training.lessons import Lesson, SpanLesson, TextLesson, TokenLesson


def unlabelled_lesson(lesson: Lesson, records: Sequence[Record], student: Checkpoint) -> Lesson:
    """Return windows of texts for the same head, whose targets are yet to be told by a teacher."""
    match lesson:
        case TextLesson(head=head):
            gold = 0.0 if head.problem_type == "regression" else head.labels[0]
            return text_lesson(
                student, head, [replace(record, gold=gold) for record in records], lesson.smoothing, False
            )
        case TokenLesson(head=head):
            return token_lesson(student, head, [replace(record, spans=()) for record in records], lesson.smoothing)
        case SpanLesson(head=head):
            return span_lesson(student, head, [replace(record, spans=()) for record in records])
    raise SqbertError(
        f"texts without labels teach labels of texts, entities, or answers, not `{lesson.head.name}`",
        hint="name another task: `--unlabelled NAME=FILE`",
    )


def joined(lesson: Lesson, more: Lesson, rows: Sequence[Tensor]) -> Lesson:
    """Return a lesson with the windows of another behind its own; `rows` are the teacher's scores of those."""
    all_of = replace(lesson, windows=(*lesson.windows, *more.windows))
    match all_of:
        case TextLesson(targets=known):
            return replace(all_of, targets=torch.cat([known, _choices(all_of, torch.stack(list(rows)))]))
        case SpanLesson(targets=known):
            return replace(
                all_of,
                targets=torch.cat([known, torch.tensor([_span(*one) for one in zip(more.windows, rows, strict=True)])]),
            )
    assert isinstance(all_of, TokenLesson)
    assert isinstance(more, TokenLesson)
    tags = (
        row.argmax(-1).masked_fill(target == NOT_LEARNT, NOT_LEARNT)
        for row, target in zip(rows, more.targets, strict=True)
    )
    return replace(all_of, targets=(*all_of.targets, *tags))


def _choices(lesson: TextLesson, scores: Tensor) -> Tensor:
    """*Shapes:* (N, L) -> as `classification.targets`."""
    match lesson.head.problem_type:
        case "single_label_classification":
            return scores.argmax(-1)
        case "multi_label_classification":
            return (scores >= 0).float()
        case "regression":
            return scores


def _span(window: Window, scores: Tensor) -> tuple[int, int]:
    """Where the teacher has the answer begin and end in the context, or `NO_ANSWER`. *Shape:* (T, 2)."""
    first = window.token_type_ids.index(1)
    inside = scores[first:-1]
    if not len(inside):
        return NO_ANSWER
    start = int(inside[:, 0].argmax())
    end = start + int(inside[start:, 1].argmax())
    said = inside[start, 0] + inside[end, 1]
    return (first + start, first + end) if said > scores[0].sum() else NO_ANSWER

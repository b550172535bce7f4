"""Texts without labels as more to learn from: the teacher's choice stands for the label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.records import Record
from sqbert_cli.tasks.entities import NOT_LEARNT
from sqbert_cli.training.examples import text_lesson, token_lesson
from sqbert_cli.training.lessons import Lesson, TextLesson, TokenLesson


def unlabelled_lesson(lesson: Lesson, records: Sequence[Record], student: Checkpoint) -> Lesson:
    """Return windows of texts for the same head, whose targets are yet to be told by a teacher."""
    if any(1 in window.token_type_ids for window in lesson.windows[:1]):
        raise SqbertError(
            f"`{lesson.head.name}` is about pairs of texts, `--unlabelled` about single ones",
            hint="name another task: `--unlabelled NAME=FILE`",
        )
    match lesson:
        case TextLesson(head=head):
            gold = 0.0 if head.problem_type == "regression" else head.labels[0]
            return text_lesson(
                student, head, [replace(record, gold=gold) for record in records], lesson.smoothing, False
            )
        case TokenLesson(head=head):
            return token_lesson(student, head, [replace(record, spans=()) for record in records], lesson.smoothing)
    raise SqbertError(
        f"texts without labels teach labels of texts, or entities, not `{lesson.head.name}`",
        hint="name another task: `--unlabelled NAME=FILE`",
    )


def joined(lesson: Lesson, more: Lesson, rows: Sequence[Tensor]) -> Lesson:
    """Return a lesson with the windows of another behind its own; `rows` are the teacher's scores of those."""
    windows = (*lesson.windows, *more.windows)
    if isinstance(lesson, TextLesson):
        return replace(
            lesson, windows=windows, targets=torch.cat([lesson.targets, _choices(lesson, torch.stack(list(rows)))])
        )
    assert isinstance(lesson, TokenLesson)
    assert isinstance(more, TokenLesson)
    tags = (
        row.argmax(-1).masked_fill(target == NOT_LEARNT, NOT_LEARNT)
        for row, target in zip(rows, more.targets, strict=True)
    )
    return replace(lesson, windows=windows, targets=(*lesson.targets, *tags))


def _choices(lesson: TextLesson, scores: Tensor) -> Tensor:
    """*Shapes:* (N, L) -> as `classification.targets`."""
    match lesson.head.problem_type:
        case "single_label_classification":
            return scores.argmax(-1)
        case "multi_label_classification":
            return (scores >= 0).float()
        case "regression":
            return scores

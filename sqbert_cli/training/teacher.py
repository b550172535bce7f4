"""A larger model of the same labels, whose scores are learnt beside the labels."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.predict.texts import sequence_logits
from sqbert_cli.training.examples import check_vocabulary
from sqbert_cli.training.lessons import Lesson, TextLesson
from sqbert_cli.training.run import Run, read_tensors, write_tensors

TEACHER_WINDOWS = 2_048


@dataclass(frozen=True)
class TeacherScores:
    """The teacher has been asked for its scores of the training examples."""

    done: int
    examples: int


def with_teacher(
    lesson: Lesson, teacher: Checkpoint, student: Checkpoint, run: Run, told: Mapping[str, Any]
) -> Generator[TeacherScores, None, TextLesson]:
    """Return the lesson with what the teacher says of each window. Raises `SqbertError` if it knows other labels."""
    if not isinstance(lesson, TextLesson):
        raise SqbertError("a teacher is asked about whole texts only", hint="leave out `--teacher`")
    _check_teacher(teacher, student, lesson.config)
    soft = yield from _teacher_logits(teacher, lesson, run, told)
    return replace(lesson, soft=soft)


def _teacher_logits(
    teacher: Checkpoint, lesson: TextLesson, run: Run, told: Mapping[str, Any]
) -> Generator[TeacherScores, None, Tensor]:
    """Ask the teacher once; a resumed run reads what was answered. *Shape of the result:* (N, L)."""
    file = run.folder / "teacher.pt"
    if run.resume and file.is_file():
        saved = read_tensors(file)
        if saved["told"] == told:
            return cast("Tensor", saved["logits"])
    teacher.network.to(run.device).eval()
    head, rows, count = teacher.head_for(lesson.config), [], len(lesson.windows)
    for first in range(0, count, TEACHER_WINDOWS):
        rows.append(sequence_logits(teacher, head.name, lesson.windows[first : first + TEACHER_WINDOWS]))
        yield TeacherScores(min(first + TEACHER_WINDOWS, count), count)
    logits = torch.cat(rows)[:, [head.labels.index(label) for label in lesson.config.labels]]
    write_tensors(file, {"told": dict(told), "logits": logits})
    return logits


def _check_teacher(teacher: Checkpoint, student: Checkpoint, wanted: HeadConfig) -> None:
    head = teacher.head_for(wanted)
    if sorted(head.labels) != sorted(wanted.labels) or head.problem_type != wanted.problem_type:
        raise SqbertError(
            f"the teacher `{teacher.name}` tells {', '.join(head.labels)}, the task wants {', '.join(wanted.labels)}",
            hint="a teacher must have been trained on the same labels",
        )
    check_vocabulary(teacher, student)
    positions = teacher.config.max_position_embeddings
    if positions < student.max_length(wanted):
        raise SqbertError(
            f"the teacher `{teacher.name}` reads {positions} tokens at most", hint=f"use `--max-length {positions}`"
        )

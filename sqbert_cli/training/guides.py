"""What a student learns beside the labels: its teacher's scores, and its hidden states where they fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sqbert_cli.batch import Batch
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.records import Record
from sqbert_cli.training.distil import states_loss
from sqbert_cli.training.lessons import Hint, Lesson
from sqbert_cli.training.run import Run
from sqbert_cli.training.teacher import (
    TOLD,
    OwnTeacher,
    Teacher,
    TeacherScores,
    ask,
    check_teacher,
    columns,
)
from sqbert_cli.training.unlabelled import joined, unlabelled_lesson


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """A teacher, and how it is listened to."""

    teacher: Teacher | None = None
    """Of all tasks, but those of `teachers`."""
    teachers: Mapping[str, Teacher] = field(default_factory=dict)
    """Of single tasks, by the names of their heads."""
    weight: float = 0.9
    """Share of its scores in the loss; the rest are the labels."""
    temperature: float = 2.0
    """Softens its scores and the student's."""
    state_weight: float = 0.0
    """Weight of the hidden states of `teacher` in the loss; above 0 it reads each step beside the student."""
    unlabelled: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    """Texts of which a teacher tells the labels, by the names of the heads that are to have them."""

    def teacher_of(self, head: str) -> Teacher | None:
        return self.teachers.get(head, self.teacher)

    @property
    def told(self) -> dict[str, str | float]:
        """What a run's bits depend on, beside the texts."""
        whose = {f"teacher of {head}": teacher.hash for head, teacher in self.teachers.items()}
        return {"teacher": self.teacher.hash if self.teacher else "", **whose, **self.settings}

    @property
    def settings(self) -> dict[str, float]:
        return {"weight": self.weight, "temperature": self.temperature, "state_weight": self.state_weight}


class Guide(ABC):
    """What a teacher has to say of each part of a step."""

    @abstractmethod
    def judge(
        self, lesson: Lesson, states: Sequence[Tensor], shown: Batch, rows: Sequence[int]
    ) -> tuple[Hint | None, Tensor | float]:
        """Return its scores, if it knows the lesson's task, and how far the student's states are from its own."""


@dataclass(frozen=True)
class AskedGuide(Guide):
    """Scores that the teacher gave once, before the first step."""

    scores: Mapping[str, Sequence[Tensor]]
    """Of each lesson's windows, by its head: (L,), (T, L) or (T, 2)."""
    weight: float
    temperature: float

    def judge(
        self, lesson: Lesson, states: Sequence[Tensor], shown: Batch, rows: Sequence[int]
    ) -> tuple[Hint | None, Tensor | float]:
        if lesson.head.name not in self.scores:
            return None, 0.0
        some = [self.scores[lesson.head.name][row] for row in rows]
        return Hint(pad_sequence(some, batch_first=True), self.weight, self.temperature), 0.0


@dataclass(frozen=True)
class StateGuide(Guide):
    """Hidden states, and the scores that come with them: the teacher reads each part of a step beside the student."""

    teacher: Checkpoint
    weight: float
    temperature: float
    state_weight: float

    def judge(
        self, lesson: Lesson, states: Sequence[Tensor], shown: Batch, rows: Sequence[int]
    ) -> tuple[Hint | None, Tensor | float]:
        network, wanted, hint = self.teacher.network, lesson.head, None
        with torch.no_grad():
            theirs = network.transformer.hidden_states(*shown.inputs())
            if wanted.kind in TOLD:
                head = self.teacher.head_for(wanted)
                scores = network.heads[head.name](theirs[-1]).float().cpu()[..., columns(head, wanted)]
                hint = Hint(scores, self.weight, self.temperature)
        return hint, self.state_weight * states_loss(states, theirs, shown).cpu()


def check_states(teacher: Teacher | None, student: Checkpoint) -> Checkpoint:
    """Return the teacher's network, if its hidden states can be compared with the student's."""
    if teacher is None:
        raise SqbertError("hidden states are those of one teacher of all tasks", hint="leave out `--state-weight`")
    if not isinstance(teacher, OwnTeacher) or teacher.checkpoint.config.hidden_size != student.config.hidden_size:
        raise SqbertError(
            f"the hidden states of `{teacher.name}` are not {student.config.hidden_size} wide, as the student's",
            hint="leave out `--state-weight`",
        )
    return teacher.checkpoint


def guided(
    guidance: Guidance, student: Checkpoint, lessons: Sequence[Lesson], run: Run
) -> Generator[TeacherScores, None, tuple[list[Lesson], Guide]]:
    """Return the lessons, each with its texts without labels, and the guide through them.

    Scores are asked for once; with hidden states, which are too many to keep, at each step.
    """
    more = {
        lesson.head.name: unlabelled_lesson(lesson, guidance.unlabelled[lesson.head.name], student)
        for lesson in lessons
        if lesson.head.name in guidance.unlabelled
    }
    for lesson in (*lessons, *more.values()):
        _check(guidance, student, lesson)
    scores: dict[str, list[Tensor]] = {}
    taught = []
    for lesson in lessons:
        name, teacher, rows = lesson.head.name, guidance.teacher_of(lesson.head.name), []
        if teacher is not None and lesson.head.kind in TOLD and not guidance.state_weight:
            rows = yield from ask(teacher, lesson.head, lesson.windows, run)
        if teacher is not None and name in more:
            told = yield from ask(teacher, lesson.head, more[name].windows, run)
            lesson, rows = joined(lesson, more[name], told), [*rows, *told]
        taught.append(lesson)
        scores |= {name: rows} if rows else {}
    if guidance.state_weight:
        network = check_states(guidance.teacher, student)
        network.network.to(run.device).eval()
        return taught, StateGuide(network, guidance.weight, guidance.temperature, guidance.state_weight)
    if not scores:
        raise SqbertError("the teacher has nothing to say on this task", hint="use `--state-weight`, or no `--teacher`")
    return taught, AskedGuide(scores, guidance.weight, guidance.temperature)


def _check(guidance: Guidance, student: Checkpoint, lesson: Lesson) -> None:
    teacher = guidance.teacher_of(lesson.head.name)
    if teacher is not None:
        check_teacher(teacher, student, lesson)
    elif lesson.head.name in guidance.unlabelled:
        raise SqbertError(
            f"`{lesson.head.name}` has texts without labels, and no teacher to tell them",
            hint=f"give `--teacher {lesson.head.name}=MODEL`",
        )

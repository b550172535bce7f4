"""What a student learns beside the labels: its teacher's scores, and its hidden states where they fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sqbert_cli.batch import Batch, collate
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.records import Record
from sqbert_cli.training.distil import layer_variances, states_loss
from sqbert_cli.training.examples import check_vocabulary
from sqbert_cli.training.lessons import Hint, LeftOut, Lesson, check_lessons
from sqbert_cli.training.run import Run
from sqbert_cli.training.settings import TEACHER_WEIGHT, TEMPERATURE
from sqbert_cli.training.sizes import read_states
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

MEASURED_WINDOWS = 32
"""Of each lesson, on which the teacher's states are measured."""


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """Teachers, and how they are listened to."""

    teachers: Mapping[str, Teacher]
    """By the names of the heads that each tells about."""
    weight: float = TEACHER_WEIGHT
    """Share of their scores in the loss; the rest are the labels."""
    temperature: float = TEMPERATURE
    """Softens their scores and the student's."""
    state_weight: float = 0.0
    """Weight of hidden states in the loss; above 0 the only teacher reads each step beside the student."""
    unlabelled: Mapping[str, Sequence[Record]] = field(default_factory=dict)
    """Texts of which a teacher tells the labels, by the names of the heads that are to have them."""

    @property
    def told(self) -> dict[str, str | float]:
        """What a run's bits depend on, beside the texts."""
        return {**{f"teacher of {head}": one.hash for head, one in self.teachers.items()}, **self.settings}

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
    variances: Sequence[float]
    """Of each of the teacher's states, so that the parts of a step are measured alike."""

    def judge(
        self, lesson: Lesson, states: Sequence[Tensor], shown: Batch, rows: Sequence[int]
    ) -> tuple[Hint | None, Tensor | float]:
        network, wanted, hint = self.teacher.network, lesson.head, None
        with torch.no_grad():
            theirs = read_states(network.transformer, shown)
            if wanted.kind in TOLD:
                head = self.teacher.head_for(wanted)
                scores = network.heads[head.name](theirs[-1]).float().cpu()[..., columns(head, wanted)]
                hint = Hint(scores, self.weight, self.temperature)
        return hint, self.state_weight * states_loss(states, theirs, shown, self.variances).cpu()


def state_teacher(guidance: Guidance, student: Checkpoint) -> Checkpoint:
    """Return the only teacher's network; raise `SqbertError` if its hidden states cannot stand beside the student's."""
    teacher, *others = {id(one): one for one in guidance.teachers.values()}.values()
    if others:
        raise SqbertError("hidden states are those of one teacher of all tasks", hint="leave out `--state-weight`")
    if not isinstance(teacher, OwnTeacher) or teacher.checkpoint.config.hidden_size != student.config.hidden_size:
        raise SqbertError(
            f"the hidden states of `{teacher.name}` are not {student.config.hidden_size} wide, as the student's",
            hint="leave out `--state-weight`",
        )
    check_vocabulary(teacher.checkpoint, student)
    return teacher.checkpoint


def guided(
    guidance: Guidance, student: Checkpoint, lessons: Sequence[Lesson], run: Run
) -> Generator[TeacherScores | LeftOut, None, tuple[list[Lesson], Guide]]:
    """Return the lessons, each with its texts without labels, and the guide through them.

    Scores are asked for once; with hidden states, which are too many to keep, at each step.
    """
    if guidance.state_weight:
        network = state_teacher(guidance, student)
    _check_names(guidance, lessons)
    _check_settings(guidance, lessons)
    texts, scores, taught = guidance.unlabelled, dict[str, list[Tensor]](), list[Lesson]()
    more = {
        name: unlabelled_lesson(lesson, texts[name], student)
        for lesson in lessons
        if (name := lesson.head.name) in texts
    }
    yield from check_lessons(more.values())
    for lesson in (*lessons, *more.values()):
        if lesson.head.name in guidance.teachers:
            check_teacher(guidance.teachers[lesson.head.name], student, lesson)
    for lesson in lessons:
        name, rows = lesson.head.name, list[Tensor]()
        if name in guidance.teachers and lesson.head.kind in TOLD and not guidance.state_weight:
            rows = yield from ask(guidance.teachers[name], lesson.head, lesson.windows, run)
        if name in more:
            told = yield from ask(guidance.teachers[name], lesson.head, more[name].windows, run)
            lesson, rows = joined(lesson, more[name], told), [*rows, *told]
        taught.append(lesson)
        if rows:
            scores[name] = rows
    if not guidance.state_weight:
        for teacher in guidance.teachers.values():
            teacher.rest()
        return taught, AskedGuide(scores, guidance.weight, guidance.temperature)
    network.network.to(run.device).eval()
    windows = [window for lesson in taught for window in lesson.windows[:MEASURED_WINDOWS]]
    sample = collate(windows, student.config.pad_token_id, run.device)
    variances = layer_variances(network.network.transformer, sample)
    return taught, StateGuide(network, guidance.weight, guidance.temperature, guidance.state_weight, variances)


def _check_names(guidance: Guidance, lessons: Sequence[Lesson]) -> None:
    """Raise `SqbertError` for texts without a teacher, and for a teacher whom no task listens to."""
    for name in guidance.unlabelled:
        if name not in guidance.teachers:
            raise SqbertError(
                f"`{name}` has texts without labels, and no teacher to tell them",
                hint=f"give `--teacher {name}=MODEL`, or name another task: `--unlabelled NAME=FILE`",
            )
    told = [lesson.head.name for lesson in lessons if lesson.head.kind in TOLD]
    if guidance.state_weight and (silent := [name for name in told if name not in guidance.teachers]):
        raise SqbertError(
            f"`--state-weight` is for one teacher of all tasks, and `{silent[0]}` has none", hint="leave it out"
        )
    heard = {id(guidance.teachers[name]) for name in told if name in guidance.teachers}
    for name, teacher in guidance.teachers.items():
        if not guidance.state_weight and id(teacher) not in heard:
            raise SqbertError(
                f"the teacher `{teacher.name}` has nothing to say on `{name}`",
                hint="use `--state-weight`, or leave it out",
            )


def _check_settings(guidance: Guidance, lessons: Sequence[Lesson]) -> None:
    """Raise `SqbertError` for what changes nothing: only scores have a share and are softened, and no numbers."""
    if not (guidance.weight or guidance.state_weight or guidance.unlabelled):
        raise SqbertError("with `--teacher-weight 0` nobody listens to the teacher", hint="leave out `--teacher`")
    told = [lesson.head for lesson in lessons if lesson.head.kind in TOLD and lesson.head.name in guidance.teachers]
    soft = [head for head in told if head.problem_type != "regression"]
    for option, is_set, heads in (
        ("--teacher-weight", guidance.weight != Guidance.weight, told),
        ("--temperature", guidance.temperature != Guidance.temperature, soft),
    ):
        if is_set and not heads:
            raise SqbertError(f"`{option}` does nothing for these tasks", hint="leave it out")

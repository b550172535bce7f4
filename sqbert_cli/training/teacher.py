"""A better model, from which a student learns beside the labels: its scores, and its hidden states where they fit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import load_file, save
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sqbert_cli.batch import Batch
from sqbert_cli.checkpoint import UNREADABLE, Checkpoint, weights_hash
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import whole_file
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.models import cache_folder
from sqbert_cli.predict.rows import head_rows
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.distil import states_loss
from sqbert_cli.training.examples import check_vocabulary
from sqbert_cli.training.lessons import Hint, Lesson, SpanLesson, TextLesson, TokenLesson
from sqbert_cli.training.run import windows_hash

TEACHER_WINDOWS = 2_048
"""Asked at once."""


@dataclass(frozen=True)
class TeacherScores:
    """The teacher has been asked for its scores of the training examples."""

    done: int
    examples: int


class Teacher(Protocol):
    """What can be asked for scores of the student's windows."""

    @property
    def name(self) -> str: ...

    @property
    def hash(self) -> str:
        """Of its weights."""
        ...

    def head(self, wanted: HeadConfig) -> HeadConfig:
        """Return its own head for a task; raise `SqbertError` if it has none."""
        ...

    def check(self, student: Checkpoint, longest: int) -> None:
        """Raise `SqbertError` where it cannot read the student's windows, of up to `longest` tokens."""
        ...

    def rows(self, head: HeadConfig, windows: Sequence[Window], device: torch.device) -> list[Tensor]:
        """Return its scores of each window: (L,), or (T, L), or (T, 2), float32 on the cpu."""
        ...


@dataclass(frozen=True)
class OwnTeacher:
    """A BERT or SqueezeBERT with the student's vocabulary."""

    checkpoint: Checkpoint

    @property
    def name(self) -> str:
        return self.checkpoint.name

    @property
    def hash(self) -> str:
        return weights_hash(self.checkpoint)

    def head(self, wanted: HeadConfig) -> HeadConfig:
        return self.checkpoint.head_for(wanted)

    def check(self, student: Checkpoint, longest: int) -> None:
        check_vocabulary(self.checkpoint, student)
        check_positions(self.name, self.checkpoint.config.max_position_embeddings, longest)

    def rows(self, head: HeadConfig, windows: Sequence[Window], device: torch.device) -> list[Tensor]:
        self.checkpoint.network.to(device).eval()
        return head_rows(self.checkpoint, head.name, windows)


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
        if lesson.head not in self.scores:
            return None, 0.0
        some = [self.scores[lesson.head][row] for row in rows]
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
        network, config, hint = self.teacher.network, head_config(lesson), None
        with torch.no_grad():
            theirs = network.transformer.hidden_states(*shown.inputs())
            if config is not None:
                head = self.teacher.head_for(config)
                scores = network.heads[head.name](theirs[-1]).float().cpu()[..., columns(head, config)]
                hint = Hint(scores, self.weight, self.temperature)
        return hint, self.state_weight * states_loss(states, theirs, shown).cpu()


def head_config(lesson: Lesson) -> HeadConfig | None:
    """The head whose scores a teacher can give."""
    return lesson.config if isinstance(lesson, (TextLesson, TokenLesson, SpanLesson)) else None


def columns(head: HeadConfig, wanted: HeadConfig) -> list[int]:
    """Where a teacher's head has the student's labels; a span has its start and its end."""
    return [head.labels.index(label) for label in wanted.labels] or [0, 1]


def check_teacher(teacher: Teacher, student: Checkpoint, lesson: Lesson) -> None:
    """Raise `SqbertError` where the teacher cannot be asked about a lesson's windows."""
    teacher.check(student, max(lesson.lengths))
    if (wanted := head_config(lesson)) is None:
        return
    head = teacher.head(wanted)
    if sorted(head.labels) != sorted(wanted.labels) or head.problem_type != wanted.problem_type:
        raise SqbertError(
            f"the teacher `{teacher.name}` tells {', '.join(head.labels)}, the task wants {', '.join(wanted.labels)}",
            hint="a teacher must have been trained on the same labels",
        )


def check_positions(name: str, positions: int, longest: int) -> None:
    if positions < longest:
        raise SqbertError(
            f"the teacher `{name}` reads {positions} tokens at most", hint=f"use `--max-length {positions}`"
        )


def check_states(teacher: Teacher, student: Checkpoint) -> Checkpoint:
    """Return the teacher's network, if its hidden states can be compared with the student's."""
    if not isinstance(teacher, OwnTeacher) or teacher.checkpoint.config.hidden_size != student.config.hidden_size:
        raise SqbertError(
            f"the hidden states of `{teacher.name}` are not {student.config.hidden_size} wide, as the student's",
            hint="leave out `--state-weight`",
        )
    return teacher.checkpoint


def ask(
    teacher: Teacher, lessons: Sequence[Lesson], device: torch.device
) -> Generator[TeacherScores, None, dict[str, list[Tensor]]]:
    """Return the teacher's scores of every window, by head; asked once, then read from the cache."""
    scores: dict[str, list[Tensor]] = {}
    for lesson in lessons:
        if (wanted := head_config(lesson)) is not None:
            head = teacher.head(wanted)
            told = (teacher.hash, head.name, windows_hash(lesson.windows))
            file = cache_folder() / "teacher-scores" / f"{sha256(repr(told).encode()).hexdigest()}.safetensors"
            if not file.is_file():
                rows: list[Tensor] = []
                for first in range(0, len(lesson.windows), TEACHER_WINDOWS):
                    rows += teacher.rows(head, lesson.windows[first : first + TEACHER_WINDOWS], device)
                    yield TeacherScores(len(rows), len(lesson.windows))
                write_rows(file, rows)
            scores[lesson.head] = [row[..., columns(head, wanted)] for row in read_rows(file)]
    return scores


def write_rows(file: Path, rows: Sequence[Tensor]) -> None:
    """Keep rows of one width in one tensor. *Shape of each:* (L,) or (T, L)."""
    lengths = torch.tensor([row.numel() // row.shape[-1] for row in rows])
    flat = torch.cat([row.reshape(-1, row.shape[-1]) for row in rows])
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as target:
        target.write(save({"rows": flat, "lengths": lengths, "of_tokens": torch.tensor(rows[0].ndim == 2)}))


def read_rows(file: Path) -> list[Tensor]:
    try:
        tensors = load_file(file)
    except UNREADABLE as error:
        raise SqbertError(f"`{file}` is damaged", hint="remove it; the teacher will be asked again") from error
    rows = tensors["rows"].split(tensors["lengths"].tolist())
    return list(rows) if tensors["of_tokens"] else [row[0] for row in rows]

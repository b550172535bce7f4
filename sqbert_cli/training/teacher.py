"""A better model that can be asked for its scores of the student's windows."""

from __future__ import annotations

from collections.abc import Container, Generator, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save
from torch import Tensor

from sqbert_cli.checkpoint import Checkpoint, weights_hash
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import whole_file
from sqbert_cli.model.config import HeadConfig, HeadKind
from sqbert_cli.places import cache_folder
from sqbert_cli.predict.rows import head_rows
from sqbert_cli.tasks.glue import is_of_another_task
from sqbert_cli.tensors import UNREADABLE, load_safetensors
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.examples import check_positions, check_vocabulary
from sqbert_cli.training.lessons import Lesson
from sqbert_cli.training.run import Run

TOLD: tuple[HeadKind, ...] = ("sequence", "token", "span")
"""Heads whose scores a teacher can give."""
TEACHER_WINDOWS = 2_048
"""Asked at once."""
KEY_BYTES = 16


@dataclass(frozen=True)
class TeacherScores:
    """The teacher has been asked for its scores of the training examples, of each that is there twice once."""

    done: int
    examples: int


class Teacher(Protocol):
    """What can be asked for scores of the student's windows."""

    @property
    def name(self) -> str: ...

    @property
    def hash(self) -> str:
        """Of what its scores of the student's ids depend on."""
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

    def rest(self) -> None:
        """Leave the device, when it has been asked."""
        ...


@dataclass(frozen=True)
class OwnTeacher:
    """A BERT or SqueezeBERT with the student's vocabulary."""

    checkpoint: Checkpoint

    @property
    def name(self) -> str:
        return self.checkpoint.name

    @cached_property
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

    def rest(self) -> None:
        self.checkpoint.network.cpu()


def columns(head: HeadConfig, wanted: HeadConfig) -> list[int]:
    """Where a teacher's head has the student's labels; a number is its only one, a span has its start and its end."""
    if wanted.problem_type == "regression":
        return [0]
    return [head.labels.index(label) for label in wanted.labels] or [0, 1]


def check_teacher(teacher: Teacher, student: Checkpoint, lesson: Lesson) -> None:
    """Raise `SqbertError` where the teacher cannot be asked about a lesson's windows."""
    teacher.check(student, max(lesson.lengths))
    wanted = lesson.head
    if wanted.kind not in TOLD:
        return
    head = teacher.head(wanted)
    if is_of_another_task(head, wanted):
        raise SqbertError(
            f"the teacher `{teacher.name}` was taught `{head.name}`, whose labels `{wanted.name}` has too",
            hint="name a teacher of the task itself",
        )
    tells_it = sorted(head.labels) == sorted(wanted.labels)
    if wanted.problem_type == "regression":  # whose only label may have any name
        tells_it = len(head.labels) == len(wanted.labels)
    if tells_it and head.problem_type != wanted.problem_type:
        kinds = (one.problem_type.replace("_", " ") for one in (head, wanted))
        raise SqbertError(
            f"the teacher `{teacher.name}` was taught {next(kinds)}, `{wanted.name}` is {next(kinds)}",
            hint="a teacher must have been trained on the same labels, in the same way",
        )
    if not tells_it:
        raise SqbertError(
            f"the teacher `{teacher.name}` tells {', '.join(head.labels)}, "
            f"`{wanted.name}` wants {', '.join(wanted.labels)}",
            hint="a teacher must have been trained on the same labels; one of a single task is `--teacher NAME=MODEL`",
        )


def ask(
    teacher: Teacher, wanted: HeadConfig, windows: Sequence[Window], run: Run
) -> Generator[TeacherScores, None, list[Tensor]]:
    """Return the teacher's scores of every window, in the order of the labels wanted; each is asked for once, ever."""
    head, keys = teacher.head(wanted), [window_key(window) for window in windows]
    folder = _cached(teacher.hash, head.name, run.device.type, str(run.dtype))
    once = dict(zip(keys, windows, strict=True))
    known = _known(folder, once)
    asked = [key for key in once if key not in known]
    done = len(known)
    for first in range(0, len(asked), TEACHER_WINDOWS):
        part = asked[first : first + TEACHER_WINDOWS]
        done += len(part)
        if run.processes.is_first_here:
            with run.autocast():
                rows = teacher.rows(head, [once[key] for key in part], run.device)
            write_rows(folder / f"{sha256(b''.join(part)).hexdigest()}.safetensors", part, rows)
        yield TeacherScores(done, len(once))
    run.processes.wait()
    known = _known(folder, once) if asked else known
    if not known.keys() >= once.keys():  # only one process of a machine asks
        raise SqbertError("the processes of this run learn from different data", hint="give all the same files")
    chosen = columns(head, wanted)
    return [known[key][..., chosen] for key in keys]


def window_key(window: Window) -> bytes:
    return sha256(repr((window.input_ids, window.token_type_ids)).encode()).digest()[:KEY_BYTES]


def _cached(*told: str) -> Path:
    """Where scores are kept, by what they depend on beside the window."""
    return cache_folder() / "teacher-scores" / sha256(repr(told).encode()).hexdigest()


def _known(folder: Path, wanted: Container[bytes]) -> dict[bytes, Tensor]:
    """Those of the wanted windows' scores that are kept; what was told twice as it was at first, so that it stays."""
    files = sorted(folder.glob("*.safetensors"), key=lambda file: (-file.stat().st_mtime_ns, file.name))
    return {key: row for file in files for key, row in read_rows(file) if key in wanted}


def write_rows(file: Path, keys: Sequence[bytes], rows: Sequence[Tensor]) -> None:
    """Keep rows of one width in one tensor. *Shape of each:* (L,) or (T, L)."""
    lengths = torch.tensor([row.numel() // row.shape[-1] for row in rows])
    flat = torch.cat([row.reshape(-1, row.shape[-1]) for row in rows])
    names = torch.tensor([list(key) for key in keys], dtype=torch.uint8)
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as target:
        target.write(
            save({"keys": names, "rows": flat, "lengths": lengths, "of_tokens": torch.tensor(rows[0].ndim == 2)})
        )


def read_rows(file: Path) -> Iterator[tuple[bytes, Tensor]]:
    try:
        tensors = load_safetensors(file)
    except UNREADABLE as error:
        raise SqbertError(f"`{file}` is damaged", hint="remove it; the teacher will be asked again") from error
    rows = tensors["rows"].split(tensors["lengths"].tolist())
    for key, row in zip(tensors["keys"].tolist(), rows, strict=True):
        yield bytes(key), row if tensors["of_tokens"] else row[0]

"""What is learnt from: windows with what is to be said of them, one kind for each kind of head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from sqbert_cli.batch import Batch, collate
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.model.encoder import Encoder
from sqbert_cli.predict.vectors import mean_pooled
from sqbert_cli.tasks import classification
from sqbert_cli.tasks.answers import span_loss
from sqbert_cli.tasks.entities import NOT_LEARNT, token_loss
from sqbert_cli.tasks.masked_words import hide_words, masked_loss
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.optimise import MicroBatch
from sqbert_cli.training.run import Run


@dataclass(frozen=True, kw_only=True)
class Lesson(ABC):
    """Windows, and what a head should have said of each."""

    head: str
    windows: tuple[Window, ...]
    left_out: tuple[str, ...] = ()
    """Where examples came from that fit into no window."""

    @property
    def told(self) -> Any:
        """What the loss depends on beside the windows; a run goes on only with the same."""
        return None

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(len(window.input_ids) for window in self.windows)

    @abstractmethod
    def loss(self, student: Checkpoint, batch: Batch, rows: Sequence[int]) -> Tensor:
        """Loss of the windows `rows`, which make up the batch; on the cpu."""


@dataclass(frozen=True, kw_only=True)
class TextLesson(Lesson):
    """A label, several labels or a number; and a teacher's scores where there is one."""

    config: HeadConfig
    targets: Tensor
    smoothing: float = 0.0
    label_weights: Tensor | None = None
    soft: Tensor | None = None
    """The teacher's logits. *Shape:* (N, L)."""
    temperature: float = 1.0
    teacher_weight: float = 0.0

    @property
    def told(self) -> Any:
        return self.targets.tolist()

    def loss(self, student: Checkpoint, batch: Batch, rows: Sequence[int]) -> Tensor:
        logits, some, problem = student.network(self.head, *batch.inputs()).cpu(), list(rows), self.config.problem_type
        hard = classification.loss(logits, self.targets[some], problem, self.smoothing, self.label_weights)
        if self.soft is None:
            return hard
        soft = classification.soft_loss(logits, self.soft[some], problem, self.temperature)
        return self.teacher_weight * soft + (1 - self.teacher_weight) * hard


@dataclass(frozen=True, kw_only=True)
class TokenLesson(Lesson):
    """A tag for the first piece of each word."""

    targets: tuple[Tensor, ...]
    """*Shape of each:* (T,), `NOT_LEARNT` where nothing is learnt."""
    smoothing: float = 0.0

    @property
    def told(self) -> Any:
        return [row.tolist() for row in self.targets]

    def loss(self, student: Checkpoint, batch: Batch, rows: Sequence[int]) -> Tensor:
        wanted = pad_sequence([self.targets[row] for row in rows], batch_first=True, padding_value=NOT_LEARNT)
        return token_loss(student.network(self.head, *batch.inputs()).cpu(), wanted, self.smoothing)


@dataclass(frozen=True, kw_only=True)
class SpanLesson(Lesson):
    """Start and end of the answer, or the first token where the window has none."""

    targets: Tensor
    """*Shape:* (N, 2)."""

    @property
    def told(self) -> Any:
        return self.targets.tolist()

    def loss(self, student: Checkpoint, batch: Batch, rows: Sequence[int]) -> Tensor:
        logits = student.network(self.head, *batch.inputs()).float()
        masked = logits.masked_fill(batch.attention_mask[..., None] == 0, torch.finfo(torch.float32).min)
        return span_loss(masked.cpu(), self.targets[list(rows)])


@dataclass(frozen=True, kw_only=True)
class MaskedWordLesson(Lesson):
    """Words hidden anew whenever a window is seen."""

    mask_id: int
    special_ids: tuple[int, ...]

    def loss(self, student: Checkpoint, batch: Batch, rows: Sequence[int]) -> Tensor:
        ids = batch.input_ids.cpu()
        special = torch.isin(ids, torch.tensor(self.special_ids))
        generator = torch.Generator().manual_seed(torch.initial_seed() + rows[0])
        shown, chosen = hide_words(ids, special, self.mask_id, student.tokenizer.vocab_size, generator)
        hidden = student.network.transformer(shown.to(batch.input_ids), *batch.inputs()[1:])
        logits = student.network.heads[self.head](hidden[chosen.to(hidden.device)])
        return masked_loss(logits, batch.input_ids[chosen.to(hidden.device)]).cpu()


@dataclass(frozen=True, kw_only=True)
class VectorLesson(Lesson):
    """The mean of a text's vectors, as another encoder has it."""

    wanted: Encoder = field(repr=False)

    def loss(self, student: Checkpoint, batch: Batch, rows: Sequence[int]) -> Tensor:
        with torch.no_grad():
            wanted = mean_pooled(self.wanted, batch)
        ours = mean_pooled(student.network.transformer, batch)
        return (1 - functional.cosine_similarity(ours.float(), wanted.float())).mean().cpu()


def micro_batches(
    lesson: Lesson, student: Checkpoint, rows: Sequence[int], batch_size: int, run: Run
) -> Iterator[MicroBatch]:
    """Yield the parts of a step, each with its share of the step's loss."""
    student.network.train()
    for first in range(0, len(rows), batch_size):
        some = rows[first : first + batch_size]
        batch = collate([lesson.windows[row] for row in some], student.config.pad_token_id, run.device)
        with run.autocast():
            loss = lesson.loss(student, batch, some)
        yield MicroBatch(loss * (len(some) / len(rows)), batch.tokens)

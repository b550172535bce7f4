"""What is learnt from: windows with what is to be said of them, one kind for each kind of head."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence

from sqbert_cli.batch import Batch
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig, ProblemType
from sqbert_cli.predict.vectors import batch_vectors, mean_pooled
from sqbert_cli.tasks import classification
from sqbert_cli.tasks.answers import span_loss
from sqbert_cli.tasks.entities import NOT_LEARNT, token_loss
from sqbert_cli.tasks.masked_words import hide, masked_loss
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.sizes import at_places, chosen_places, words_at

VECTOR_WEIGHT = 10.0
"""Cosines of encoders that are alike differ by hundredths: without it the other lessons would drown them."""
LOWEST = -1e4
"""Logit of what cannot be."""


@dataclass(frozen=True)
class LeftOut:
    """Examples that cannot be learnt from: their question is too long for a window, or their answer is in none."""

    head: str
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Hint:
    """What a teacher says of a batch."""

    logits: Tensor
    """As those of the lesson's head: (B, L), (B, T, L) or (B, T, 2)."""
    weight: float
    """Share of the teacher in the loss; the rest are the labels."""
    temperature: float

    def mixed(
        self, hard: Tensor, logits: Tensor, theirs: Tensor, problem: ProblemType, weights: Tensor | None = None
    ) -> Tensor:
        """*Shapes:* (), (N, L), (N, L) -> (); `weights` as those of `soft_loss`."""
        soft = classification.soft_loss(logits, theirs, problem, self.temperature, weights)
        return self.weight * soft + (1 - self.weight) * hard


@dataclass(frozen=True, kw_only=True)
class Lesson(ABC):
    """Windows, and what a head should have said of each."""

    head: HeadConfig
    windows: tuple[Window, ...]
    left_out: tuple[str, ...] = ()
    """Where examples came from that fit into no window."""

    @property
    def told(self) -> Any:
        """What the loss depends on beside the windows; a run goes on only with the same."""
        return None

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(len(window) for window in self.windows)

    def shown(self, student: Checkpoint, batch: Batch, rows: Sequence[int]) -> Batch:
        """What the network reads of the windows `rows`, which make up the batch."""
        return batch

    def tokens(self, rows: Sequence[int]) -> int:
        return sum(len(self.windows[row]) for row in rows)

    def amount(self, rows: Sequence[int]) -> float:
        """What the loss of the windows `rows` is a mean over: windows, unless a lesson says otherwise."""
        return len(rows)

    @abstractmethod
    def loss(self, student: Checkpoint, hidden: Tensor, batch: Batch, rows: Sequence[int], hint: Hint | None) -> Tensor:
        """Loss of the encoder's last states, (B, T, C), and of what the head makes of them; on the cpu."""


@dataclass(frozen=True)
class Scale:
    """Of numbers, which a head learns as they lie around their mean: steps of a rate would never reach far ones."""

    mean: float
    deviation: float

    def standard(self, numbers: Tensor) -> Tensor:
        return (numbers - self.mean) / self.deviation

    def to_standard(self, classifier: nn.Linear) -> None:
        """Let a head that tells numbers tell where they lie around the mean; one that never learnt says 0 already."""
        with torch.no_grad():
            if classifier.bias.any():
                classifier.weight /= self.deviation
                classifier.bias.copy_(self.standard(classifier.bias))

    def to_raw(self, classifier: nn.Linear) -> None:
        """The other way round."""
        with torch.no_grad():
            classifier.weight *= self.deviation
            classifier.bias.copy_(classifier.bias * self.deviation + self.mean)


@dataclass(frozen=True, kw_only=True)
class TextLesson(Lesson):
    """A label, several labels or a number."""

    targets: Tensor
    smoothing: float = 0.0
    label_weights: Tensor | None = None
    scale: Scale | None = None
    """Of numbers; the head tells them on this scale while it learns."""

    @property
    def told(self) -> Any:
        return self.targets.tolist()

    def amount(self, rows: Sequence[int]) -> float:
        weights = self._weights(rows)
        return len(rows) if weights is None or weights.ndim > 1 else float(weights.sum())

    def loss(self, student: Checkpoint, hidden: Tensor, batch: Batch, rows: Sequence[int], hint: Hint | None) -> Tensor:
        logits, problem = student.network.heads[self.head.name](hidden).cpu(), self.head.problem_type
        wanted, weights = self._scaled(self.targets[list(rows)]), self._weights(rows)
        hard = classification.loss(logits, wanted, problem, self.smoothing, weights)
        return hard if hint is None else hint.mixed(hard, logits, self._scaled(hint.logits), problem, weights)

    def _scaled(self, values: Tensor) -> Tensor:
        return values if self.scale is None else self.scale.standard(values)

    def _weights(self, rows: Sequence[int]) -> Tensor | None:
        return classification.weights_of(self.targets[list(rows)], self.label_weights)


@dataclass(frozen=True, kw_only=True)
class TokenLesson(Lesson):
    """A tag for the first piece of each word."""

    targets: tuple[Tensor, ...]
    """*Shape of each:* (T,), `NOT_LEARNT` where nothing is learnt."""
    smoothing: float = 0.0

    @property
    def told(self) -> Any:
        return [row.tolist() for row in self.targets]

    def amount(self, rows: Sequence[int]) -> float:
        """Pieces that are learnt."""
        return max(1, sum(int((self.targets[row] != NOT_LEARNT).sum()) for row in rows))

    def loss(self, student: Checkpoint, hidden: Tensor, batch: Batch, rows: Sequence[int], hint: Hint | None) -> Tensor:
        wanted = pad_sequence([self.targets[row] for row in rows], batch_first=True, padding_value=NOT_LEARNT)
        logits, learnt = student.network.heads[self.head.name](hidden).cpu(), wanted != NOT_LEARNT
        hard = token_loss(logits, wanted, self.smoothing)
        if hint is None or not learnt.any():
            return hard
        return hint.mixed(hard, logits[learnt], hint.logits[learnt], self.head.problem_type)


@dataclass(frozen=True, kw_only=True)
class SpanLesson(Lesson):
    """Start and end of the answer, or the first token where the window has none."""

    targets: Tensor
    """*Shape:* (N, 2)."""

    @property
    def told(self) -> Any:
        return self.targets.tolist()

    def loss(self, student: Checkpoint, hidden: Tensor, batch: Batch, rows: Sequence[int], hint: Hint | None) -> Tensor:
        padding = batch.attention_mask.cpu()[..., None] == 0
        logits = student.network.heads[self.head.name](hidden).float().cpu().masked_fill(padding, LOWEST)
        hard = span_loss(logits, self.targets[list(rows)])
        if hint is None:
            return hard
        ours, theirs = (
            some.transpose(1, 2).flatten(0, 1) for some in (logits, hint.logits.masked_fill(padding, LOWEST))
        )
        return hint.mixed(hard, ours, theirs, self.head.problem_type)


@dataclass(frozen=True, kw_only=True)
class MaskedWordLesson(Lesson):
    """Words hidden anew whenever a window is seen."""

    def amount(self, rows: Sequence[int]) -> float:
        """Tokens: which of them are hidden is drawn by whoever computes them."""
        return self.tokens(rows)

    def shown(self, student: Checkpoint, batch: Batch, rows: Sequence[int]) -> Batch:
        shown, _ = self._hidden_words(student, batch, rows)
        return replace(batch, input_ids=shown.to(batch.input_ids))

    def loss(self, student: Checkpoint, hidden: Tensor, batch: Batch, rows: Sequence[int], hint: Hint | None) -> Tensor:
        _, chosen = self._hidden_words(student, batch, rows)
        places = chosen_places(chosen)
        scores = student.network.heads[self.head.name](at_places(hidden, places))
        return masked_loss(scores, words_at(batch.input_ids, places)).cpu()

    def _hidden_words(self, student: Checkpoint, batch: Batch, rows: Sequence[int]) -> tuple[Tensor, Tensor]:
        """The same for the same step and rows. *Shapes:* as `hide_words`."""
        generator = torch.Generator().manual_seed(torch.initial_seed() + rows[0])
        return hide(student.tokenizer, batch.input_ids.cpu(), generator)


@dataclass(frozen=True, kw_only=True)
class VectorLesson(Lesson):
    """The vector of a text, as another model has it."""

    wanted: Checkpoint = field(repr=False)

    def loss(self, student: Checkpoint, hidden: Tensor, batch: Batch, rows: Sequence[int], hint: Hint | None) -> Tensor:
        with torch.no_grad():
            wanted = batch_vectors(self.wanted, batch).float()
        ours = student.network.heads[self.head.name](mean_pooled(hidden, batch)).float()
        return VECTOR_WEIGHT * (1 - functional.cosine_similarity(ours, wanted)).mean().cpu()


def check_lessons(lessons: Collection[Lesson]) -> Iterator[LeftOut]:
    """Tell what fits into no window; raise `SqbertError` where nothing is left of a lesson."""
    for lesson in lessons:
        if lesson.left_out:
            yield LeftOut(lesson.head.name, lesson.left_out)
    if empty := [lesson.head.name for lesson in lessons if not lesson.windows]:
        raise SqbertError(f"`{empty[0]}`: nothing to learn from", hint="use a larger `--max-length`, or other data")

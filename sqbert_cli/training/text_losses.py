"""The losses of pretraining, each a sum over a part of a step divided by what the whole step has.

So the parts add up to the same step however many they are, in one process or in several.
Letters in shapes: B windows, T tokens, M hidden words with places that are none (`sizes`), V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor
from torch.nn import functional

from sqbert_cli.batch import Batch
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.tasks.entities import NOT_LEARNT
from sqbert_cli.tasks.masked_words import MASKED_HEAD
from sqbert_cli.training.distil import layer_variances, relation_loss, states_loss
from sqbert_cli.training.objectives import Objective, hides
from sqbert_cli.training.reading import Reading, Whole
from sqbert_cli.training.run import Run
from sqbert_cli.training.sizes import at_places, read_states

ORDER_HEAD = HeadConfig(name="order", kind="sequence", labels=("in order", "swapped"))


def heads_for(objectives: Mapping[Objective, float], base: Checkpoint, max_length: int) -> list[HeadConfig]:
    """The heads that the objectives teach, on windows of `max_length`; one that `base` has for masked words goes on."""
    had = [head for head in base.heads if head.kind == "masked_word"]
    heads = [*had, MASKED_HEAD][:1] if hides(objectives) else []
    heads += [ORDER_HEAD] if "sentence-order" in objectives else []
    return [replace(head, max_length=max_length) for head in heads]


@dataclass(frozen=True)
class Models:
    """A student and, where there is one, its teacher."""

    student: Checkpoint
    teacher: Checkpoint | None
    variances: Sequence[float]
    """Of the teacher's states, layer by layer."""

    def look(self, part: Reading, whole: Whole, run: Run) -> Look:
        batch = part.shown_batch(run.device)
        states = read_states(self.student.network.transformer, batch)
        if self.teacher is None:
            return Look(self, part, whole, batch, states, ())
        with torch.no_grad():
            targets = read_states(self.teacher.network.transformer, batch)
        return Look(self, part, whole, batch, states, targets)


@dataclass(frozen=True)
class Look:
    """What student and teacher make of a part of a step."""

    models: Models
    part: Reading
    whole: Whole
    batch: Batch
    """What they read, on their device."""
    states: Sequence[Tensor]
    targets: Sequence[Tensor]

    @cached_property
    def words(self) -> Tensor:
        """What the student says of the hidden words; (M, V)."""
        return hidden_words(self.models.student, self.states[-1], self.part)

    @cached_property
    def order(self) -> Tensor:
        """What the student says of the order of two passages; (B, 2)."""
        return self.models.student.network.heads[ORDER_HEAD.name](self.states[-1]).float()


def hidden_words(model: Checkpoint, states: Tensor, part: Reading) -> Tensor:
    """What a model says of the hidden words. *Shapes:* (B, T, C) -> (M, V), float32."""
    head = model.network.heads[model.head("masked_word").name]
    hidden = at_places(states, part.places)
    scores, words = head(hidden).float(), model.tokenizer.vocab_size
    return scores if scores.shape[1] == words else scores[:, :words]  # the slope of a slice is a copy of all scores


def with_teacher(student: Checkpoint, teacher: Checkpoint | None, sample: Reading, run: Run) -> Models:
    """`sample` is text on which the teacher's states are measured."""
    if teacher is None:
        return Models(student, None, ())
    encoder = teacher.network.to(run.device).eval().transformer
    return Models(student, teacher, layer_variances(encoder, sample.shown_batch(run.device)))


def _masked_words(look: Look) -> Tensor:
    wanted = look.part.words.to(look.words.device)
    return functional.cross_entropy(look.words, wanted, ignore_index=NOT_LEARNT, reduction="sum") / look.whole.hidden


def _sentence_order(look: Look) -> Tensor:
    wanted = look.part.swapped.to(look.batch.input_ids.device)
    total = functional.cross_entropy(look.order, wanted, ignore_index=NOT_LEARNT, reduction="sum")
    return total / max(1, look.whole.pairs)


def _states(look: Look) -> Tensor:
    share = look.part.batch.tokens / look.whole.tokens
    return share * states_loss(look.states, look.targets, look.batch, look.models.variances)


def _relations(look: Look) -> Tensor:
    assert look.models.teacher is not None
    student, teacher = look.models.student.network.transformer, look.models.teacher.network.transformer
    share = len(look.part.swapped) / look.whole.windows
    return share * relation_loss(student, teacher, look.states, look.targets, look.batch)


def _logits(look: Look) -> Tensor:
    teacher = look.models.teacher
    assert teacher is not None
    with torch.no_grad():
        theirs = hidden_words(teacher, look.targets[-1], look.part).log_softmax(-1)
    ours = look.words.log_softmax(-1)
    of_words = functional.kl_div(ours, theirs, log_target=True, reduction="none").sum(-1)
    return of_words[look.part.words != NOT_LEARNT].sum() / look.whole.hidden


LOSSES: dict[Objective, Callable[[Look], Tensor]] = {
    "masked-words": _masked_words,
    "sentence-order": _sentence_order,
    "states": _states,
    "relations": _relations,
    "logits": _logits,
}


def shares_told(look: Look, objectives: Mapping[Objective, float]) -> dict[str, float]:
    """Shares of the whole step's hidden words, and of its orders, that this part tells right."""
    told: dict[str, float] = {}
    if "masked-words" in objectives:
        right = look.words.argmax(-1).cpu() == look.part.words
        told["masked accuracy"] = int(right.sum()) / look.whole.hidden
    if "sentence-order" in objectives and look.whole.pairs:
        right = look.order.argmax(-1).cpu() == look.part.swapped
        told["order accuracy"] = int(right.sum()) / look.whole.pairs
    return told

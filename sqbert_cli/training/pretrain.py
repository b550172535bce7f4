"""A general encoder from running text: from nothing, from a model, or from a teacher."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from sqbert_cli.checkpoint import Checkpoint, weights_hash
from sqbert_cli.tasks.entities import NOT_LEARNT
from sqbert_cli.text.corpus import TokenFile
from sqbert_cli.training.objectives import hides
from sqbert_cli.training.optimise import Finished, MicroBatch, Step, make_trainer, optimise
from sqbert_cli.training.passages import Marks, Passages, split_documents
from sqbert_cli.training.processes import ALONE
from sqbert_cli.training.reading import SPECIAL_TOKENS, Reader, Reading, Whole
from sqbert_cli.training.run import Resumed, Run
from sqbert_cli.training.sampler import Sampler
from sqbert_cli.training.saver import Saver
from sqbert_cli.training.settings import PretrainSettings
from sqbert_cli.training.text_losses import LOSSES, Look, Models, shares_told, with_teacher

HELD_OUT_PASSAGES = 512
SOME_PASSAGES, MEASURED_PASSAGES = 256, 32


@dataclass(frozen=True)
class Divided:
    """How the text is divided, in word pieces."""

    learnt: int
    held_out: int
    too_short: int
    """Of documents that are left out."""
    passage: float
    """Mean length of what is in one of the first windows."""
    max_length: int
    """Tokens in one of the first windows, at most."""
    pairs: float = 1.0
    """Share of some windows that have two parts, where their order is to be learnt."""


@dataclass(frozen=True)
class HeldOut:
    """How well text is told that was not learnt from."""

    step: int
    """0 before the first."""
    metrics: Mapping[str, float]
    """The whole loss, that of each objective, and the shares of hidden words and of orders that are told."""


def pretrain(
    student: Checkpoint,
    files: Sequence[TokenFile],
    settings: PretrainSettings,
    run: Run,
    teacher: Checkpoint | None = None,
) -> Iterator[Divided | Resumed | Step | HeldOut | Finished]:
    """Teach the student the objectives, and its heads for them; it is changed in place."""
    marks = Marks.of(student.tokenizer)
    phases = [_Phase.of(files, marks, settings.max_length, settings)]
    if settings.long_steps:
        phases.append(_Phase.of(files, marks, settings.long_length, settings))
    reader = _reader(student, settings)
    yield replace(phases[0].divided, pairs=_pairs(reader, phases[0].learnt))
    student.network.to(run.device)
    sample = phases[0].held_out.first(MEASURED_PASSAGES)
    models = with_teacher(student, teacher, reader.read(sample, range(len(sample)), 0), run)
    course = _Course(models, reader, phases, settings, run)
    trainer = make_trainer(student.network, settings, course.steps, processes=run.processes)
    made_from = {
        "text": [file.key for file in files],
        "starting weights": weights_hash(student),
        "teacher's weights": None if teacher is None else weights_hash(teacher),
    }
    identity = run.identity(settings, made_from)
    yield from run.start(trainer, identity)
    saver = Saver(run, trainer, identity)

    def look(step: int) -> HeldOut:
        metrics = course.judge(step)
        trainer.progress.history.append({"step": step, **metrics})
        return HeldOut(step, metrics)

    if not trainer.progress.history:
        yield look(0)
        saver.save()
    for step in optimise(trainer, course.losses):
        yield step
        is_due = step.index % settings.save_steps == 0 or step.index == step.steps
        if is_due:
            yield look(step.index)
        saver.step_done(is_due)
    yield Finished(trainer.progress.seconds, trainer.progress.history, made_from)


def shares_of(metrics: Mapping[str, float]) -> dict[str, float]:
    """Of a look's metrics those that are shares of what was to be told."""
    return {name: value for name, value in metrics.items() if name.endswith(" accuracy")}


def _reader(student: Checkpoint, settings: PretrainSettings) -> Reader:
    return Reader(
        tokenizer=student.tokenizer,
        pad_token_id=student.config.pad_token_id,
        order="sentence-order" in settings.objectives,
        hide=hides(settings.objectives),
        whole_words=settings.whole_words,
        seed=settings.seed,
    )


def _pairs(reader: Reader, passages: Passages) -> float:
    """Of some passages from all over, the share that is read as two parts."""
    some = passages.some(range(0, len(passages), max(1, len(passages) // SOME_PASSAGES)))
    return float((reader.read(some, range(len(some)), 0).swapped != NOT_LEARNT).float().mean()) if reader.order else 1.0


def _parts(reading: Reading, rows: Sequence[int], batch_size: int) -> Iterator[Reading]:
    """Yield what fits into memory."""
    for first in range(0, len(rows), batch_size):
        yield reading.part(rows[first : first + batch_size])


def _total(look: Look, settings: PretrainSettings) -> Tensor:
    return torch.stack([weight * LOSSES[name](look) for name, weight in settings.objectives.items()]).sum()


@dataclass(frozen=True)
class _Phase:
    """Steps on windows of one length."""

    learnt: Passages
    held_out: Passages
    sampler: Sampler
    divided: Divided

    @classmethod
    def of(cls, files: Sequence[TokenFile], marks: Marks, max_length: int, settings: PretrainSettings) -> _Phase:
        room = max_length - SPECIAL_TOKENS
        learnt, held_out = split_documents(files, marks, room, settings.held_out_share, settings.seed)
        pieces, known, unknown = sum(len(file.ids) for file in files), learnt.pieces, held_out.pieces
        return cls(
            learnt,
            held_out.first(HELD_OUT_PASSAGES),
            Sampler(learnt.lengths.tolist(), settings.step_windows, settings.seed),
            Divided(known, unknown, pieces - known - unknown, known / len(learnt), max_length),
        )


@dataclass(frozen=True)
class _Course:
    """What is read in which step, and what is made of it."""

    models: Models
    reader: Reader
    phases: Sequence[_Phase]
    settings: PretrainSettings
    run: Run
    ready: dict[int, Reading] = field(default_factory=dict)
    """What was read ahead."""

    @property
    def steps(self) -> int:
        return self.settings.steps + self.settings.long_steps

    def read(self, step: int) -> Reading:
        phase = self.phases[step >= self.settings.steps]
        return self.reader.read(phase.learnt, phase.sampler.batch(step), step, self.run.processes)

    def losses(self, step: int) -> Iterator[MicroBatch]:
        own = self.ready.pop(step, None) or self.read(step)
        whole = Whole.of(own, self.run.processes, self.run.device)
        self.models.student.network.train()
        for part in _parts(own, range(len(own.swapped)), self.settings.batch_size):
            with self.run.autocast():
                loss = _total(self.models.look(part, whole, self.run), self.settings)
            yield MicroBatch(loss, part.batch.tokens)
        if step + 1 < self.steps:
            self.ready[step + 1] = self.read(step + 1)  # while a GPU is still at work on this one

    @torch.no_grad()
    def judge(self, step: int) -> dict[str, float]:
        """How well held-out text is told after so many steps."""
        held_out, objectives = self.phases[step > self.settings.steps].held_out, self.settings.objectives
        reading = self.reader.read(held_out, range(len(held_out)), 0)
        self.models.student.network.eval()
        whole = Whole.of(reading, ALONE, self.run.device)
        by_length = reading.batch.attention_mask.sum(1).argsort().tolist()
        totals: dict[str, float] = defaultdict(float)
        for part in _parts(reading, by_length, self.settings.batch_size):
            with self.run.autocast():
                look = self.models.look(part, whole, self.run)
                losses = {name: LOSSES[name](look).item() for name in objectives}
                found = {"loss": sum(objectives[name] * loss for name, loss in losses.items())}
                found |= {
                    f"{name} loss": loss for name, loss in losses.items() if whole.pairs or name != "sentence-order"
                }
                found |= shares_told(look, objectives)
            for name, value in found.items():
                totals[name] += value
        return dict(totals)

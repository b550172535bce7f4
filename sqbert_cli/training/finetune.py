"""A head on an encoder, learnt from labelled examples, and from a teacher's scores where there is one."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, cast

import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_safetensors
from torch import Tensor

from sqbert_cli.batch import collate
from sqbert_cli.checkpoint import Checkpoint, weights_hash
from sqbert_cli.errors import SqbertError
from sqbert_cli.evaluation import judge
from sqbert_cli.files import whole_file
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.model.heads import Pooler, SequenceHead
from sqbert_cli.model.network import Network, initialise
from sqbert_cli.predict import encode, sequence_logits
from sqbert_cli.records import Gold
from sqbert_cli.tasks import classification
from sqbert_cli.tasks.dataset import Dataset, split_hash
from sqbert_cli.tasks.metrics import Scores
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.optimise import Finished, MicroBatch, OptimiserSettings, Step, Trainer, make_trainer, optimise
from sqbert_cli.training.run import Run, read_tensors, windows_hash, write_tensors
from sqbert_cli.training.sampler import Sampler

TEACHER_WINDOWS = 2_048


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(OptimiserSettings):
    """How a head and its encoder learn a task."""

    learning_rate: float = 1e-4
    epochs: float = 3.0
    batch_size: int = 32
    """Windows in a step; with accumulation, in a part of a step."""
    accumulation: int = 1
    """Parts of a step, each of `batch_size`."""
    max_length: int = 128
    """Tokens in a window, at most; a longer text is learnt window by window."""
    dropout: float = 0.1
    label_smoothing: float = 0.0
    class_weights: bool = False
    """Weigh labels by how rare they are."""
    eval_steps: int | None = None
    """Steps between two evaluations on dev; default: two in an epoch."""
    save_steps: int = 200
    """Steps between two writes of the resume file (it is written after each evaluation too)."""
    patience: int | None = None
    """Stop after so many evaluations without a better score."""
    temperature: float = 2.0
    """Softens the teacher's scores and the student's."""
    teacher_weight: float = 0.9
    """Share of the teacher's scores in the loss; the rest are the labels."""


@dataclass(frozen=True)
class TeacherScores:
    """The teacher has been asked for its scores of the training examples."""

    done: int
    examples: int


@dataclass(frozen=True)
class Evaluation:
    """Scores on dev; the weights are kept if they are the best so far."""

    step: int
    scores: Scores
    is_best: bool


def with_new_head(base: Checkpoint, head: HeadConfig, settings: FinetuneSettings) -> Checkpoint:
    """Return the encoder of `base` with one new head; a pooler that was pretrained goes on."""
    config = replace(
        base.config,
        hidden_dropout_prob=settings.dropout,
        attention_probs_dropout_prob=settings.dropout,
    )
    head = replace(head, max_length=settings.max_length)
    network = Network(config, (head,))
    network.transformer.load_state_dict(base.network.transformer.state_dict())
    initialise(network.heads, config.initializer_range, torch.Generator().manual_seed(settings.seed))
    pooler = next((part for part in base.network.heads.modules() if isinstance(part, Pooler)), None)
    new = network.heads[head.name]
    if pooler is not None and isinstance(new, SequenceHead):
        new.pooler.load_state_dict(pooler.state_dict())
    return Checkpoint(head.name, network, (head,), base.tokenizer)


def finetune(
    student: Checkpoint,
    dataset: Dataset,
    settings: FinetuneSettings,
    run: Run,
    teacher: Checkpoint | None = None,
) -> Iterator[Step | TeacherScores | Evaluation | Finished]:
    """Teach the student's head its task; in the end it holds the weights that were the best on dev."""
    examples = _examples(student, dataset)
    told = {
        "examples": windows_hash(examples.windows, examples.golds),
        "dev examples": split_hash(dataset.dev[0]),
        "starting weights": weights_hash(student),
        "teacher's weights": None if teacher is None else weights_hash(teacher),
    }
    soft = None if teacher is None else (yield from _teacher_logits(teacher, student, examples, run, told))
    sampler = Sampler(examples.lengths, settings.batch_size * settings.accumulation, settings.seed)
    student.network.to(run.device)
    trainer = make_trainer(student.network, settings, max(1, round(sampler.steps_per_epoch * settings.epochs)))
    identity = run.identity(settings, told)
    run.start(trainer, identity)
    parts = Parts(student, examples, settings, run, soft)
    eval_steps = settings.eval_steps or -(-sampler.steps_per_epoch // 2)
    for step in optimise(trainer, lambda index: parts.losses(sampler.batch(index))):
        yield step
        evaluated = step.index % eval_steps == 0 or step.index == step.steps
        if evaluated:
            yield _evaluate(trainer, student, dataset, run)
            if settings.patience and trainer.progress.stale >= settings.patience:
                break
        if evaluated or step.index % settings.save_steps == 0:
            run.save(trainer, identity)
    student.network.load_state_dict(load_file(run.best_file))
    yield Finished(trainer.progress.seconds, trainer.progress.history)


@dataclass(frozen=True)
class Examples:
    """Windows to learn from, each with the label of its text."""

    windows: tuple[Window, ...]
    golds: tuple[Gold, ...]

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(len(window.input_ids) for window in self.windows)


@dataclass(frozen=True)
class Parts:
    """The parts of a step and their losses."""

    student: Checkpoint
    examples: Examples
    settings: FinetuneSettings
    run: Run
    soft: Tensor | None
    """The teacher's logits. *Shape:* (N, L)."""

    @cached_property
    def targets(self) -> Tensor:
        return classification.targets(self.examples.golds, self.student.heads[0])

    @cached_property
    def label_weights(self) -> Tensor | None:
        return _label_weights(self.targets, self.student.heads[0]) if self.settings.class_weights else None

    def losses(self, rows: Sequence[int]) -> Iterator[MicroBatch]:
        """Yield each part with its share of the step's loss."""
        network, head = self.student.network.train(), self.student.heads[0]
        for first in range(0, len(rows), self.settings.batch_size):
            some = rows[first : first + self.settings.batch_size]
            windows = [self.examples.windows[row] for row in some]
            batch = collate(windows, self.student.config.pad_token_id, self.run.device)
            with self.run.autocast():
                logits = network(head.name, *batch.inputs()).cpu()
            yield MicroBatch(self._loss(logits, list(some)) * (len(some) / len(rows)), batch.tokens)

    def _loss(self, logits: Tensor, rows: list[int]) -> Tensor:
        settings, problem = self.settings, self.student.heads[0].problem_type
        hard = classification.loss(logits, self.targets[rows], problem, settings.label_smoothing, self.label_weights)
        if self.soft is None:
            return hard
        soft = classification.soft_loss(logits, self.soft[rows], problem, settings.temperature)
        return settings.teacher_weight * soft + (1 - settings.teacher_weight) * hard


def _examples(student: Checkpoint, dataset: Dataset) -> Examples:
    windows = encode(student, dataset.train.records, student.max_length(student.heads[0]))
    pairs = [
        (window, record.gold)
        for record, some in zip(dataset.train.records, windows, strict=True)
        for window in some
        if record.gold is not None
    ]
    return Examples(tuple(window for window, _ in pairs), tuple(gold for _, gold in pairs))


def _teacher_logits(
    teacher: Checkpoint, student: Checkpoint, examples: Examples, run: Run, told: Mapping[str, Any]
) -> Generator[TeacherScores, None, Tensor]:
    """Ask the teacher once; a resumed run reads what was answered. *Shape of the result:* (N, L)."""
    _check_teacher(teacher, student)
    file = run.folder / "teacher.pt"
    if run.resume and file.is_file():
        saved = read_tensors(file)
        if saved["told"] == told:
            return cast("Tensor", saved["logits"])
    teacher.network.to(run.device).eval()
    head, rows, count = teacher.head("sequence"), [], len(examples.windows)
    for first in range(0, count, TEACHER_WINDOWS):
        rows.append(sequence_logits(teacher, head.name, examples.windows[first : first + TEACHER_WINDOWS]))
        yield TeacherScores(min(first + TEACHER_WINDOWS, count), count)
    logits = torch.cat(rows)[:, [head.labels.index(label) for label in student.heads[0].labels]]
    write_tensors(file, {"told": dict(told), "logits": logits})
    return logits


def _check_teacher(teacher: Checkpoint, student: Checkpoint) -> None:
    head, wanted = teacher.head("sequence"), student.heads[0]
    if sorted(head.labels) != sorted(wanted.labels) or head.problem_type != wanted.problem_type:
        raise SqbertError(
            f"the teacher `{teacher.name}` tells {', '.join(head.labels)}, the task wants {', '.join(wanted.labels)}",
            hint="a teacher must have been trained on the same labels",
        )
    if teacher.tokenizer.pieces.get_vocab() != student.tokenizer.pieces.get_vocab():
        raise SqbertError(f"the teacher `{teacher.name}` has another vocabulary than the student")
    positions = teacher.config.max_position_embeddings
    if positions < student.max_length(wanted):
        raise SqbertError(
            f"the teacher `{teacher.name}` reads {positions} tokens at most", hint=f"use `--max-length {positions}`"
        )


def _evaluate(trainer: Trainer, student: Checkpoint, dataset: Dataset, run: Run) -> Evaluation:
    scores = judge(student, dataset.dev[0], dataset.metrics, dataset.head)
    progress = trainer.progress
    progress.history.append({"step": progress.step, **scores.metrics})
    is_best = progress.best_score is None or scores.main > progress.best_score
    progress.stale = 0 if is_best else progress.stale + 1
    if is_best:
        progress.best_score = scores.main
        with whole_file(run.best_file) as file:
            file.write(to_safetensors({name: t.contiguous() for name, t in student.network.state_dict().items()}))
    return Evaluation(progress.step, scores, is_best)


def _label_weights(targets: Tensor, head: HeadConfig) -> Tensor | None:
    """Rare labels weigh more. *Shapes:* as `classification.targets` -> (L,)."""
    match head.problem_type:
        case "regression":
            return None
        case "multi_label_classification":
            positive = targets.sum(0).clamp(min=1)
            return (len(targets) - positive).clamp(min=1) / positive
        case "single_label_classification":
            counts = targets.bincount(minlength=len(head.labels)).clamp(min=1)
            return len(targets) / (len(head.labels) * counts)

"""Heads on an encoder, learnt from labelled examples, and from a teacher's scores where there is one."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from safetensors.torch import save as to_safetensors
from torch import nn

from sqbert_cli.checkpoint import Checkpoint, weights_hash
from sqbert_cli.errors import SqbertError
from sqbert_cli.evaluation import judge
from sqbert_cli.files import whole_file
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.model.heads import SequenceHead
from sqbert_cli.tasks.dataset import Dataset, Split, split_hash
from sqbert_cli.tasks.metrics import Scores
from sqbert_cli.training.examples import VECTOR_HEAD, make_lesson, vector_lesson
from sqbert_cli.training.guides import Guidance, Guide, guided
from sqbert_cli.training.heads import network_with_heads
from sqbert_cli.training.lessons import LeftOut, Lesson, Scale, TextLesson, check_lessons
from sqbert_cli.training.optimise import Finished, MicroBatch, Step, Trainer, make_trainer, optimise
from sqbert_cli.training.parts import micro_batches
from sqbert_cli.training.plan import Plan
from sqbert_cli.training.run import Resumed, Run, take_best, windows_hash
from sqbert_cli.training.saver import Saver
from sqbert_cli.training.settings import FinetuneSettings
from sqbert_cli.training.teacher import TeacherScores

TEXT_LENGTH, QUESTION_LENGTH = 128, 256
FEWEST_STEPS = 10
"""Between two evaluations, where nobody says otherwise: few examples make short epochs."""


@dataclass(frozen=True)
class Shared:
    """How the steps are shared out among several tasks."""

    shares: Mapping[str, tuple[int, float]]
    """Of each head, its steps, and how often its examples are seen."""


@dataclass(frozen=True)
class Evaluation:
    """Scores on dev; the weights are kept if they are the best so far."""

    step: int
    scores: Mapping[str, Scores]
    """By the names of the heads."""
    is_best: bool

    @property
    def metrics(self) -> dict[str, float]:
        """All of them; of several heads with their names before."""
        return {
            name if len(self.scores) == 1 else f"{head} {name}": value
            for head, scores in self.scores.items()
            for name, value in scores.metrics.items()
        }


def with_heads(base: Checkpoint, heads: Sequence[HeadConfig], settings: FinetuneSettings) -> Checkpoint:
    """Return `base` with heads to be taught on windows of the task's length; with a frozen encoder its others stay."""
    taught = [replace(head, max_length=_length(settings, head, base)) for head in heads]
    return network_with_heads(
        base, taught, dropout=settings.dropout, seed=settings.seed, keep_others=settings.freeze_encoder
    )


def _length(settings: FinetuneSettings, head: HeadConfig, base: Checkpoint) -> int:
    positions = base.config.max_position_embeddings
    if (settings.max_length or 0) > positions:
        raise SqbertError(f"`{base.name}` reads {positions} tokens at most", hint="use a smaller `--max-length`")
    return settings.max_length or min(QUESTION_LENGTH if head.kind == "span" else TEXT_LENGTH, positions)


def finetune(
    student: Checkpoint,
    datasets: Sequence[Dataset],
    settings: FinetuneSettings,
    run: Run,
    guidance: Guidance | None = None,
    vectors: tuple[Split, Checkpoint] | None = None,
) -> Iterator[LeftOut | TeacherScores | Shared | Resumed | Step | Evaluation | Finished]:
    """Teach the student's heads their tasks; in the end it holds the weights that were the best on dev.

    Of several tasks each step is of one, drawn in proportion to its windows to a power. `vectors` are running
    text and the model whose sentence vectors the encoder is to have on it.
    """
    lessons, guide = yield from _lessons(student, datasets, settings, run, guidance, vectors)
    told = {
        "examples": windows_hash([w for lesson in lessons for w in lesson.windows], [one.told for one in lessons]),
        "dev examples": [split_hash(dataset.dev[0]) for dataset in datasets],
        "starting weights": weights_hash(student),
        "guidance": None if guidance is None else guidance.told,
        "weights of the vectors": None if vectors is None else weights_hash(vectors[1]),
    }
    plan = Plan(
        [lesson.lengths for lesson in lessons], settings.step_windows, settings.epochs, settings.power, settings.seed
    )
    _check_steps(lessons, plan)
    if len(lessons) > 1:
        yield Shared({one.head.name: of_one for one, of_one in zip(lessons, plan.shares, strict=True)})
    with _on_their_scales(student, lessons):
        frozen = _frozen(student, datasets, settings)
        trainer = make_trainer(student.network.to(run.device), settings, plan.steps, frozen, run.processes)
        identity = run.identity(settings, told)
        yield from run.start(trainer, identity)
        eval_steps = settings.eval_steps or max(FEWEST_STEPS, -(-plan.steps_per_epoch // 2))
        saver = Saver(run, trainer, identity)

        def losses(step: int) -> Iterator[MicroBatch]:
            lesson, rows = plan.batch(step)
            return micro_batches(lessons[lesson], student, rows, settings.batch_size, run, guide)

        def has_ended() -> bool:
            progress = trainer.progress
            return progress.step == trainer.steps or progress.stale >= (settings.patience or math.inf)

        for step in () if has_ended() else optimise(trainer, losses):
            yield step
            if step.index % eval_steps == 0 or has_ended():
                yield _evaluate(trainer, student, datasets, run)
            saver.step_done(has_ended() or step.index % settings.save_steps == 0)
            if has_ended():
                break
        run.processes.wait()
        take_best(run, student.network)
    yield Finished(trainer.progress.seconds, trainer.progress.history, told)


def _lessons(
    student: Checkpoint,
    datasets: Sequence[Dataset],
    settings: FinetuneSettings,
    run: Run,
    guidance: Guidance | None,
    vectors: tuple[Split, Checkpoint] | None,
) -> Generator[LeftOut | TeacherScores, None, tuple[list[Lesson], Guide | None]]:
    """Return what is learnt from, and the guide through it."""
    lessons = [
        make_lesson(student, dataset, smoothing=settings.label_smoothing, class_weights=settings.class_weights)
        for dataset in datasets
    ]
    _check_options([dataset.head for dataset in datasets], settings)
    yield from check_lessons(lessons)
    guide = None
    if guidance is not None:
        lessons, guide = yield from guided(guidance, student, lessons, run)
    if vectors is not None:
        lessons.append(vector_lesson(student, vectors[0].records, vectors[1], run))
    return lessons, guide


@contextmanager
def _on_their_scales(student: Checkpoint, lessons: Sequence[Lesson]) -> Iterator[None]:
    """Let the heads that tell numbers tell them on the scales on which they learn; in the end as they are."""
    scales = _scales(student, lessons)
    for scale, classifier in scales:
        scale.to_standard(classifier)
    yield
    for scale, classifier in scales:
        scale.to_raw(classifier)


def _scales(student: Checkpoint, lessons: Sequence[Lesson]) -> list[tuple[Scale, nn.Linear]]:
    """Of the heads that tell numbers: the scale on which each learns, and its last layer."""
    found: list[tuple[Scale, nn.Linear]] = []
    for lesson in lessons:
        head = student.network.heads[lesson.head.name]
        if isinstance(lesson, TextLesson) and lesson.scale and isinstance(head, SequenceHead):
            found.append((lesson.scale, head.classifier))
    return found


def _check_steps(lessons: Sequence[Lesson], plan: Plan) -> None:
    for lesson, steps in zip(lessons, plan.steps_of, strict=True):
        if not steps:
            raise SqbertError(
                f"of {plan.steps} steps none is of `{lesson.head.name}`", hint="use more `--epochs`, or less `--power`"
            )


def _check_options(heads: Sequence[HeadConfig], settings: FinetuneSettings) -> None:
    """Raise `SqbertError` for an option that none of the tasks would listen to."""
    have_labels = any(head.kind == "sequence" and head.problem_type != "regression" for head in heads)
    have_tags = any(head.kind == "token" for head in heads)
    for option, chosen, listens in (
        ("--class-weights", settings.class_weights, have_labels),
        ("--label-smoothing", settings.label_smoothing, have_labels or have_tags),
    ):
        if chosen and not listens:
            raise SqbertError(f"`{option}` does nothing for this task", hint="leave it out")


def _frozen(student: Checkpoint, datasets: Sequence[Dataset], settings: FinetuneSettings) -> tuple[str, ...]:
    """Prefixes of the parameters that stay as they are."""
    if not settings.freeze_encoder:
        return ()
    taught = {VECTOR_HEAD.name, *(dataset.head.name for dataset in datasets)}
    return ("transformer.", *(f"heads.{head.name}." for head in student.heads if head.name not in taught))


def _evaluate(trainer: Trainer, student: Checkpoint, datasets: Sequence[Dataset], run: Run) -> Evaluation:
    """Of several tasks, the mean of their main metrics decides which weights are the best."""
    scores = {dataset.head.name: judge(student, dataset.dev[0], dataset.metrics, dataset.head) for dataset in datasets}
    evaluation = Evaluation(trainer.progress.step, scores, False)
    progress, mean = trainer.progress, sum(of_head.main for of_head in scores.values()) / len(scores)
    # Machines may differ in a last digit, but not about when to end: all go by the first one's.
    (mean,) = run.processes.totals(mean if run.processes.is_first else 0.0, device=run.device)
    progress.history.append({"step": progress.step, **evaluation.metrics})
    gain = mean - (progress.best_score if progress.best_score is not None else -math.inf)
    is_best = gain >= 0  # of equals the one that has learnt longer
    progress.stale = 0 if gain > 0 else progress.stale + 1
    if is_best:
        progress.best_score = mean
    if is_best and run.processes.is_first:
        with whole_file(run.best_file) as file:
            file.write(to_safetensors({name: t.contiguous() for name, t in student.network.state_dict().items()}))
    return replace(evaluation, is_best=is_best)

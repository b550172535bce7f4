"""From a task's data to its lesson: the windows and targets of every record."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.predict.answers import question_stretches
from sqbert_cli.predict.entities import token_stretches
from sqbert_cli.predict.texts import encode
from sqbert_cli.records import Record
from sqbert_cli.tasks import classification
from sqbert_cli.tasks.answers import NO_ANSWER, question_fits, window_target
from sqbert_cli.tasks.dataset import Dataset
from sqbert_cli.tasks.entities import NOT_LEARNT, piece_targets
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.lessons import (
    Lesson,
    MaskedWordLesson,
    Scale,
    SpanLesson,
    TextLesson,
    TokenLesson,
    VectorLesson,
)
from sqbert_cli.training.run import Run

VECTOR_HEAD = HeadConfig(name="vectors", kind="vector")
SMOOTHING, MANY_LABELS = 0.1, 20


def make_lesson(
    student: Checkpoint, dataset: Dataset, *, smoothing: float | None = None, class_weights: bool = False
) -> Lesson:
    """Raise `SqbertError` where the student has no head for the task."""
    head = student.head(dataset.head.kind, dataset.head.name)
    smoothing = usual_smoothing(head) if smoothing is None else smoothing
    match head.kind:
        case "token":
            return token_lesson(student, head, dataset.train.records, smoothing)
        case "span":
            return span_lesson(student, head, dataset.train.records)
        case "masked_word":
            return masked_word_lesson(student, head, dataset.train.records)
        case _:
            return text_lesson(student, head, dataset.train.records, smoothing, class_weights)


def usual_smoothing(head: HeadConfig) -> float:
    """Doubt in a head's labels, where it was measured to help (weights/LOG.md, 28 November)."""
    is_one_of_many = head.kind == "sequence" and head.problem_type == "single_label_classification"
    return SMOOTHING if is_one_of_many and len(head.labels) >= MANY_LABELS else 0.0


def text_lesson(
    student: Checkpoint, head: HeadConfig, records: Sequence[Record], smoothing: float, class_weights: bool
) -> TextLesson:
    """Each window of a text is to get the label of the text."""
    windows = encode(student, records, student.max_length(head))
    pairs = [
        (window, record.gold)
        for record, some in zip(records, windows, strict=True)
        for window in some
        if record.gold is not None
    ]
    targets = classification.targets([gold for _, gold in pairs], head)
    return TextLesson(
        head=head,
        windows=tuple(window for window, _ in pairs),
        targets=targets,
        smoothing=smoothing,
        label_weights=label_weights(targets, head) if class_weights else None,
        scale=scale_of(targets) if head.problem_type == "regression" else None,
    )


def token_lesson(student: Checkpoint, head: HeadConfig, records: Sequence[Record], smoothing: float) -> TokenLesson:
    windows, targets = [], []
    for record in records:
        for stretch in token_stretches(student, head, record, None):
            row = torch.full((len(stretch.window),), NOT_LEARNT)
            learnt = piece_targets(stretch, record.spans or (), head.labels)
            owned = slice(stretch.owned.start, stretch.owned.stop)
            row[stretch.first :][owned] = torch.tensor(learnt, dtype=torch.long)[owned]
            windows.append(stretch.window)
            targets.append(row)
    return TokenLesson(head=head, windows=tuple(windows), targets=tuple(targets), smoothing=smoothing)


def span_lesson(student: Checkpoint, head: HeadConfig, records: Sequence[Record]) -> SpanLesson:
    """Left out are questions too long for a window, and answers that are in none."""
    windows, targets, left_out = [], [], []
    for record in records:
        (question,) = student.tokenizer.encode([record.pair or ""])
        if not question_fits(question, student.max_length(head)):
            left_out.append(record.source)
            continue
        parts = list(question_stretches(student, head, record, question, None))
        of_parts = [window_target(part, record.spans or ()) for part in parts]
        if record.spans and all(target == NO_ANSWER for target in of_parts):
            left_out.append(record.source)
            continue
        windows += [part.window for part in parts]
        targets += of_parts
    return SpanLesson(
        head=head,
        windows=tuple(windows),
        targets=torch.tensor(targets).reshape(-1, 2),
        left_out=tuple(left_out),
    )


def masked_word_lesson(student: Checkpoint, head: HeadConfig, records: Sequence[Record]) -> MaskedWordLesson:
    return MaskedWordLesson(head=head, windows=text_windows(student, records, student.max_length(head)))


def vector_lesson(student: Checkpoint, records: Sequence[Record], wanted: Checkpoint, run: Run) -> VectorLesson:
    """`wanted` is the model whose sentence vectors are learnt, or kept if it is the one that the student began as."""
    if wanted.config.hidden_size != student.config.hidden_size:
        raise SqbertError(
            f"the vectors of `{wanted.name}` have {wanted.config.hidden_size} numbers, "
            f"the model's {student.config.hidden_size}"
        )
    check_vocabulary(wanted, student)
    length = student.max_length(student.head("vector"))
    check_positions(wanted.name, wanted.config.max_position_embeddings, length)
    wanted.network.to(run.device).eval().requires_grad_(False)
    return VectorLesson(head=VECTOR_HEAD, windows=text_windows(student, records, length), wanted=wanted)


def check_vocabulary(teacher: Checkpoint, student: Checkpoint) -> None:
    if teacher.tokenizer.pieces.get_vocab() != student.tokenizer.pieces.get_vocab():
        raise SqbertError(f"the teacher `{teacher.name}` has another vocabulary than the student")


def check_positions(name: str, positions: int, longest: int) -> None:
    """Raise `SqbertError` where a teacher has fewer positions than the longest window has tokens."""
    if positions < longest:
        raise SqbertError(f"`{name}` reads {positions} tokens at most", hint=f"use `--max-length {positions}`")


def text_windows(student: Checkpoint, records: Sequence[Record], max_length: int) -> tuple[Window, ...]:
    """Of texts that have any word."""
    windows = (window for some in encode(student, records, max_length) for window in some)
    return tuple(window for window in windows if len(window) > 2)


def scale_of(numbers: Tensor) -> Scale:
    """*Shape:* (N, 1)."""
    deviation = float(numbers.double().std(correction=0))
    return Scale(float(numbers.double().mean()), deviation or 1.0)


def label_weights(targets: Tensor, head: HeadConfig) -> Tensor | None:
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

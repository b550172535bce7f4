"""Teach MPNet a task, so that it can teach: `python teach_mpnet.py all-mpnet-base-v2 ner=train.conll:dev.conll OUTPUT`.

`sqbert finetune` trains networks of its own family only; this one learns through transformers, the task written as for
`--multi`: labels of texts or of pairs, entities, or answers. The lowest layers stay as they are, to save time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import transformers
import typer
from seqeval.metrics import f1_score
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sqbert_cli.model.config import DeviceName
from sqbert_cli.model.device import choose_device
from sqbert_cli.models import load_checkpoint
from sqbert_cli.tasks import classification
from sqbert_cli.tasks.answers import span_loss
from sqbert_cli.tasks.choose import Source, parse_multi
from sqbert_cli.tasks.entities import NOT_LEARNT, token_loss
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.examples import make_lesson
from sqbert_cli.training.finetune import with_heads
from sqbert_cli.training.foreign import CLASSES, ForeignTeacher, load_foreign
from sqbert_cli.training.lessons import LOWEST, Lesson, SpanLesson, TextLesson, TokenLesson
from sqbert_cli.training.optimise import MicroBatch, make_trainer, optimise
from sqbert_cli.training.plan import Plan
from sqbert_cli.training.settings import FinetuneSettings

JUDGED_AT_ONCE, SHOWN = 64, 25
"""SHOWN: steps between two lines of progress."""


def write_untaught(source: str, lesson: Lesson, output: Path) -> None:
    names = dict(enumerate(lesson.head.labels))
    kind: Any = getattr(transformers, CLASSES[lesson.head.kind])
    labels = {"num_labels": len(names), "id2label": names} if names else {}
    kind.from_pretrained(source, **labels, dtype=torch.float32).save_pretrained(output)
    transformers.AutoTokenizer.from_pretrained(source).save_pretrained(output)


def scores(network: ForeignTeacher, windows: Sequence[Window]) -> Tensor:
    """*Shapes:* -> (B, L), or (B, T, L), or (B, T, 2)."""
    device = network.network.device
    with torch.autocast(device.type, dtype=torch.bfloat16):
        return pad_sequence(network.scores(windows, device), True, LOWEST)


def loss(network: ForeignTeacher, lesson: Lesson, rows: Sequence[int]) -> Tensor:
    logits = scores(network, [lesson.windows[row] for row in rows])
    if isinstance(lesson, TextLesson):
        return classification.loss(logits, lesson.targets[list(rows)], lesson.head.problem_type)
    if isinstance(lesson, SpanLesson):
        return span_loss(logits, lesson.targets[list(rows)])
    assert isinstance(lesson, TokenLesson)
    return token_loss(logits, pad_sequence([lesson.targets[row] for row in rows], True, NOT_LEARNT))


@torch.inference_mode()
def score(network: ForeignTeacher, dev: Lesson) -> float:
    """Accuracy, of answers too, or F1 of entities as conlleval has it; of windows, which most texts fill one by one."""
    network.network.eval()
    choices = 0 if isinstance(dev, SpanLesson) else -1
    found = [
        row.argmax(choices)
        for first in range(0, len(dev.windows), JUDGED_AT_ONCE)
        for row in scores(network, dev.windows[first : first + JUDGED_AT_ONCE])
    ]
    network.network.train()
    if isinstance(dev, TextLesson):
        return float((torch.stack(found) == dev.targets).float().mean())
    if isinstance(dev, SpanLesson):
        return float((torch.stack(found) == dev.targets).all(1).float().mean())
    assert isinstance(dev, TokenLesson)
    learnt = [target != NOT_LEARNT for target in dev.targets]
    gold = [target[mask].tolist() for target, mask in zip(dev.targets, learnt, strict=True)]
    ours = [row[: len(mask)][mask].tolist() for row, mask in zip(found, learnt, strict=True)]
    names = [[[dev.head.labels[tag] for tag in row] for row in rows] for rows in (gold, ours)]
    return float(f1_score(*names))


def main(
    source: str,
    task: str,
    output: Path,
    epochs: float = 0.55,
    batch_size: int = 64,
    learning_rate: float = 5e-5,
    frozen_layers: int = 2,
    device: DeviceName = "auto",
) -> None:
    (dataset,) = parse_multi([task], Source())
    if dataset.head.kind not in CLASSES or dataset.head.problem_type != "single_label_classification":
        raise typer.BadParameter(f"{dataset.name}: only labels of texts, entities and answers are taught here")
    settings = FinetuneSettings(epochs=epochs, batch_size=batch_size, learning_rate=learning_rate, warmup_fraction=0.08)
    student = with_heads(load_checkpoint(offline=True), [dataset.head], settings)
    lesson, dev = make_lesson(student, dataset), make_lesson(student, replace(dataset, train=dataset.dev[0]))
    torch.manual_seed(settings.seed)
    write_untaught(source, lesson, output)
    network = load_foreign(output, source, student)
    network.network.to(choose_device(device)).train()
    plan = Plan([lesson.lengths], batch_size, epochs, 1.0, settings.seed)
    layers = [f"mpnet.encoder.layer.{index}." for index in range(frozen_layers)]
    trainer = make_trainer(network.network, settings, plan.steps, ("mpnet.encoder.relative", *layers))

    def losses(step: int) -> Iterator[MicroBatch]:
        _, rows = plan.batch(step)
        yield MicroBatch(loss(network, lesson, rows), lesson.tokens(rows))

    for step in optimise(trainer, losses):
        if step.index % SHOWN == 0:
            print(
                f"step {step.index} of {step.steps}, loss {step.loss:.3f}, {trainer.progress.seconds:.0f} s", flush=True
            )
        if step.index in (step.steps // 2, step.steps):
            print(f"dev {score(network, dev):.4f}", flush=True)
    network.network.save_pretrained(output)


if __name__ == "__main__":
    typer.run(main)

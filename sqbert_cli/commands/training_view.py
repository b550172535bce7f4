"""Training as it goes, and scores in tables."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.console import data, printable, show_warning, talk
from sqbert_cli.tasks.metrics import Scores
from sqbert_cli.text.corpus import Tokenized
from sqbert_cli.training.finetune import Evaluation, LeftOut
from sqbert_cli.training.optimise import Finished, OptimiserSettings, Step
from sqbert_cli.training.pretrain import HeldOut
from sqbert_cli.training.processes import Processes
from sqbert_cli.training.run import Resumed, Run
from sqbert_cli.training.teacher import TeacherScores

TrainingEvent = LeftOut | Resumed | Step | Evaluation | TeacherScores | HeldOut | Finished
LOG_SECONDS = 30
"""Between two lines about a run that nobody watches."""
LISTED = 5
CONFUSION_LABELS = 12
"""More than these make no table that can be read."""


def hush(processes: Processes) -> None:
    """Of several processes only the first talks."""
    talk.quiet = data.quiet = not processes.is_first


def show_settings(settings: OptimiserSettings, student: Checkpoint) -> None:
    """What a run is made of, before it begins."""
    shape, count = student.config, sum(parameter.numel() for parameter in student.network.parameters())
    talk.print(f"{count / 1e6:.1f} M parameters: {shape.num_hidden_layers} layers, width {shape.hidden_size}")
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in asdict(settings).items():
        told = ", ".join(f"{key} {weight:g}" for key, weight in value.items()) if isinstance(value, dict) else value
        table.add_row(Text(name, "dim"), str(told))
    talk.print(table)


def show_tokenizing(path: Path, events: Iterable[Tokenized]) -> None:
    """Show how far a file has been tokenized."""
    with _training_bar() as bar:
        for event in events:
            bar.update(bar.task_ids[0], total=event.size, completed=event.done, note=f"tokenizing {path.name}")


def show_scores(name: str, scores: Scores) -> None:
    """Metrics in percent, each label's precision, recall and F1, and what was taken for what."""
    data.print(Text(f"\n{name}", "bold"))
    data.print("  ".join(f"{metric} {value * 100:.2f}" for metric, value in scores.metrics.items()))
    if scores.classes:
        data.print(_class_table(scores))
    if 1 < len(scores.confusion) <= CONFUSION_LABELS:
        data.print(_confusion_table(scores))


def show_training(events: Iterable[TrainingEvent], run: Run) -> Finished:
    """Show a run while it goes; return how it ended."""
    if run.resume and not run.file.exists():
        show_warning(f"`{run.folder.parent}` holds nothing to resume: starting anew")
    last = time.monotonic()
    with _training_bar() as bar, _told_of_resume():
        for event in events:
            match event:
                case Step():
                    bar.update(bar.task_ids[0], total=event.steps, completed=event.index, note=_step_note(event))
                    if not talk.is_terminal and time.monotonic() - last > LOG_SECONDS:
                        last = time.monotonic()
                        talk.print(f"step {event.index}/{event.steps}  {_step_note(event)}")
                case LeftOut():
                    some = ", ".join(event.sources[:LISTED])
                    show_warning(f"{event.head}: {len(event.sources):,} examples do not fit into windows: {some}")
                case Resumed(changes=changes) if changes:
                    same = "the same curve, not the same bits"
                    show_warning(f"going on from step {event.step} with {'; '.join(changes)}: {same}")
                case TeacherScores():
                    note = "asking the teacher"
                    bar.update(bar.task_ids[0], total=event.examples, completed=event.done, note=note)
                case Evaluation() | HeldOut():
                    talk.print(_evaluation_line(event))
                case Finished():
                    return event
    raise AssertionError("a run ends with Finished")


@contextmanager
def _told_of_resume() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        talk.print("interrupted; the same command with `--resume` goes on")
        raise


@contextmanager
def _training_bar() -> Iterator[Progress]:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as bar:
        bar.add_task("", total=None, note="")
        yield bar


def _step_note(step: Step) -> str:
    return f"loss {step.loss:.4f}  rate {step.learning_rate:.1e}  {step.tokens / step.seconds:,.0f} tokens/s"


def _evaluation_line(event: Evaluation | HeldOut) -> str:
    if isinstance(event, HeldOut):
        return f"step {event.step}  held-out " + "  ".join(_metric(*pair) for pair in event.metrics.items())
    metrics = "  ".join(f"{name} {value * 100:.2f}" for name, value in event.metrics.items())
    return f"step {event.step}  dev {metrics}{'  (best so far)' if event.is_best else ''}"


def _metric(name: str, value: float) -> str:
    return f"{name} {value * 100:.1f} %" if name.endswith("accuracy") else f"{name} {value:.4f}"


def _class_table(scores: Scores) -> Table:
    table = Table("label", box=None, pad_edge=False, header_style="dim")
    for name in ("precision", "recall", "F1", "examples"):
        table.add_column(name, justify="right")
    for row in scores.classes:
        numbers = (f"{value * 100:.2f}" for value in (row.precision, row.recall, row.f1))
        table.add_row(Text(printable(row.label)), *numbers, str(row.support))
    return table


def _confusion_table(scores: Scores) -> Table:
    table = Table("true \\ predicted", box=None, pad_edge=False, header_style="dim")
    for row in scores.classes:
        table.add_column(Text(printable(row.label)), justify="right")
    for position, (row, counts) in enumerate(zip(scores.classes, scores.confusion, strict=True)):
        cells = [Text(str(n), "bold" if column == position else "") for column, n in enumerate(counts)]
        table.add_row(Text(printable(row.label)), *cells)
    return table

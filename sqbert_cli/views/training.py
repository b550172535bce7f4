"""Training as it goes, and scores in tables."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.console import data, printable, show_warning, talk
from sqbert_cli.tasks.metrics import Scores
from sqbert_cli.text.corpus import Tokenized
from sqbert_cli.training.finetune import Evaluation, Shared
from sqbert_cli.training.lessons import LeftOut
from sqbert_cli.training.optimise import Finished, Step
from sqbert_cli.training.pretrain import Divided, HeldOut
from sqbert_cli.training.processes import Processes
from sqbert_cli.training.run import Resumed, Run
from sqbert_cli.training.settings import OptimiserSettings
from sqbert_cli.training.teacher import TeacherScores
from sqbert_cli.views.tables import plain_table

TrainingEvent = LeftOut | Divided | Shared | Resumed | Step | Evaluation | TeacherScores | HeldOut | Finished
LOG_SECONDS = 30
"""Between two lines about a run that nobody watches."""
LISTED = 5
MOST_HELD_OUT, SHORT, FEW_PAIRS = 0.1, 0.25, 0.5
"""Of the text; of a window; of the windows. Beyond these a text is probably divided otherwise than its owner thinks."""
CONFUSION_LABELS = 12
"""More than these make no table that can be read."""


def hush(processes: Processes) -> None:
    """Of several processes only the first talks."""
    talk.quiet = data.quiet = not processes.is_first


def show_settings(settings: OptimiserSettings, student: Checkpoint, base: Checkpoint) -> None:
    """What a run is made of, before it begins; and which heads of `base` it leaves behind."""
    shape, count = student.config, sum(parameter.numel() for parameter in student.network.parameters())
    talk.print(f"{count / 1e6:.1f} M parameters: {shape.num_hidden_layers} layers, width {shape.hidden_size}")
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, value in asdict(settings).items():
        told = ", ".join(f"{key} {weight:g}" for key, weight in value.items()) if isinstance(value, dict) else value
        table.add_row(Text(name, "dim"), str(told))
    talk.print(table)
    taught = {head.name for head in student.heads}
    if left := [head.name for head in base.heads if head.name not in taught]:
        talk.print(f"heads that stay behind: {', '.join(map(printable, left))}")


def show_tokenizing(path: Path, events: Iterable[Tokenized]) -> None:
    """Show how far a file has been tokenized."""
    with _training_bar() as show:
        for event in events:
            show(f"tokenizing {printable(path.name)}", event.done, event.size)


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
    with _training_bar() as show, told_of_resume(run), _first_interrupt_waits(run) as step_began:
        for event in events:
            match event:
                case Step():
                    step_began()
                    show(_step_note(event), event.index, event.steps)
                case LeftOut():
                    some = ", ".join(event.sources[:LISTED])
                    show_warning(f"{event.head}: {len(event.sources):,} examples do not fit into windows: {some}")
                case Divided():
                    _show_division(event)
                case Shared(shares=shares):
                    for name, (steps, times) in shares.items():
                        talk.print(f"{printable(name)}: {steps:,} of the steps, {times:.1f} times through")
                case Resumed(step=step, changes=()):
                    talk.print(f"going on from step {step:,}")
                case Resumed(step=step, changes=changes):
                    same = "the same curve, not the same bits"
                    show_warning(f"going on from step {step:,} with {'; '.join(changes)}: {same}")
                case TeacherScores():
                    show("asking the teacher", event.done, event.examples)
                case Evaluation() | HeldOut():
                    talk.print(_evaluation_line(event))
                case Finished():
                    return event
    raise AssertionError("a run ends with Finished")


@contextmanager
def told_of_resume(run: Run) -> Iterator[None]:
    """Say at Ctrl-C whether there is something to go on with."""
    try:
        yield
    except KeyboardInterrupt:
        saved = run.file.exists()
        talk.print(f"interrupted; {'the same command with `--resume` goes on' if saved else 'nothing was saved yet'}")
        raise


@contextmanager
def _first_interrupt_waits(run: Run) -> Iterator[Callable[[], None]]:
    """Give what is to be called at each step: from then on the first Ctrl-C lets a step end and be saved.

    Not with several processes, which `torchrun` ends together, nor where Ctrl-C is not to be heard.
    """
    before = signal.getsignal(signal.SIGINT)
    is_heard = run.processes.count == 1 and callable(before)

    def wait(number: int, frame: object) -> None:
        signal.signal(signal.SIGINT, before)
        run.stop.set()
        with suppress(OSError):  # nobody listens; and past rich, which may be at work
            os.write(sys.stderr.fileno(), b"\nending when this step is done and saved; Ctrl-C again ends at once\n")

    def step_began() -> None:
        if is_heard and not run.stop.is_set():
            signal.signal(signal.SIGINT, wait)

    try:
        yield step_began
    finally:
        if is_heard:
            signal.signal(signal.SIGINT, before)


def _show_division(event: Divided) -> None:
    """Say how a text is divided, and what is odd about it."""
    whole = event.learnt + event.held_out
    short = f", {event.too_short:,} in documents too short to learn from" if event.too_short else ""
    talk.print(f"word pieces: {event.learnt:,} to learn from, {event.held_out:,} held out{short}")
    if event.held_out > MOST_HELD_OUT * whole:
        share = f"{event.held_out / whole:.0%} of the text is held out, in few documents"
        show_warning(f"{share}: a blank line ends a document; without any, each line is one")
    odd = []
    if event.passage < SHORT * event.max_length:
        odd.append(f"documents of {event.passage:.0f} word pieces in windows of {event.max_length} tokens")
    if event.pairs < FEW_PAIRS:
        odd.append(f"{1 - event.pairs:.0%} of the windows are a single sentence, and teach no order")
    if odd:
        show_warning(f"{'; '.join(odd)}: is each line a paragraph, with a blank line after each document?")


@contextmanager
def _training_bar() -> Iterator[Callable[[str, int, int], None]]:
    """Give what shows a note and how much of what is done: on a bar, or where there is none now and then on a line."""
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}"), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal) as bar:
        task, last = bar.add_task("", total=None, note=""), time.monotonic()

        def show(note: str, done: int, total: int) -> None:
            nonlocal last
            bar.update(task, total=total, completed=done, note=note)
            if not talk.is_terminal and time.monotonic() - last > LOG_SECONDS:
                last = time.monotonic()
                talk.print(f"{done:,} of {total:,}  {note}")

        yield show


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
    table = plain_table("label", right=("precision", "recall", "F1", "examples"))
    for row in scores.classes:
        numbers = (f"{value * 100:.2f}" for value in (row.precision, row.recall, row.f1))
        table.add_row(Text(printable(row.label)), *numbers, str(row.support))
    return table


def _confusion_table(scores: Scores) -> Table:
    labels = [Text(printable(row.label)) for row in scores.classes]
    table = plain_table("true \\ predicted", right=labels)
    for position, (row, counts) in enumerate(zip(scores.classes, scores.confusion, strict=True)):
        cells = [Text(str(n), "bold" if column == position else "") for column, n in enumerate(counts)]
        table.add_row(Text(printable(row.label)), *cells)
    return table

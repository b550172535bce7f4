"""The terminal: data on stdout, talk on stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from sqbert_cli.errors import SqbertError


class Terminal(Console):
    def on_broken_pipe(self) -> None:
        """Leave a closed pipe to the boundary in `cli.py`, as for every other output."""
        raise


talk = Console(stderr=True, highlight=False, soft_wrap=True)
data = Terminal(highlight=False)


def show_error(error: SqbertError) -> None:
    talk.print(Text.assemble(("error:", "bold red"), " ", error.message))
    if error.hint:
        talk.print(Text.assemble("\n", ("hint:", "bold cyan"), " ", error.hint))


def show_warning(message: str) -> None:
    talk.print(Text.assemble(("warning:", "bold yellow"), " ", message))


@dataclass
class Meter:
    """Counts what is read and done, on a bar where one is seen."""

    progress: Progress | None = None
    done: int = 0

    def read(self, position: int) -> None:
        """`position` in bytes of the file as it lies on disk."""
        if self.progress:
            self.progress.update(self.progress.task_ids[0], completed=position)

    def count(self) -> None:
        self.done += 1
        if self.progress:
            self.progress.update(self.progress.task_ids[0], done=self.done)


class Rate(ProgressColumn):
    """How many records are done, and how many in a second."""

    def render(self, task: Task) -> Text:
        done, seconds = task.fields["done"], task.elapsed or 0
        return Text(f"{done:,} done, {done / seconds if seconds else 0:,.0f}/s")


@contextmanager
def file_meter(path: Path | None) -> Iterator[Meter]:
    """Show a bar over a file's bytes, with rate and time left, where it would not run through results on the screen."""
    if path is None or not path.is_file() or not sys.stderr.isatty() or sys.stdout.isatty():
        yield Meter()
        return
    columns = (BarColumn(), TextColumn("{task.percentage:>3.0f}%"), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=talk, transient=True) as progress:
        progress.add_task("", total=path.stat().st_size, done=0)
        yield Meter(progress)


def is_table(format: str) -> bool:
    """Whether a person looks."""
    return format == "table" or (format == "auto" and sys.stdout.isatty())

"""The terminal: data on stdout, talk on stderr."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from sqbert_cli.errors import SqbertError


class Data(Console):
    def on_broken_pipe(self) -> None:
        """Leave a closed pipe to the boundary in `cli.py`, as for every other output."""
        raise


class Talk(Console):
    """Goes on without a listener, or where its log is full: results are not lost with the talk about them."""

    def on_broken_pipe(self) -> None:
        forget(sys.stderr)

    def print(self, *objects: Any, **how: Any) -> None:
        try:
            super().print(*objects, **how)
        except OSError:
            forget(sys.stderr)


if os.environ.get("COLUMNS") == "0":  # rich would show nothing
    del os.environ["COLUMNS"]
talk = Talk(stderr=True, highlight=False, markup=False, soft_wrap=True)
data = Data(highlight=False, markup=False)


def forget(stream: TextIO) -> None:
    """Lead what is still to be written, by Python at its exit too, to nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def printable(text: str) -> str:
    """Leave out what could steer a terminal; white space of other kinds becomes a space."""
    shown = (" " if character.isspace() and character != "\n" else character for character in text)
    return "".join(character for character in shown if character.isprintable() or character == "\n")


def write_out(text: str) -> None:
    """Write a part of a whole to stdout, in UTF-8 whatever the locale."""
    sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace"))
    sys.stdout.buffer.flush()


def show_error(error: SqbertError) -> None:
    talk.quiet = False
    talk.print(Text.assemble(("error:", "bold red"), " ", printable(error.message)))
    if error.hint:
        talk.print(Text.assemble("\n", ("hint:", "bold cyan"), " ", printable(error.hint)))


def show_warning(message: str) -> None:
    talk.print(Text.assemble(("warning:", "bold yellow"), " ", printable(message)))


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

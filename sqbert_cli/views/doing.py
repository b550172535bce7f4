"""What a benchmark is doing, until it has something to tell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.progress import BarColumn, Progress, TextColumn

from sqbert_cli.bench.cases import Doing
from sqbert_cli.console import printable, talk

Event = TypeVar("Event")


def shown(events: Iterable[Event]) -> Iterator[Event]:
    """Show what is going on, and pass on the rest."""
    with _bar() as bar:
        for event in events:
            if isinstance(event, Doing):
                bar.update(bar.task_ids[0], total=event.total, completed=event.done, note=printable(event.doing))
                bar.refresh()
            else:
                yield event


@contextmanager
def _bar() -> Iterator[Progress]:
    """Drawn anew only between two rounds, so that drawing is not timed."""
    columns = (BarColumn(), TextColumn("{task.fields[note]}", markup=False))
    with Progress(*columns, console=talk, transient=True, disable=not talk.is_terminal, auto_refresh=False) as bar:
        bar.add_task("", total=None, note="")
        yield bar

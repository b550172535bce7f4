"""How far a bulk job is: a bar for a terminal, a line for each shard elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from sqbert_cli.bulk.run import State
from sqbert_cli.console import printable, talk
from sqbert_cli.text.fields import first_of


def show_progress(states: Iterator[State], output: str) -> State:
    """Show each state, and what there is at the end. Returns the last."""
    state = next(states)  # the cluster is there, the shards are planned
    start = time.monotonic()
    if state.left_out:
        talk.print(f"left out for their endings: {printable(first_of(state.left_out, 3))}; --input-format reads them")
    talk.print(f"{state.shards - state.shards_done:,} of {state.shards:,} shards to do")
    with _shown() as show:
        for state in states:
            show(state, time.monotonic() - start)
    talk.print(_summary(state, output, time.monotonic() - start))
    return state


@contextmanager
def _shown() -> Iterator[Callable[[State, float], None]]:
    if not talk.is_terminal:
        yield lambda state, seconds: talk.print(_line(state, seconds))
        return
    columns = (BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=talk, transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda state, seconds: bar.update(
            task, total=state.records, completed=state.done, description=_line(state, seconds)
        )


def _line(state: State, seconds: float) -> str:
    bad = f", {state.bad:,} bad" if state.bad else ""
    return (
        f"{state.shards_done:,} of {state.shards:,} shards, {state.done:,} of {state.records:,} records{bad}"
        f", {(state.done - state.kept) / seconds:,.0f} records/s"
    )


def _summary(state: State, output: str, seconds: float) -> str:
    kept = f" ({state.kept:,} records were done before)" if state.kept else ""
    lines = [f"{state.done - state.bad:,} results in `{output}`{kept}, {seconds:,.0f} s"]
    if state.bad:
        lines.append(f"{state.bad:,} records could not be used: `{output.rstrip('/')}/bad`")
    return "\n".join(lines)

"""What people and programs see of results."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial

from rich.text import Text

from sqbert_cli.commands.options import FormatName
from sqbert_cli.console import data, is_table, printable
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.records import Classification
from sqbert_cli.text.writers import make_writer, result_fields

BAR_WIDTH = 10
NO_LABEL = "-"
"""Of several labels none holds."""


def classification_view(
    format: FormatName, head: HeadConfig, shown: int | None, *, multi_label: bool
) -> Callable[[Classification], None]:
    """Return what shows one result: a line for a person, or a record of JSONL, CSV or TSV for a program."""
    if is_table(format):
        return partial(show_classification, shown=shown, width=max(map(len, head.labels)))
    write = make_writer(format if format in ("csv", "tsv") else "jsonl", sys.stdout.buffer)

    def show(result: Classification) -> None:
        try:
            write(result_fields(result, shown, multi_label=multi_label))
        except SqbertError as error:
            raise SqbertError(f"{result.record.source}: {error.message}", error.hint) from error

    return show


def show_classification(result: Classification, shown: int | None, width: int) -> None:
    """A line for a text with its best label, and one more for each further label that holds or is wanted."""
    record = result.record
    both = record.text if record.pair is None else f"{record.text} | {record.pair}"
    text = printable(" ".join(both.split()))
    is_number = not result.labels and len(result.scores) == 1
    rows = list(result.scores.items())[: shown or len(result.labels) or is_number]
    for label, score in rows or [(NO_LABEL, 0.0)]:
        style = "bold" if is_number or label in result.labels else "dim"
        line = Text.assemble((f"{printable(label):<{width}}", style), f" {score:6.3f}  " if rows else " " * 9)
        line.append("" if is_number else f"{_bar(score)}  ", "cyan")
        line.append(text)
        data.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        text = ""


def _bar(score: float) -> str:
    filled = round(score * BAR_WIDTH)
    return "━" * filled + " " * (BAR_WIDTH - filled)

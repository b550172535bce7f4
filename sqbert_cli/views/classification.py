"""Labels and scores for a person: a line for a text."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from sqbert_cli.console import data, printable
from sqbert_cli.records import Classification

BAR_WIDTH, NARROW = 10, 40
NO_LABEL = "-"
"""Of several labels none holds."""


def width_of(labels: Iterable[str]) -> int:
    """Of the widest, in cells of the terminal."""
    return max(cell_len(printable(label)) for label in labels)


def show_classification(result: Classification, shown: int | None, width: int, *, multi_label: bool) -> None:
    """A line for a text with its best label, and one more for each further label that holds or is wanted.

    `shown` is how many scores are wanted, `width` that of the widest label.
    """
    record = result.record
    both = record.text if record.pair is None else f"{record.text} | {record.pair}"
    text = printable(" ".join(both.split()))
    is_number = not result.labels and not multi_label
    rows = list(result.scores.items())[: shown or len(result.scores if is_number else result.labels)]
    for label, score in rows or [(NO_LABEL, 0.0)]:
        style = "bold" if is_number or label in result.labels else "dim"
        line = Text.assemble((set_cell_size(printable(label), width), style), f" {score:6.3f}  " if rows else " " * 9)
        line.append("" if is_number else bar(score), "cyan")
        line.append(text)
        line.rstrip()
        data.print(line, no_wrap=True, overflow="ellipsis", crop=True)
        text = ""


def bar(score: float) -> str:
    """Nothing on a narrow terminal: the room is the text's."""
    if data.width < NARROW:
        return ""
    filled = round(score * BAR_WIDTH)
    return "━" * filled + " " * (BAR_WIDTH - filled + 2)

"""Words for masks, for a person: a line for each word."""

from __future__ import annotations

from rich.cells import set_cell_size
from rich.text import Text

from sqbert_cli.console import data, printable
from sqbert_cli.records import Filled, Found
from sqbert_cli.views.classification import bar, width_of


def show_filled(result: Filled) -> None:
    """Of each mask its words with their scores, and the text with the word in its place."""
    width = width_of(word.text for words in result.masks for word in words)
    for number, words in enumerate(result.masks, 1):
        if len(result.masks) > 1:
            data.print(Text(f"mask {number}", "dim"))
        for word in words:
            line = Text.assemble((set_cell_size(printable(word.text), width), "bold"), f" {word.score:6.3f}  ")
            line.append(bar(word.score), "cyan")
            line.append(_filled_in(result.record.text, word))
            data.print(line, no_wrap=True, overflow="ellipsis", crop=True)


def _filled_in(text: str, word: Found) -> str:
    """A word piece that goes on a word (`##s`) is joined to it."""
    before, after = text[: word.start], text[word.end :]
    if word.text.startswith("##"):
        return printable(" ".join((before.rstrip() + word.text[2:] + after).split()))
    return printable(" ".join((before + word.text + after).split()))

"""Entities for a person: the text with them highlighted, and a legend."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from rich.text import Text

from sqbert_cli.console import data, printable
from sqbert_cli.records import Entities

COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red", "bright_cyan", "bright_magenta")


@dataclass
class Highlighter:
    """Shows texts, and remembers what it has marked."""

    counts: Counter[str] = field(default_factory=Counter)

    def show(self, result: Entities) -> None:
        line, at, text = Text(), 0, result.record.text
        for entity in result.entities:
            line.append(printable(text[at : entity.start]))
            self.counts[entity.label] += 1
            line.append_text(self._marked(entity.text, entity.label))
            at = entity.end
        line.append(printable(text[at:]))
        data.print(line, soft_wrap=False)

    def legend(self) -> None:
        """How many of each label there were; nothing of none."""
        if self.counts:
            parts = [(f"  {printable(label)} {count:,}", self._style(label)) for label, count in self.counts.items()]
            data.print(Text.assemble("\n", *parts))

    def _marked(self, text: str, label: str) -> Text:
        """In brackets where there are no colours to tell it by."""
        style, text, label = self._style(label), printable(text), printable(label)
        if data.color_system is None:
            return Text(f"[{text} {label}]")
        return Text.assemble((text, f"bold {style} underline"), (f" {label}", f"dim {style}"))

    def _style(self, label: str) -> str:
        known = list(self.counts)
        return COLOURS[known.index(label) % len(COLOURS)]

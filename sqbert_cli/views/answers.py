"""Answers for a person: each in its sentence, highlighted."""

from __future__ import annotations

import re

from rich.text import Text

from sqbert_cli.console import data, printable
from sqbert_cli.records import Answers, Found

SENTENCE_END = re.compile(r"[.!?…][^\w\s]*\s|\n\s*\n")
AROUND = 240
"""Characters of a sentence that are shown before and after an answer, at most."""


def show_answers(result: Answers) -> None:
    """The question, then a line for each answer; or that there is none."""
    data.print(Text(printable(result.record.pair or ""), "bold"))
    if not result.answers:
        data.print(Text.assemble(("no answer", "yellow"), f"  {result.no_answer:.3f}"))
    for answer in result.answers:
        before, after = around(result.record.text, answer)
        found = _flat(answer.text)
        shown = f"[{found}]" if data.color_system is None else (found, "bold green underline")
        data.print(Text.assemble((f"{answer.score:6.3f}  ", "cyan"), _flat(before), shown, _flat(after)))


def around(context: str, answer: Found) -> tuple[str, str]:
    """Return what stands in the answer's sentence before and after it."""
    before = context[max(0, answer.start - AROUND) : answer.start]
    after = context[answer.end : answer.end + AROUND]
    starts = [match.end() for match in SENTENCE_END.finditer(before)]
    end = SENTENCE_END.search(after)
    return before[starts[-1] if starts else 0 :].lstrip(), after[: end.end() if end else len(after)].rstrip()


def _flat(text: str) -> str:
    """On one line, a space at either end kept."""
    return printable(re.sub(r"\s+", " ", text))

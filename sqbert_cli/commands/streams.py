"""From what was typed to records, and from results to the screen or a pipe."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import typer

from sqbert_cli.commands.options import OnErrorName, typed
from sqbert_cli.console import Meter, show_error, show_warning
from sqbert_cli.errors import SqbertError
from sqbert_cli.records import BadRecord, Record
from sqbert_cli.text.fields import DEFAULT_FIELDS, Fields, QuestionFields, has_text
from sqbert_cli.text.files import STDIN, name_of, read_text
from sqbert_cli.text.readers import Format, is_stream, read_records

Result = TypeVar("Result")
HOPELESS = 100
"""So many first lines with the same fault: the others have it too, and nobody reads a million messages."""


@dataclass(frozen=True)
class Source:
    """Where the records come from."""

    typed: tuple[Record, ...] = ()
    path: Path | None = None
    format: Format = "auto"
    fields: Fields = DEFAULT_FIELDS

    @property
    def name(self) -> str:
        return "sqbert" if self.path is None else name_of(self.path)

    @property
    def is_live(self) -> bool:
        """Whether lines may come slowly."""
        return self.path is not None and is_stream(self.path)

    def records(self, meter: Meter) -> Iterable[Record | BadRecord]:
        return self.typed if self.path is None else read_records(self.path, self.format, self.fields, meter.read)


def choose_source(texts: list[str], pair: str | None, path: Path | None, format: Format, fields: Fields) -> Source:
    """Take the texts that were typed, else the file, else standard input."""
    if texts and path is not None:
        raise typer.BadParameter("give texts or --input, not both")
    if texts and texts != ["-"]:
        if pair is not None and len(texts) > 1:
            raise typer.BadParameter("--pair goes with a single text")
        if format != "auto" or fields != DEFAULT_FIELDS:
            raise typer.BadParameter("--input-format, --text-field and --pair-field go with files and standard input")
        return Source(typed=tuple(_typed(text, pair) for text in texts))
    if pair is not None:
        raise typer.BadParameter("--pair goes with a text; in files name the field with --pair-field")
    if path is None and not texts:
        _expect_pipe("no text: type one, name a file with --input, or pipe text in")
    return Source(path=_not_output(path or STDIN), format=format, fields=fields)


def choose_questions(
    questions: list[str], context: Path | None, path: Path | None, format: Format, fields: QuestionFields
) -> Source:
    """Take the questions that were typed, about a context in a file or on standard input; else records of both."""
    if questions and path is not None:
        raise typer.BadParameter("give questions or --input, not both")
    if not questions or questions == ["-"]:
        if context is not None:
            raise typer.BadParameter("--context goes with a question")
        if path is None and not questions:
            _expect_pipe("no question: type one and name a --context, name a file with --input, or pipe JSONL in")
        return Source(path=_not_output(path or STDIN), format=format, fields=fields)
    if format != "auto" or fields != QuestionFields():
        raise typer.BadParameter("--input-format, --question-field and --context-field go without typed questions")
    if context is None:
        _expect_pipe("no context: name a file with --context, or pipe text in")
    text, asked = read_text(context or STDIN), [_decoded(question, "question") for question in questions]
    return Source(typed=tuple(Record(text, question, fields={"question": question}) for question in asked))


def _expect_pipe(otherwise: str) -> None:
    if sys.stdin is None or sys.stdin.isatty():
        raise typer.BadParameter(otherwise)


def _not_output(path: Path) -> Path:
    """Raise `SqbertError` for a file that results go to: they would be read, without an end."""
    with suppress(OSError):
        read, written = os.fstat(0) if path == STDIN else path.stat(), os.fstat(1)
        if stat.S_ISREG(read.st_mode) and os.path.samestat(read, written):
            raise SqbertError(f"`{name_of(path)}` is also where the results go", hint="write them to another file")
    return path


def show_results(
    results: Iterable[Result | BadRecord], show: Callable[[Result], None], on_error: OnErrorName, meter: Meter
) -> None:
    """Show every result; report every bad line, and end with status 1 if there was one."""
    with watched(on_error) as mishaps:
        for result in mishaps.sort_out(results, meter):
            try:
                show(result)
            except SqbertError as error:
                mishaps.report(error)


@contextmanager
def watched(on_error: OnErrorName) -> Iterator[Mishaps]:
    """Give what each line that cannot be used is told to; at the end it says how many there were, with status 1."""
    mishaps = Mishaps(on_error)
    yield mishaps
    if mishaps.count:
        lines = "line was" if mishaps.count == 1 else "lines were"
        show_error(SqbertError(f"{mishaps.count:,} {lines} skipped"))
        raise typer.Exit(1)


@dataclass
class Mishaps:
    """Lines that could not be used, each of which is told at once."""

    on_error: OnErrorName
    count: int = 0

    def sort_out(self, results: Iterable[Result | BadRecord], meter: Meter) -> Iterator[Result]:
        """Yield every result, for what makes one whole of them."""
        reasons = set[str]()
        for number, result in enumerate(results, 1):
            if isinstance(result, BadRecord):
                self.report(SqbertError(f"{result.source}: {result.reason}"))
                if number <= HOPELESS:
                    reasons.add(result.reason)
                if number == self.count == HOPELESS and len(reasons) == 1:
                    raise SqbertError(f"the first {HOPELESS} lines are all like this: not read on")
            else:
                meter.count()
                yield result

    def report(self, error: SqbertError) -> None:
        if self.on_error == "fail":
            raise error
        show_error(error)
        self.count += 1


def _typed(text: str, pair: str | None) -> Record:
    text, pair = _decoded(text), None if pair is None else _decoded(pair)
    if os.path.isfile(text):
        show_warning(f"`{text}` is a file, but is taken as a text; to read it: `--input {text}`")
    return Record(text, pair, fields={"text": text} if pair is None else {"text": text, "pair": pair})


def _decoded(argument: str, what: str = "text") -> str:
    text = typed(argument, f"the {what}")
    if not has_text(text):
        raise SqbertError(f"the {what} is empty", hint="type some words")
    return text

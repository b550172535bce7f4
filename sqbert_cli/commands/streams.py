"""From what was typed to records, and from results to the screen or a pipe."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import typer

from sqbert_cli.commands.options import OnErrorName
from sqbert_cli.console import Meter, show_error, show_warning
from sqbert_cli.errors import SqbertError
from sqbert_cli.records import BadRecord, Record
from sqbert_cli.text.fields import DEFAULT_FIELDS, Fields
from sqbert_cli.text.files import STDIN
from sqbert_cli.text.readers import Format, read_records

Result = TypeVar("Result")


@dataclass(frozen=True)
class Source:
    """Where the records come from."""

    texts: tuple[Record, ...] = ()
    path: Path | None = None
    format: Format = "auto"
    fields: Fields = DEFAULT_FIELDS

    @property
    def is_live(self) -> bool:
        """Whether lines may come slowly: on standard input, or from a named pipe."""
        return self.path is not None and not self.path.is_file()

    def records(self, meter: Meter) -> Iterable[Record | BadRecord]:
        return self.texts if self.path is None else read_records(self.path, self.format, self.fields, meter.read)


def choose_source(texts: list[str], pair: str | None, path: Path | None, format: Format, fields: Fields) -> Source:
    """Take the texts that were typed, else the file, else standard input."""
    if texts and texts != ["-"]:
        if path is not None:
            raise typer.BadParameter("give texts or --input, not both")
        if pair is not None and len(texts) > 1:
            raise typer.BadParameter("--pair goes with a single text")
        if format != "auto" or fields != DEFAULT_FIELDS:
            raise typer.BadParameter("--input-format, --text-field and --pair-field go with files and standard input")
        return Source(tuple(_typed(text, pair) for text in texts))
    if pair is not None:
        raise typer.BadParameter("--pair goes with a text; in files name the field with --pair-field")
    if path is None and not texts and (sys.stdin is None or sys.stdin.isatty()):
        raise typer.BadParameter("no text: type one, name a file with --input, or pipe text in")
    return Source(path=path or STDIN, format=format, fields=fields)


def show_results(
    results: Iterator[Result | BadRecord], show: Callable[[Result], None], on_error: OnErrorName, meter: Meter
) -> None:
    """Show every result; report every bad line, and end with status 1 if there was one."""
    bad = 0
    for result in results:
        try:
            if isinstance(result, BadRecord):
                raise SqbertError(f"{result.source}: {result.reason}")
            show(result)
            meter.count()
        except SqbertError as error:
            if on_error == "fail":
                raise
            show_error(error)
            bad += 1
    if bad:
        show_error(SqbertError(f"{bad:,} {'line was' if bad == 1 else 'lines were'} skipped"))
        raise typer.Exit(1)


def _typed(text: str, pair: str | None) -> Record:
    text, pair = _decoded(text), None if pair is None else _decoded(pair)
    if os.path.isfile(text):
        show_warning(f"`{text}` is a file, but is taken as a text; to read it: `--input {text}`")
    return Record(text, pair, fields={"text": text} if pair is None else {"text": text, "pair": pair})


def _decoded(argument: str) -> str:
    """What was typed is UTF-8, whatever the locale made of it."""
    try:
        text = os.fsencode(argument).decode()
    except UnicodeDecodeError as error:
        raise SqbertError(f"the text is not UTF-8: {error.reason}") from error
    if not text.strip():
        raise SqbertError("the text is empty", hint='try `sqbert classify "I loved every minute of it"`')
    return text

"""Results for a program: a record of JSONL, CSV or TSV each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from sqbert_cli.errors import SqbertError
from sqbert_cli.records import Record
from sqbert_cli.text.writers import OutputFormat, make_writer


class Result(Protocol):
    """Anything that was found out of a record."""

    @property
    def record(self) -> Record: ...


AnyResult = TypeVar("AnyResult", bound=Result)


def line_view(format: str, to_fields: Callable[[AnyResult], Mapping[str, Any]]) -> Callable[[AnyResult], None]:
    """Return what writes one result to stdout, as JSONL unless `format` is `csv` or `tsv`."""
    chosen: OutputFormat = "csv" if format == "csv" else "tsv" if format == "tsv" else "jsonl"
    write = make_writer(chosen, sys.stdout.buffer)

    def show(result: AnyResult) -> None:
        try:
            write(to_fields(result))
        except SqbertError as error:
            raise SqbertError(f"{result.record.source}: {error.message}", error.hint) from error

    return show

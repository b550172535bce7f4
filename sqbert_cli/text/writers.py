"""Fields to JSONL, CSV and TSV: UTF-8 whatever the locale, each result written out at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any, Literal, Protocol, TypeAlias, TypeVar

from sqbert_cli.errors import SqbertError
from sqbert_cli.records import Record

OutputFormat: TypeAlias = Literal["jsonl", "csv", "tsv"]
FORMATS: dict[str, OutputFormat] = {"auto": "jsonl", "jsonl": "jsonl", "csv": "csv", "tsv": "tsv"}
ToLines: TypeAlias = Callable[[Mapping[str, Any]], str]

CSV_SPECIAL = re.compile(r'[",\r\n]')
CONTROLS = re.compile("[\x7f-\x9f]")
"""Which could steer a terminal; those below the space JSON writes as `\\u001b` itself."""
TSV_ESCAPES = str.maketrans({"\t": r"\t", "\n": r"\n", "\r": r"\r"})


def make_writer(
    format: OutputFormat, stream: IO[bytes], columns: Sequence[str] = ()
) -> Callable[[Mapping[str, Any]], None]:
    """Make the function that writes one result, and flushes it.

    CSV and TSV begin with a header, `columns` or the names of the first result; another name is an error. Values
    that are not strings are written as JSON, null as nothing. TSV has no quotes: a tab or line end becomes
    `\\t`, `\\n` or `\\r`, so that a result is always one line, and what was read from TSV is written as it was.
    """
    to_lines = _json_line if format == "jsonl" else _table_lines(_csv_line if format == "csv" else _tsv_line, columns)

    def write(fields: Mapping[str, Any]) -> None:
        # A lone surrogate becomes `\ud800`, which in JSON is the same string again.
        stream.write(to_lines(fields).encode("utf-8", "backslashreplace"))
        stream.flush()

    return write


class Result(Protocol):
    """Anything that was found out of a record."""

    @property
    def record(self) -> Record: ...


AnyResult = TypeVar("AnyResult", bound=Result)


def result_writer(
    format: OutputFormat,
    stream: IO[bytes],
    to_fields: Callable[[AnyResult], Mapping[str, Any]],
    columns: Sequence[str] = (),
) -> Callable[[AnyResult], None]:
    """Make the function that writes one result; what cannot be written is told with its record's source."""
    write = make_writer(format, stream, columns)

    def write_result(result: AnyResult) -> None:
        try:
            write(to_fields(result))
        except SqbertError as error:
            raise SqbertError(f"{result.record.source}: {error.message}", error.hint) from error

    return write_result


def _json_line(fields: Mapping[str, Any]) -> str:
    return _json(dict(fields)) + "\n"


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise SqbertError("a number that JSON cannot hold") from error
    except RecursionError as error:
        raise SqbertError("fields that lie too deep in one another for JSON") from error
    return CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _table_lines(to_line: Callable[[Iterable[str]], str], columns: Sequence[str]) -> ToLines:
    written: list[str] = []

    def to_lines(fields: Mapping[str, Any]) -> str:
        wanted = written or list(columns or fields)
        if extra := [f"`{name}`" for name in fields if name not in wanted]:
            raise SqbertError(f"no column for {', '.join(extra)}, which the first result has not",
                              hint="use `--format jsonl`")  # fmt: skip
        row = to_line([_cell(fields.get(column)) for column in wanted])
        header = "" if written else to_line(wanted)
        written[:] = wanted  # only now: the first result may be one that cannot be written
        return header + row

    return to_lines


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else _json(value)


def _csv_line(cells: Iterable[str]) -> str:
    # By hand: the csv module of Python 3.10 leaves `\r` without quotes and refuses NUL.
    return ",".join(_quoted(cell) if CSV_SPECIAL.search(cell) else cell for cell in cells) + "\n"


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'


def _tsv_line(cells: Iterable[str]) -> str:
    return "\t".join(cell.translate(TSV_ESCAPES) for cell in cells) + "\n"

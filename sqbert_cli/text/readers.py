"""Files to records: plain lines, JSONL, CSV and TSV, one record at a time."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal, TypeAlias

from sqbert_cli.errors import SqbertError
from sqbert_cli.records import BadRecord, Gold, Record
from sqbert_cli.text.files import COMPRESSED, STDIN, read_lines

Format: TypeAlias = Literal["auto", "text", "jsonl", "csv", "tsv"]
Lines: TypeAlias = Iterator[tuple[int, str]]
"""Lines with their numbers; bytes that are not UTF-8 have become lone surrogates."""
Rows: TypeAlias = Iterator[tuple[int, dict[str, Any] | str]]
"""Line numbers, each with the fields of a record or the reason why there are none."""
Table: TypeAlias = Iterator[tuple[int, list[str] | str]]
"""Line numbers, each with the cells of a row or the reason why there are none."""

ENDINGS: dict[str, Format] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv"}
MAX_CELL_CHARACTERS = 100_000_000  # bounds what a quote that is never closed can swallow


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Names of the fields, or columns, that are wanted."""

    text: str = "text"
    pair: str | None = None
    label: str | None = None


DEFAULT_FIELDS = Fields()


def read_records(
    path: Path,
    format: Format = "auto",
    fields: Fields = DEFAULT_FIELDS,
    on_bytes: Callable[[int], None] | None = None,
) -> Iterator[Record | BadRecord]:
    """Yield, for each line that is not blank, its record or what is wrong with it, as soon as it has come.

    A line ends with `\\n` or `\\r\\n`, and with nothing else. `on_bytes` is that of `read_lines`.
    """
    name = "stdin" if path == STDIN else str(path)
    lines: Lines = enumerate((line.decode("utf-8", "surrogateescape") for line in read_lines(path, on_bytes)), 1)
    if format == "auto":
        format, lines = _guess_format(path, lines)
    if format == "text":
        rows, fields = _line_rows(lines, _plain_text), _plain_fields(fields, name)
    elif format == "jsonl":
        rows = _line_rows(lines, _json_object)
    else:
        rows = _table_rows(_csv_cells(lines) if format == "csv" else _tsv_cells(lines), fields, name)
    for number, row in rows:
        source = f"{name}:{number}"
        yield BadRecord(source, row) if isinstance(row, str) else _record(row, fields, source)


def _guess_format(path: Path, lines: Lines) -> tuple[Format, Lines]:
    """Go by the file's name; on standard input, and for `.json`, by the first line, which is put back."""
    name = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    if path != STDIN and name.suffix.lower() != ".json":
        return ENDINGS.get(name.suffix.lower(), "text"), lines
    first = list(islice(_filled(lines), 1))
    is_json = any(isinstance(_json_object(line), dict) for _, line in first)
    return "jsonl" if is_json else "text", chain(first, lines)


def _filled(lines: Lines) -> Lines:
    return ((number, line) for number, line in lines if line.strip())


def _without_end(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def _is_unicode(text: str) -> bool:
    """Tell whether it is free of lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _line_rows(lines: Lines, parse: Callable[[str], dict[str, Any] | str]) -> Rows:
    return ((number, parse(line) if _is_unicode(line) else "not UTF-8") for number, line in _filled(lines))


def _plain_text(line: str) -> dict[str, Any]:
    return {"text": _without_end(line)}


def _plain_fields(fields: Fields, name: str) -> Fields:
    if unmet := fields.pair or fields.label:
        raise SqbertError(f"`{name}` is plain text, without a field `{unmet}`", hint="use JSONL, CSV or TSV")
    return DEFAULT_FIELDS


def _json_object(line: str) -> dict[str, Any] | str:
    try:
        value = json.loads(line, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:  # a number of too many digits, lists too deep
        return f"JSON that cannot be read: {error}"
    return value if isinstance(value, dict) else "not a JSON object"


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _csv_cells(lines: Lines) -> Table:
    """Number each row by the line on which it starts."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    reader = csv.reader((line for _, line in lines), strict=True)
    while True:
        number = reader.line_num + 1
        try:
            yield number, next(reader)
        except csv.Error as error:
            fault, *_ = str(error).split(" - ")  # what follows is advice to programmers
            yield number, f"not CSV: {fault}"
        except StopIteration:
            return


def _tsv_cells(lines: Lines) -> Table:
    """Split at every tab: there are no quotes, as in the files of GLUE."""
    return ((number, _without_end(line).split("\t")) for number, line in lines)


def _table_rows(table: Table, fields: Fields, name: str) -> Rows:
    filled = ((number, cells) for number, cells in table if "".join(cells).strip() or len(cells) > 1)
    _, header = next(filled, (0, None))
    if header is None:
        return
    columns = _columns(header, fields, name)
    for number, cells in filled:
        yield number, _table_row(cells, columns)


def _columns(header: list[str] | str, fields: Fields, name: str) -> list[str]:
    if isinstance(header, str) or not _is_unicode("".join(header)):
        raise SqbertError(f"header of `{name}`: {header if isinstance(header, str) else 'not UTF-8'}")
    if len(set(header)) < len(header):
        raise SqbertError(f"`{name}` has two columns of the same name: {_listed(header)}", hint="rename one")
    if lack := _lack(fields, header):
        raise SqbertError(f"`{name}` has {lack[0]}", hint=lack[1])
    return header


def _table_row(cells: list[str] | str, columns: list[str]) -> dict[str, Any] | str:
    if isinstance(cells, str):
        return cells
    if not _is_unicode("".join(cells)):
        return "not UTF-8"
    if len(cells) != len(columns):
        return f"{len(cells)} columns, but the header has {len(columns)}"
    return dict(zip(columns, cells, strict=True))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _lack(fields: Fields, found: Collection[str]) -> tuple[str, str] | None:
    """Say which field is not there, and what to do about it."""
    for role, name in vars(fields).items():
        if name is not None and name not in found:
            return f"no field `{name}`; found: {_listed(found)}", f"name the right one with `--{role}-field`"
    return None


def _record(row: dict[str, Any], fields: Fields, source: str) -> Record | BadRecord:
    if lack := _lack(fields, row):
        return BadRecord(source, "; ".join(lack))
    try:
        text = _string(fields.text, row[fields.text])
        pair = None if fields.pair is None else _string(fields.pair, row[fields.pair])
        gold = None if fields.label is None else _gold(fields.label, row[fields.label])
    except (ValueError, OverflowError) as error:
        return BadRecord(source, str(error))
    return Record(text, pair, gold, row, source)


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"field `{name}` is not a string")
    if not value.strip():
        raise ValueError(f"field `{name}` is empty")
    if not _is_unicode(value):
        raise ValueError(f"field `{name}` has half of a surrogate pair, which is no character")
    return value


def _gold(name: str, value: Any) -> Gold:
    """Numbers are kept as they are written; what an empty label means is for the task to say."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case int() | float() if math.isfinite(value):
            return str(value)
        case list():
            return tuple(_string(name, str(label)) for label in value)
        case str() if _is_unicode(value):
            return value
    raise ValueError(f"field `{name}` is not a string, a number or a list of them")

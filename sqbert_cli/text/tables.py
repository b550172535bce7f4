"""CSV and TSV to rows: the fields of each line by the names in the header."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from functools import partial
from itertools import chain
from typing import Any, TypeAlias

from sqbert_cli.errors import SqbertError
from sqbert_cli.text.fields import Fields, is_unicode, lack, listed
from sqbert_cli.text.files import NOT_UNICODE

Lines: TypeAlias = Iterator[tuple[int, str]]
"""Lines with their numbers; bytes that are not UTF-8 have become lone surrogates."""
Rows: TypeAlias = Iterator[tuple[int, dict[str, Any] | str]]
"""Line numbers, each with the fields of a record or the reason why there are none."""
Table: TypeAlias = Iterator[tuple[int, list[str] | str]]
"""Line numbers, each with the cells of a row or the reason why there are none."""

SEPARATOR = re.compile(r"sep=([,;|\t])\s*$")
"""Excel's own first line."""
DIVIDERS = {"\t": "tabs", "|": "`|`"}
MAX_ROW_CHARACTERS = 100_000_000  # bounds what quotes that are never closed can swallow


def table_rows(format: str, lines: Lines, top: Lines | None, fields: Fields, name: str) -> Rows:
    """Name the cells by the header: the first of the `lines`, or of the `top` where they begin further down."""
    before = lines if top is None else top
    filled = (line for line in before if line[1].strip())
    first = next(filled, None)
    told = SEPARATOR.match(first[1]) if first and format == "csv" else None
    first = next(filled, None) if told else first
    if first is None:
        return
    between = told[1] if told else delimiter(first[1])
    cells = partial(csv_cells, delimiter=between) if format == "csv" else tsv_cells
    table = cells(chain([first], before))
    _, header = next(_filled(table), (0, None))
    if header is None:
        return
    columns = _columns(header, fields, name)
    for number, row in _filled(table if top is None else cells(lines)):
        yield number, _table_row(row, columns)


def delimiter(header: str) -> str:
    """Spreadsheets write semicolons where numbers have commas. What is in quotes divides nothing."""
    bare = re.sub(r'"[^"]*("|$)', "", header)
    return ";" if ";" in bare and "," not in bare else ","


def without_end(line: str) -> str:
    return line.removesuffix("\n").removesuffix("\r")


def csv_cells(lines: Lines, delimiter: str = ",") -> Table:
    """Number each row by the line on which it starts."""
    csv.field_size_limit(MAX_ROW_CHARACTERS)
    row = _Row(lines)
    reader = csv.reader(row, delimiter=delimiter, strict=True)
    while True:
        row.number = row.last = row.characters = 0
        try:
            cells: list[str] | str = next(reader)
        except csv.Error as error:
            fault, *_ = str(error).split(" - ")  # what follows is advice to programmers
            lost = f"; lines {row.number} to {row.last} are lost" if row.last > row.number else ""
            cells = f"not CSV: {fault}{lost}"
        except StopIteration:
            return
        yield row.number, cells


class _Row(Iterator[str]):
    """The lines of a row, as `csv` asks for them. No generator: the lines after a row that is too long are to come."""

    def __init__(self, lines: Lines) -> None:
        self._lines, self.number, self.last, self.characters = lines, 0, 0, 0

    def __next__(self) -> str:
        number, line = next(self._lines)
        self.number, self.last, self.characters = self.number or number, number, self.characters + len(line)
        if self.characters > MAX_ROW_CHARACTERS:
            raise csv.Error(f"a row of more than {MAX_ROW_CHARACTERS:,} characters")
        return line


def tsv_cells(lines: Lines) -> Table:
    """Split at every tab: there are no quotes, as in the files of GLUE."""
    return ((number, without_end(line).split("\t")) for number, line in lines)


def _filled(table: Table) -> Table:
    """Without rows of empty cells, with which spreadsheets end."""
    return ((number, cells) for number, cells in table if "".join(cells).strip())


def _columns(header: list[str] | str, fields: Fields, name: str) -> list[str]:
    if isinstance(header, str) or not is_unicode("".join(header)):
        raise SqbertError(f"header of `{name}`: {header if isinstance(header, str) else NOT_UNICODE}")
    while header and not header[-1].strip():  # columns of a spreadsheet that nobody has filled
        header = header[:-1]
    if len(set(header)) < len(header):
        raise SqbertError(f"`{name}` has two columns of the same name: {listed(header)}", hint="rename one")
    if unmet := lack(fields, header):
        if divided := [word for divider, word in DIVIDERS.items() if len(header) == 1 and divider in header[0]]:
            hint = "say `--input-format tsv`" if divided == ["tabs"] else "write it with commas"
            raise SqbertError(f"the columns of `{name}` seem to be divided by {divided[0]}", hint=hint)
        raise SqbertError(f"`{name}` has {unmet[0]}", hint=unmet[1])
    return header


def _table_row(cells: list[str] | str, columns: list[str]) -> dict[str, Any] | str:
    if isinstance(cells, str):
        return cells
    if not is_unicode("".join(cells)):
        return NOT_UNICODE
    if not any(cells[len(columns) :]):
        cells = cells[: len(columns)]
    if len(cells) != len(columns):
        return f"{len(cells)} columns, but the header has {len(columns)}"
    return dict(zip(columns, cells, strict=True))

"""Results to JSONL, CSV and TSV: UTF-8 whatever the locale, each result written out at once."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any, Literal, TypeAlias

from sqbert_cli.errors import SqbertError
from sqbert_cli.records import Classification

OutputFormat: TypeAlias = Literal["jsonl", "csv", "tsv"]
ToLines: TypeAlias = Callable[[Mapping[str, Any]], str]

SCORE_DIGITS = 6
CSV_SPECIAL = re.compile(r'[",\r\n]')
TSV_ESCAPES = str.maketrans({"\t": r"\t", "\n": r"\n", "\r": r"\r"})


def result_fields(result: Classification, top_k: int | None = None, *, multi_label: bool = False) -> dict[str, Any]:
    """Give the record's own fields and, after them, what the model says.

    That is `label` and `score`; of a multi-label model `labels` and their `scores`; of a regression `score`.
    With `top_k`, `scores` are those of so many labels, the best ones. What a field held that had one of these
    names before goes on as `input_<name>`.
    """
    scores = {label: round(score, SCORE_DIGITS) for label, score in result.scores.items()}
    added: dict[str, Any]
    if multi_label:
        added = {"labels": list(result.labels), "scores": {label: scores[label] for label in result.labels}}
    elif result.labels:
        added = {"label": result.label, "score": scores[result.label]}
    else:
        added, top_k = {"score": scores[result.label]}, None
    if top_k is not None:
        added["scores"] = dict(list(scores.items())[:top_k])
    fields = result.record.fields
    kept = {_free_name(name, fields) if name in added else name: value for name, value in fields.items()}
    return kept | added


def _free_name(name: str, taken: Mapping[str, Any]) -> str:
    while name in taken:
        name = f"input_{name}"
    return name


def make_writer(format: OutputFormat, stream: IO[bytes]) -> Callable[[Mapping[str, Any]], None]:
    """Make the function that writes one result, and flushes it.

    CSV and TSV begin with a header, the names of the first result; a name that comes later is an error. Values
    that are not strings are written as JSON, null as nothing. TSV has no quotes: a tab or line end becomes
    `\\t`, `\\n` or `\\r`, so that a result is always one line, and what was read from TSV is written as it was.
    """
    to_lines = _json_line if format == "jsonl" else _table_lines(_csv_line if format == "csv" else _tsv_line)

    def write(fields: Mapping[str, Any]) -> None:
        # A lone surrogate becomes `\ud800`, which in JSON is the same string again.
        stream.write(to_lines(fields).encode("utf-8", "backslashreplace"))
        stream.flush()

    return write


def _json_line(fields: Mapping[str, Any]) -> str:
    return _json(dict(fields)) + "\n"


def _json(value: Any) -> str:
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise SqbertError("a number that JSON cannot hold") from error


def _table_lines(to_line: Callable[[Iterable[str]], str]) -> ToLines:
    columns: list[str] = []

    def to_lines(fields: Mapping[str, Any]) -> str:
        header = "" if columns else to_line(fields)
        if not columns:
            columns.extend(fields)
        if extra := [f"`{name}`" for name in fields if name not in columns]:
            raise SqbertError(f"no column for {', '.join(extra)}, which the first result has not",
                              hint="use `--format jsonl`")  # fmt: skip
        return header + to_line(_cell(fields.get(column)) for column in columns)

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

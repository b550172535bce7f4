"""Files to records, one at a time: plain lines, JSONL, CSV, TSV, CoNLL's columns; SQuAD's JSON as a whole."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, islice
from pathlib import Path, PurePath
from typing import Any, Literal, TypeAlias

from sqbert_cli.errors import SqbertError
from sqbert_cli.records import BadRecord, Record
from sqbert_cli.text.conll import conll_records
from sqbert_cli.text.fields import DEFAULT_FIELDS, Fields, QuestionFields, is_unicode, listed, make_record
from sqbert_cli.text.files import COMPRESSED, NOT_UNICODE, START, STDIN, Location, Mark, NoText, name_of, read_lines
from sqbert_cli.text.squad import squad_records
from sqbert_cli.text.tables import Lines, Rows, table_rows, without_end

Format: TypeAlias = Literal["auto", "text", "jsonl", "csv", "tsv", "conll", "squad"]

ENDINGS: dict[str, Format] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "jsonl", ".csv": "csv", ".tsv": "tsv", ".conll": "conll",
}  # fmt: skip
FIXED = {"conll": "CoNLL's columns", "squad": "SQuAD's form"}
"""What names no fields."""
OBJECT_START = re.compile(r'\s*\{\s*["}]')
"""A damaged line is one of JSONL too: better told than taken for a text."""
JSON_START = re.compile(r"""\s*(\{\s*(['"}]|$)|\[\s*(\{|$))""")
"""What is JSON, or was meant to be, if perhaps not an object a line."""
PLAIN = (".txt", *(f".txt{ending}" for ending in COMPRESSED))
"""Whose lines are texts, whatever the first looks like."""
ARCHIVES = (".tar", ".tgz", ".zip")
SQUAD_START = re.compile(r'\s*\{\s*("version"\s*:[^{}]*("data"\s*:\s*\[.*)?|"data"\s*:\s*(\[.*)?)?$', re.DOTALL)
"""No object that ends in the line that it begins in, if it has other keys: that is JSONL."""


def read_records(
    path: Location,
    format: Format = "auto",
    fields: Fields = DEFAULT_FIELDS,
    on_bytes: Callable[[int], None] | None = None,
    start: Mark = START,
    plain: Format = "text",
) -> Iterator[Record | BadRecord]:
    """Yield, for each line that is not blank, its record or what is wrong with it, as soon as it has come.

    A line ends with `\\n` or `\\r\\n`, and with nothing else. `on_bytes` is that of `read_lines`; `start` a place
    between two records, before which only a table's header is read; `plain` what lines are that tell no form.
    """
    name, lines = name_of(path), numbered_lines(path, on_bytes, start)
    if format == "auto":
        if (settled := _settled(path, lines, fields, plain)) is None:
            return
        format, lines = settled
    _check_form(format, fields, name)
    if format == "squad":
        yield from squad_records(path)
    elif format == "conll":
        yield from conll_records(lines, name)
    else:
        yield from _made(format, lines, numbered_lines(path) if start.lines else None, fields, name)


def _settled(path: Location, lines: Lines, fields: Fields, plain: Format) -> tuple[Format, Lines] | None:
    """What the lines are, and all of them; None where there are none."""
    format = guess_format(path)
    if format == "text" and (is_stream(path) or not str(path).lower().endswith(PLAIN)):
        first = list(islice(_filled(lines), 1))  # which is put back
        if not first:
            return None
        lines = chain(first, lines)
        if is_stream(path):
            guess = _guess_of_question if isinstance(fields, QuestionFields) else _guess_of_line
            format = guess(first[0][1], name_of(path))
        if format == plain == "text" and first[0][0] == 1:  # what begins further down has no header
            _refuse_table(first[0][1], fields, name_of(path))
    return plain if format == "text" else format, lines


def _refuse_table(line: str, fields: Fields, name: str) -> None:
    """Raise `SqbertError` for a first line that names the column of the texts beside others."""
    for format, between in (("csv", ","), ("csv", ";"), ("tsv", "\t")):
        cells = [cell.strip(' "') for cell in without_end(line).split(between)]
        if len(cells) > 1 and fields.text in cells:
            other = "" if isinstance(fields, QuestionFields) else "; if each line is a text: `--input-format text`"
            raise SqbertError(
                f"`{name}` seems to be a table with a column `{fields.text}`, and no ending tells",
                hint=f"say so: `--input-format {format}`{other}",
            )


def _check_form(format: Format, fields: Fields, name: str) -> None:
    """Raise `SqbertError` for a form that has no such fields."""
    if format == "squad" and not isinstance(fields, QuestionFields):
        raise NoText(
            f"`{name}` is taken for SQuAD's questions, which are for `sqbert qa`",
            hint="if it is other JSON: an object a line, as `jq -c .` makes it, and `--input-format jsonl`",
        )
    if format == "conll" and isinstance(fields, QuestionFields):
        raise SqbertError(f"`{name}` has CoNLL's columns, which hold no questions", hint="they are for `sqbert ner`")
    if format in FIXED and fields not in (DEFAULT_FIELDS, QuestionFields()):
        raise SqbertError(
            f"`{name}` has {FIXED[format]}, whose fields have no other names",
            hint="leave out the options that name some",
        )


def _made(format: Format, lines: Lines, top: Lines | None, fields: Fields, name: str) -> Iterator[Record | BadRecord]:
    if format == "text":
        rows, fields = _line_rows(lines, _plain_text), _plain_fields(fields, name)
    elif format == "jsonl":
        rows = _line_rows(lines, _json_object)
    else:
        rows = table_rows(format, lines, top, fields, name)
    for number, row in rows:
        source = f"{name}:{number}"
        yield BadRecord(source, row) if isinstance(row, str) else make_record(row, fields, source)


def numbered_lines(path: Location, on_bytes: Callable[[int], None] | None = None, start: Mark = START) -> Lines:
    """Yield lines with their numbers in the whole file."""
    lines = read_lines(path, on_bytes, start)
    return enumerate((line.decode("utf-8", "surrogateescape") for line in lines), start.lines + 1)


def guess_format(path: Location) -> Format:
    """Go by a file's ending; if that tells nothing, by its first line. A stream's is not read: it is "text"."""
    name = PurePath(str(path))
    name = name.with_suffix("") if name.suffix.lower() in COMPRESSED else name
    ending = name.suffix.lower()
    if ending in ARCHIVES:
        raise SqbertError(f"`{path}` is an archive", hint="unpack it first")
    if (ending in ENDINGS and ending != ".json") or is_stream(path):
        return ENDINGS.get(ending, "text")
    first = next((line for line in read_lines(path) if line.strip()), b"").decode("utf-8", "surrogateescape")
    if ending == ".json" and SQUAD_START.match(first):
        return "squad"
    guessed = _guess_of_line(first, name_of(path))
    return ENDINGS.get(ending, guessed)


def is_stream(path: Location) -> bool:
    """Whether it can be read once: standard input, a pipe, a terminal. Its lines may come slowly."""
    return path == STDIN or (isinstance(path, Path) and path.exists() and not path.is_file())


def _guess_of_line(line: str, name: str) -> Format:
    """Go by the first line. Raises `SqbertError` for JSON that is not JSONL, which would be taken for text."""
    if OBJECT_START.match(line):
        return "jsonl"
    if JSON_START.match(line) or _is_list(line):
        raise NoText(
            f"`{name}` seems to be JSON, but not an object a line",
            hint="`jq -c .` or `jq -c '.[]'` makes it so; if it is text: `--input-format text`",
        )
    return "text"


def _guess_of_question(line: str, name: str) -> Format:
    """Raises `SqbertError` for SQuAD's form too. What ends as an object is one whose beginning is lost."""
    if SQUAD_START.match(line):
        value = _json_object(line)
        if isinstance(value, str) or value.keys() <= {"version", "data"}:
            raise SqbertError(f"`{name}` seems to have SQuAD's form", hint="say so: `--input-format squad`")
    return "jsonl" if line.rstrip().endswith("}") else _guess_of_line(line, name)


def _is_list(line: str) -> bool:
    """Whether a line is a list of JSON, or a string with which one begins."""
    line = line.strip()
    try:
        return line.startswith("[") and bool(json.loads(line.removesuffix(",") + "]" if line.endswith(",") else line))
    except (ValueError, RecursionError):
        return False


def _filled(lines: Lines) -> Lines:
    return ((number, line) for number, line in lines if line.strip())


def _line_rows(lines: Lines, parse: Callable[[str], dict[str, Any] | str]) -> Rows:
    return ((number, parse(line) if is_unicode(line) else NOT_UNICODE) for number, line in _filled(lines))


def _plain_text(line: str) -> dict[str, Any]:
    return {"text": without_end(line)}


def _plain_fields(fields: Fields, name: str) -> Fields:
    if fields == DEFAULT_FIELDS:
        return fields
    wanted = listed(field for field in vars(fields).values() if field is not None)
    raise SqbertError(
        f"`{name}` is taken for plain text, which has no fields ({wanted})",
        hint="if it is JSONL, CSV or TSV, say so with `--input-format`",
    )


def _json_object(line: str) -> dict[str, Any] | str:
    try:
        value = json.loads(line, parse_constant=_refuse, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        return f"not JSON: {error.msg} at column {error.colno}"
    except (ValueError, RecursionError) as error:  # a number of too many digits, lists too deep
        return f"JSON that cannot be read: {error}"
    return value if isinstance(value, dict) else "not a JSON object"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise ValueError(f"`{twice}` is there twice")
    return values


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")

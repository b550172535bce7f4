"""From the fields of a line to a record, or what is wrong with them."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqbert_cli.records import BadRecord, Gold, Record


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Names of the fields, or columns, that are wanted."""

    OPTIONS: ClassVar[Mapping[str, str]] = {"text": "--text-field", "pair": "--pair-field", "label": "--label-field"}

    text: str = "text"
    pair: str | None = None
    label: str | None = None


@dataclass(frozen=True, kw_only=True)
class QuestionFields(Fields):
    """Those of a question and of the context in which its answer is looked for."""

    OPTIONS: ClassVar[Mapping[str, str]] = {"text": "--context-field", "pair": "--question-field"}

    text: str = "context"
    pair: str | None = "question"


@dataclass(frozen=True, kw_only=True)
class FoundFields(Fields):
    """Names that the first line of a file has, whatever they are."""

    OPTIONS: ClassVar[Mapping[str, str]] = {}


DEFAULT_FIELDS = Fields()
UNSEEN = ("Cc", "Cf", "Co", "Mn", "Me")
"""Control characters, those of zero width, and marks, which are nothing without a letter."""


def make_record(row: dict[str, Any], fields: Fields, source: str) -> Record | BadRecord:
    """Make a record of a line's fields, all of which it keeps."""
    if unmet := lack(fields, row):
        return BadRecord(source, "; ".join(unmet))
    try:
        text = _string(fields.text, row[fields.text])
        pair = None if fields.pair is None else _string(fields.pair, row[fields.pair])
        gold = None if fields.label is None else _gold(fields.label, row[fields.label])
    except (ValueError, OverflowError) as error:
        return BadRecord(source, str(error))
    return Record(text, pair, gold, fields=row, source=source)


def _string(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"field `{name}` is not a string")
    if fault := fault_of(value):
        raise ValueError(f"field `{name}` {fault}")
    return value


def _gold(name: str, value: Any) -> Gold:
    if isinstance(value, list):
        return tuple(_string(name, _label(name, item)) for item in value)
    return _label(name, value)


def _label(name: str, value: Any) -> str:
    """Write a label as CSV would have it, 1.0 as 1; what an empty one means is for the task to say."""
    match value:
        case None:
            return ""
        case bool():
            return str(value).lower()
        case float() if value.is_integer():
            return str(int(value))
        case int() | float() if math.isfinite(value):
            return str(value)
        case str() if is_unicode(value):
            return value
    raise ValueError(f"field `{name}` is not a string, a number or a list of them")


def listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def first_of(items: Sequence[str], most: int, between: str = ", ", last: str = " and ") -> str:
    """The first of many, and how many more there are."""
    return between.join(items[:most]) + (f"{last}{len(items) - most} more" if len(items) > most else "")


def lack(fields: Fields, found: Collection[str]) -> tuple[str, str] | None:
    """Say which field is not there, and what to do about it."""
    for role, name in vars(fields).items():
        if name is not None and name not in found:
            option = fields.OPTIONS.get(role)
            hint = f"name the right one with `{option}`" if option else "the file's first line has one"
            return f"no field `{name}`; found: {listed(found)}", hint
    return None


def fault_of(text: str) -> str:
    """What is wrong with a text that cannot be read."""
    if not has_text(text):
        return "is empty"
    return "" if is_unicode(text) else "has half of a surrogate pair, which is no character"


def fault_of_record(record: Record) -> str:
    """What is wrong with its texts."""
    for what, text in (("text", record.text), ("second text", record.pair)):
        if text is not None and (fault := fault_of(text)):
            return f"the {what} {fault}"
    return ""


def has_text(text: str) -> bool:
    """Tell whether anything of it is seen, by a person or by BERT: white space and what only controls is not."""
    return any(not (one.isspace() or one == "\ufffd" or unicodedata.category(one) in UNSEEN) for one in text)


def is_unicode(text: str) -> bool:
    """Tell whether it is free of lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

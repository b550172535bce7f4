"""Gold spans in the fields of a record: entities, or the answers to a question."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

from sqbert_cli.records import BadRecord, Record, Span
from sqbert_cli.text.fields import listed


def with_spans(record: Record, name: str, read: Callable[[Any, str], tuple[Span, ...]]) -> Record | BadRecord:
    """Read gold spans from a field with `entity_spans` or `answer_spans`, unless the record has them."""
    if record.problem:
        return BadRecord(record.source, record.problem)
    if record.spans is not None:
        return record
    try:
        return replace(record, spans=read(_field(record, name), record.text))
    except ValueError as error:
        return BadRecord(record.source, str(error))


def entity_spans(values: Any, text: str) -> tuple[Span, ...]:
    """Raise `ValueError` for spans that are not of the text, hold another text than they say, or overlap."""
    if not isinstance(values, list):
        raise ValueError('the entities are not a list of {"start", "end", "label"}')
    spans = sorted(_entity(value, text) for value in values)
    for before, after in pairwise(spans):
        if after.start < before.end:
            raise ValueError(f"two entities overlap: {_told(before, text)} and {_told(after, text)}")
    return tuple(spans)


def answer_spans(values: Any, context: str) -> tuple[Span, ...]:
    """Take a text; a list of `{"text", "answer_start"}`, as SQuAD has it; or null or an empty list: no answer.

    A text without a start must stand once in the context. Raises `ValueError`.
    """
    if isinstance(values, Mapping):  # as `datasets` has it
        if not isinstance(values.get("text"), list) or not isinstance(values.get("answer_start"), list):
            raise ValueError("the answers have no lists `text` and `answer_start`")
        if len(values["text"]) != len(values["answer_start"]):
            raise ValueError("the answers' lists `text` and `answer_start` are not of the same length")
        pairs = zip(values["text"], values["answer_start"], strict=True)
        values = [{"text": text, "answer_start": start} for text, start in pairs]
    if isinstance(values, str):
        values = [{"text": values}] if values else []
    if values is None or values == []:
        return ()
    if not isinstance(values, list):
        raise ValueError('the answers are not a list of {"text", "answer_start"}')
    return tuple(_answer(value, context) for value in values)


def _field(record: Record, name: str) -> Any:
    if record.words is not None:
        raise ValueError("a single column, so there are no tags")
    if name not in record.fields:
        found = listed(record.fields)
        raise ValueError(f"no field `{name}`; found: {found}")
    return record.fields[name]


def _entity(value: Any, text: str) -> Span:
    if not isinstance(value, Mapping) or not isinstance(value.get("label"), str) or not value["label"]:
        raise ValueError(f'{value!r} is not {{"start", "end", "label"}}')
    start, end = value.get("start"), value.get("end")
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
        raise ValueError(f"the entity {start}-{end} is not within the text, which has {len(text)} characters")
    if "text" in value and value["text"] != text[start:end]:
        raise ValueError(f"the entity {start}-{end} should be {value['text']!r}, but the text has {text[start:end]!r}")
    return Span(start, end, value["label"])


def _answer(value: Any, context: str) -> Span:
    answer = value.get("text") if isinstance(value, Mapping) else value
    start = value.get("answer_start", value.get("start")) if isinstance(value, Mapping) else None
    if not isinstance(answer, str) or not answer.strip():
        raise ValueError(f'{value!r} is not {{"text", "answer_start"}}')
    count = context.count(answer)
    if start is None and count == 1:
        start = context.find(answer)
    if type(start) is not int or start < 0 or not context.startswith(answer, start):
        where = f"it is not at {start}" if start is not None else f"it stands there {count} times; say `answer_start`"
        raise ValueError(f"the answer {answer!r}: {where if count else 'the context does not have it'}")
    return Span(start, start + len(answer))


def _told(span: Span, text: str) -> str:
    return f"{text[span.start : span.end]!r} ({span.start}-{span.end})"

"""SQuAD's JSON, versions 1.1 and 2.0: records in, the official prediction file out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sqbert_cli.errors import SqbertError
from sqbert_cli.records import Answers, BadRecord, Record
from sqbert_cli.text.fields import fault_of
from sqbert_cli.text.files import Location, name_of, read_whole
from sqbert_cli.text.gold import answer_spans


def squad_records(path: Location) -> Iterator[Record | BadRecord]:
    """Yield a record for each question: the context is its text, the question its pair."""
    name = name_of(path)
    try:
        articles = list(json.loads(read_whole(path))["data"])
        if articles and all(_parts(article, "paragraphs") is None for article in articles):
            raise ValueError("no article has `paragraphs`")
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        reason = str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
        raise SqbertError(
            f"`{name}` is not a SQuAD file: {reason}",
            hint="expected `data`, in it `paragraphs`, in them `context` and `qas`; for JSONL: `--input-format jsonl`",
        ) from error
    for number, article in enumerate(articles, 1):
        yield from _of_article(article, f"{name}: article {number}", name)


def _of_article(article: Any, place: str, name: str) -> Iterator[Record | BadRecord]:
    if (paragraphs := _parts(article, "paragraphs")) is None:
        yield BadRecord(place, "no `paragraphs`")
    for number, paragraph in enumerate(paragraphs or (), 1):
        if (questions := _parts(paragraph, "qas")) is None:
            yield BadRecord(f"{place}, paragraph {number}", "no `qas`")
        for question in questions or ():
            yield _record(paragraph.get("context"), question, name)


def _parts(value: Any, key: str) -> list[Any] | None:
    parts = value.get(key) if isinstance(value, Mapping) else None
    return parts if isinstance(parts, list) else None


def _record(context: Any, question: Any, name: str) -> Record | BadRecord:
    question = question if isinstance(question, Mapping) else {}
    source = f"{name}: question {question.get('id', '?')}"
    for what, value in (("context", context), ("question", question.get("question"))):
        if not isinstance(value, str) or fault_of(value):
            return BadRecord(source, f"the {what} is empty, or no text")
    spans, problem = None, ""
    try:
        answers = [] if question.get("is_impossible") else question.get("answers")
        spans = None if answers is None else answer_spans(answers, context)
    except ValueError as error:
        problem = str(error)
    fields = {"id": question.get("id"), "question": question["question"]}
    return Record(context, question["question"], spans=spans, fields=fields, source=source, problem=problem)


def gather_predictions(
    predictions: dict[str, str], results: Iterable[Answers], report: Callable[[SqbertError], None]
) -> None:
    """Fill in what the official scripts read: the best answer of each question by its id, "" for none.

    A question without an id of its own is reported, and left out.
    """
    for result in results:
        name = result.record.fields.get("id")
        if name is None or str(name) in predictions:
            what = "has no `id`" if name is None else f"has the `id` {name!r} of another"
            report(SqbertError(f"{result.record.source or 'a question'} {what}", hint="use `--format jsonl`"))
            continue
        predictions[str(name)] = result.answers[0].text if result.answers else ""

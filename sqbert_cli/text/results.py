"""From results to fields: the record's own and, after them, what the model says.

What a field held that had one of the new names before goes on as `input_<name>`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sqbert_cli.records import Answers, Classification, Embedded, Entities, Filled, Found, Record

SCORE_DIGITS = 6


def classification_fields(
    result: Classification, top_k: int | None = None, *, multi_label: bool = False
) -> dict[str, Any]:
    """Add `label` and `score`; of a multi-label model `labels` and their `scores`; of numbers `score` or `scores`.

    With `top_k`, `scores` are those of so many labels, the best ones.
    """
    scores = {label: _rounded(score) for label, score in result.scores.items()}
    added: dict[str, Any]
    if multi_label:
        added = {"labels": list(result.labels), "scores": {label: scores[label] for label in result.labels}}
    elif result.labels:
        added = {"label": result.label, "score": scores[result.label]}
    else:
        added, top_k = {"score": scores[result.label]} if len(scores) == 1 else {"scores": scores}, None
    if top_k is not None:
        added["scores"] = dict(list(scores.items())[:top_k])
    return _with(result.record, added)


def entities_fields(result: Entities) -> dict[str, Any]:
    """Add `entities`: text, label, start, end and score of each."""
    return _with(result.record, {"entities": [_found(entity, label=entity.label) for entity in result.entities]})


def answers_fields(result: Answers, top_k: int | None = None) -> dict[str, Any]:
    """Add `answer` with its `start`, `end` and `score` (all null for none), and `no_answer`, how likely there is none.

    With `top_k` also `answers`, so many of the best.
    """
    best = _found(result.answers[0]) if result.answers else dict.fromkeys(("text", "start", "end", "score"))
    added = {"answer": best.pop("text"), **best, "no_answer": _rounded(result.no_answer)}
    if top_k is not None:
        added["answers"] = [_found(answer) for answer in result.answers]
    return _with(result.record, added)


def filled_fields(result: Filled) -> dict[str, Any]:
    """Add `masks`: start and end of each, and its best words with their scores."""
    masks = [
        {
            "start": words[0].start,
            "end": words[0].end,
            "words": [{"word": word.text, "score": _rounded(word.score)} for word in words],
        }
        for words in result.masks
    ]
    return _with(result.record, {"masks": masks})


def embedded_fields(result: Embedded) -> dict[str, Any]:
    """Add `embedding`, a list of numbers."""
    return _with(result.record, {"embedding": [_rounded(value) for value in result.vector]})


def _found(found: Found, **more: Any) -> dict[str, Any]:
    return {"text": found.text, **more, "start": found.start, "end": found.end, "score": _rounded(found.score)}


def _rounded(score: float) -> float:
    return round(score, SCORE_DIGITS)


def _with(record: Record, added: Mapping[str, Any]) -> dict[str, Any]:
    kept = {_free_name(name, record.fields) if name in added else name: v for name, v in record.fields.items()}
    return {**kept, **added}


def _free_name(name: str, taken: Iterable[str]) -> str:
    while name in taken:
        name = f"input_{name}"
    return name

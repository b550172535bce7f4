"""Scores of entities, by seqeval, and of answers, as the official SQuAD scripts have them.

No well-kept package has the SQuAD metrics without a download or a framework of its own, so they stand here; a test
holds them to other implementations.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from sqbert_cli.records import Answers, Entities
from sqbert_cli.tasks.metrics import ClassScore, Scores
from sqbert_cli.text.conll import word_spans
from sqbert_cli.text.tags import OUTSIDE, span_tags, tag_spans

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLES = re.compile(r"\b(a|an|the)\b")
ENTITY_METRICS = ("f1", "strict_f1", "precision", "recall")


def score_entities(results: Sequence[Entities]) -> Scores:
    """Compare found entities with gold ones, word by word: F1 as conlleval has it, and strict."""
    gold = [span_tags(word_spans(r.record.spans or (), r.words), len(r.words)) for r in results]
    found = [_iob2(result.tags) for result in results]
    if all(tag == OUTSIDE for row in gold + found for tag in row):  # of nothing seqeval can make no report
        return Scores(dict.fromkeys(ENTITY_METRICS, 0.0))
    metrics = {
        "f1": f1_score(gold, found, zero_division=0),
        "strict_f1": f1_score(gold, found, mode="strict", scheme=IOB2, zero_division=0),
        "precision": precision_score(gold, found, zero_division=0),
        "recall": recall_score(gold, found, zero_division=0),
    }
    report = classification_report(gold, found, output_dict=True, zero_division=0)
    classes = tuple(
        ClassScore(label, float(row["precision"]), float(row["recall"]), float(row["f1-score"]), int(row["support"]))
        for label, row in report.items()
        if not label.endswith(" avg")
    )
    return Scores({name: float(value) for name, value in metrics.items()}, classes)


def _iob2(tags: Sequence[str]) -> list[str]:
    """Read the tags of other schemes; those of IOB2 stay as they are, though one stands where it should not."""
    if all(tag == OUTSIDE or tag.startswith(("B-", "I-")) for tag in tags):
        return list(tags)
    return span_tags(tag_spans(tags), len(tags))


def score_answers(results: Sequence[Answers]) -> Scores:
    """Exact match and F1 of the best answers, as SQuAD v2.0 has them where a question has none, else as v1.1."""
    pairs = [
        (
            result.answers[0].text if result.answers else "",
            [result.record.text[span.start : span.end] for span in result.record.spans or ()],
        )
        for result in results
    ]
    has_none = any(not gold for _, gold in pairs)
    compared = [(found, _v2_gold(gold) if has_none else gold) for found, gold in pairs]
    f1_of = f1_v2 if has_none else f1_v1
    f1 = [max(f1_of(found, answer) for answer in gold) for found, gold in compared]
    exact = [max(exact_match(found, answer) for answer in gold) for found, gold in compared]
    metrics = {"f1": _mean(f1), "exact_match": _mean(exact)}
    if has_none:
        for name, values in (("f1", f1), ("exact_match", exact)):
            if of_answered := [value for value, (_, gold) in zip(values, pairs, strict=True) if gold]:
                metrics[f"has_answer_{name}"] = _mean(of_answered)
        metrics["no_answer_accuracy"] = _mean([v for v, (_, gold) in zip(exact, pairs, strict=True) if not gold])
    return Scores(metrics)


def normalized(answer: str) -> str:
    """Lower case, without punctuation, articles and extra spaces."""
    return " ".join(ARTICLES.sub(" ", answer.lower().translate(PUNCTUATION)).split())


def exact_match(found: str, gold: str) -> float:
    return float(normalized(found) == normalized(gold))


def f1_v1(found: str, gold: str) -> float:
    """Of the words that two answers share, counted."""
    ours, theirs = normalized(found).split(), normalized(gold).split()
    same = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * (same / len(ours)) * (same / len(theirs)) / (same / len(ours) + same / len(theirs)) if same else 0.0


def f1_v2(found: str, gold: str) -> float:
    """As `f1_v1`, but two that have no words are equal."""
    return f1_v1(found, gold) if normalized(found) and normalized(gold) else exact_match(found, gold)


def _v2_gold(answers: list[str]) -> list[str]:
    return [answer for answer in answers if normalized(answer)] or [""]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0

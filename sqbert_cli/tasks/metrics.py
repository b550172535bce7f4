"""The standard metrics, by scikit-learn and scipy."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    matthews_corrcoef,
    precision_recall_fscore_support,
)

from sqbert_cli.model.config import ProblemType
from sqbert_cli.records import Classification, labels_of

Metric = Literal["accuracy", "f1", "matthews", "pearson", "spearman", "macro_f1", "micro_f1"]
OWN_METRICS: dict[ProblemType, tuple[Metric, ...]] = {
    "single_label_classification": ("accuracy", "macro_f1"),
    "multi_label_classification": ("micro_f1", "macro_f1", "accuracy"),
    "regression": ("pearson", "spearman"),
}
COMPUTE: dict[Metric, Callable[[Any, Any], Any]] = {
    "accuracy": accuracy_score,  # of several labels: all of them right
    "f1": f1_score,  # of the second label
    "matthews": matthews_corrcoef,
    "pearson": lambda gold, predicted: pearsonr(gold, predicted).statistic,
    "spearman": lambda gold, predicted: spearmanr(gold, predicted).statistic,
    "macro_f1": lambda gold, predicted: f1_score(gold, predicted, average="macro", zero_division=0),
    "micro_f1": lambda gold, predicted: f1_score(gold, predicted, average="micro", zero_division=0),
}
CORRELATIONS = ("pearson", "spearman")
MOST_CONFUSED = 200
"""Labels; a table of more tells nobody anything, and grows with their square."""


@dataclass(frozen=True)
class ClassScore:
    """How well one label was told; fractions of 1."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Scores:
    """Metrics of one evaluation, the main one first; fractions of 1."""

    metrics: dict[str, float]
    classes: tuple[ClassScore, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    """Rows: the true label; columns: the predicted one. Empty unless each text has a single label, of not too many."""

    @property
    def main(self) -> float:
        return next(iter(self.metrics.values()))


def score(
    results: Sequence[Classification], labels: Sequence[str], problem: ProblemType, metrics: Sequence[Metric]
) -> Scores:
    """Compare predictions with the gold labels of their records; F1 is that of the second label."""
    if problem == "regression":
        gold = np.array([result.record.gold for result in results], dtype=float)
        predicted = np.array([result.score for result in results])
        return Scores(_compute(metrics, gold, predicted))
    if problem == "multi_label_classification":
        gold = _matrix((labels_of(result.record.gold) for result in results), labels)
        predicted = _matrix((result.labels for result in results), labels)
        return Scores(_compute(metrics, gold, predicted), _classes(gold, predicted, labels))
    index = {label: position for position, label in enumerate(labels)}
    gold = np.array([index[str(result.record.gold)] for result in results])
    predicted = np.array([index[result.label] for result in results])
    confusion = confusion_matrix(gold, predicted, labels=range(len(index))) if len(index) <= MOST_CONFUSED else ()
    return Scores(
        _compute(metrics, gold, predicted),
        _classes(gold, predicted, labels),
        tuple(tuple(int(count) for count in row) for row in confusion),
    )


def _compute(metrics: Sequence[Metric], gold: Any, predicted: Any) -> dict[str, float]:
    """A correlation of fewer than two numbers, or with a constant, is undefined, and counts as 0."""
    return {
        metric: 0.0
        if metric in CORRELATIONS and min(np.ptp(gold), np.ptp(predicted)) == 0
        else float(COMPUTE[metric](gold, predicted))
        for metric in metrics
    }


def _classes(gold: Any, predicted: Any, labels: Sequence[str]) -> tuple[ClassScore, ...]:
    columns = precision_recall_fscore_support(gold, predicted, labels=range(len(labels)), zero_division=0)
    rows = zip(labels, *columns, strict=True)
    return tuple(ClassScore(label, float(p), float(r), float(f), int(n)) for label, p, r, f, n in rows)


def _matrix(rows: Iterable[Sequence[str]], labels: Sequence[str]) -> Any:
    """Ones where a label holds. A single column stands twice: scikit-learn would take it for two classes."""
    matrix = np.array([[int(label in held) for label in labels] for held in rows])
    return np.hstack([matrix, matrix]) if len(labels) == 1 else matrix

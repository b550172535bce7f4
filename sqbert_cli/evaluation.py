"""A model against labelled examples."""

from __future__ import annotations

from collections.abc import Sequence

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.predict import classify
from sqbert_cli.records import Classification
from sqbert_cli.tasks.dataset import Split
from sqbert_cli.tasks.metrics import Metric, Scores, score


def judge(checkpoint: Checkpoint, split: Split, metrics: Sequence[Metric]) -> Scores:
    """Measure a model on labelled examples, reading them just as `classify` does."""
    checkpoint.network.eval()
    results = [result for result in classify(checkpoint, split.records) if isinstance(result, Classification)]
    return score(results, checkpoint.head("sequence"), metrics)

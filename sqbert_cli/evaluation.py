"""A model against labelled examples."""

from __future__ import annotations

from collections.abc import Sequence

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.predict import classify
from sqbert_cli.records import Classification
from sqbert_cli.tasks.dataset import Split
from sqbert_cli.tasks.metrics import Metric, Scores, score


def judge(checkpoint: Checkpoint, split: Split, metrics: Sequence[Metric], wanted: HeadConfig) -> Scores:
    """Measure a model on labelled examples, reading them just as `classify` does.

    `wanted` is the head of the task: its labels, in the order in which they are reported.
    """
    _check_fit(checkpoint, wanted)
    checkpoint.network.eval()
    results = [result for result in classify(checkpoint, split.records) if isinstance(result, Classification)]
    return score(results, wanted.labels, wanted.problem_type, metrics)


def _check_fit(checkpoint: Checkpoint, wanted: HeadConfig) -> None:
    head = checkpoint.head("sequence")
    if head.problem_type != wanted.problem_type:
        raise SqbertError(
            f"model `{checkpoint.name}` does {_words(head.problem_type)}, the task is {_words(wanted.problem_type)}"
        )
    if wanted.problem_type != "regression" and set(head.labels) != set(wanted.labels):
        raise SqbertError(
            f"model `{checkpoint.name}` tells {', '.join(head.labels)}; the task wants {', '.join(wanted.labels)}",
            hint="a model without names for its labels (`LABEL_0`) gets them as `id2label` in its `config.json`",
        )


def _words(problem: str) -> str:
    return problem.replace("_", " ")

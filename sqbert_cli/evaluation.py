"""A model against labelled examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial

import torch
from torch import Tensor

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.predict.answers import NO_ANSWER_THRESHOLD, find_answers
from sqbert_cli.predict.any_labels import Method, classify_any
from sqbert_cli.predict.entities import find_entities
from sqbert_cli.predict.masks import word_chances
from sqbert_cli.predict.rows import grouped, state_rows
from sqbert_cli.predict.texts import classify, encode
from sqbert_cli.predict.vectors import text_vectors
from sqbert_cli.records import Answers, BadRecord, Classification, Entities, Record
from sqbert_cli.tasks.classification import decode
from sqbert_cli.tasks.dataset import Split
from sqbert_cli.tasks.glue import is_of_another_task
from sqbert_cli.tasks.masked_words import hide, told
from sqbert_cli.tasks.metrics import Metric, Scores, score
from sqbert_cli.tasks.span_metrics import score_answers, score_entities
from sqbert_cli.text.tokenizer import Window

HIDING_SEED = 42


def judge(
    checkpoint: Checkpoint,
    split: Split,
    metrics: Sequence[Metric],
    wanted: HeadConfig,
    name: str | None = None,
) -> Scores:
    """Measure a model on labelled examples, reading them just as the commands do.

    `wanted` is the head of the task: its kind, and its labels in the order in which they are reported. The model's head
    called `name` answers; without it, the one that is most like the wanted.
    """
    checkpoint.network.eval()
    head = checkpoint.head_for(wanted, name)
    match wanted.kind:
        case "token":
            found = find_entities(checkpoint, split.records, head=head.name)
            return score_entities([result for result in found if isinstance(result, Entities)])
        case "span":
            return score_answers(_answers(checkpoint, split, head))
        case "masked_word":
            return _score_masked(checkpoint, split, head)
        case _:
            _check_fit(checkpoint, head, wanted, is_named=name is not None)
            return _score_texts(classify(checkpoint, split.records, head=head.name), wanted, metrics)


def judge_labels(
    checkpoint: Checkpoint, split: Split, metrics: Sequence[Metric], wanted: HeadConfig, method: Method | None
) -> Scores:
    """Measure how a model gives labels that it was not taught."""
    return _score_texts(classify_any(checkpoint, split.records, wanted.labels, method=method), wanted, metrics)


def judge_likeness(checkpoint: Checkpoint, split: Split, metrics: Sequence[Metric], wanted: HeadConfig) -> Scores:
    """Measure the cosines of pairs of texts against how alike they are said to be."""
    if wanted.problem_type != "regression" or any(record.pair is None for record in split.records):
        raise SqbertError("likeness is measured on pairs of texts with numbers", hint="as `--task stsb` has them")
    ours = text_vectors(checkpoint, [Record(record.text) for record in split.records])
    theirs = text_vectors(checkpoint, [Record(record.pair or "") for record in split.records])
    cosines = (ours * theirs).sum(-1, keepdim=True).tolist()
    results = (decode(record, row, wanted, 0.5, 1) for record, row in zip(split.records, cosines, strict=True))
    return _score_texts(results, wanted, metrics)


def _score_texts(
    results: Iterable[Classification | BadRecord], wanted: HeadConfig, metrics: Sequence[Metric]
) -> Scores:
    texts = [result for result in results if isinstance(result, Classification)]
    return score(texts, wanted.labels, wanted.problem_type, metrics)


def _answers(checkpoint: Checkpoint, split: Split, head: HeadConfig) -> list[Answers]:
    """A question that cannot be read counts as not answered; where all have answers, each is given one."""
    always = all(record.spans for record in split.records)
    threshold = 1.0 if always else NO_ANSWER_THRESHOLD
    results = find_answers(checkpoint, split.records, head=head.name, no_answer_threshold=threshold)
    return [
        result if isinstance(result, Answers) else Answers(record, (), 1.0)
        for record, result in zip(split.records, results, strict=True)
    ]


def _score_masked(checkpoint: Checkpoint, split: Split, head: HeadConfig) -> Scores:
    """Share of hidden words told at the first guess, and among the first five; the same are hidden each time."""
    generator = torch.Generator().manual_seed(HIDING_SEED)
    counts = torch.zeros(3, dtype=torch.long)

    def hidden(window: Window) -> tuple[Window, Tensor, Tensor]:
        ids = torch.tensor([window.input_ids])
        shown, chosen = hide(checkpoint.tokenizer, ids, generator)
        return Window(shown[0].tolist(), window.token_type_ids), ids[0], chosen[0]

    windows = (w for some in encode(checkpoint, split.records, checkpoint.max_length(head)) for w in some)
    for (_, ids, chosen), states in grouped(
        map(hidden, windows), lambda item: item[0], partial(state_rows, checkpoint)
    ):
        chances = word_chances(checkpoint, head.name, states[chosen])
        counts += torch.tensor([*told(chances, ids[chosen]), int(chosen.sum())])
    first, among_five, total = counts.tolist()
    if not total:
        raise SqbertError(f"`{split.name}` has no words that could be hidden")
    return Scores({"accuracy": first / total, "top5_accuracy": among_five / total})


def _check_fit(checkpoint: Checkpoint, head: HeadConfig, wanted: HeadConfig, *, is_named: bool) -> None:
    if is_of_another_task(head, wanted) and not is_named:
        raise SqbertError(
            f"model `{checkpoint.name}` has no head `{wanted.name}`; `{head.name}` has the same labels",
            hint=f"to ask that one all the same: `--head {head.name}`",
        )
    if head.problem_type != wanted.problem_type:
        raise SqbertError(
            f"model `{checkpoint.name}` does {_words(head.problem_type)}, the task is {_words(wanted.problem_type)}"
        )
    if wanted.problem_type == "regression" and len(head.labels) > 1:
        raise SqbertError(f"model `{checkpoint.name}` gives {len(head.labels)} numbers, the task is one")
    if wanted.problem_type != "regression" and set(head.labels) != set(wanted.labels):
        raise SqbertError(
            f"model `{checkpoint.name}` tells {', '.join(head.labels)}; the task wants {', '.join(wanted.labels)}",
            hint="another head is chosen with `--head`; a model without names for its labels (`LABEL_0`) gets them as "
            "`id2label` in the `config.json` that `sqbert models convert` writes",
        )


def _words(problem: str) -> str:
    return problem.replace("_", " ")

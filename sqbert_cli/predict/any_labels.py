"""Labels that no model was taught: by entailment, or by likeness to their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig, ProblemType
from sqbert_cli.predict.rows import grouped, head_rows
from sqbert_cli.predict.stream import Records, in_order
from sqbert_cli.predict.vectors import text_vectors
from sqbert_cli.records import BadRecord, Classification, Record
from sqbert_cli.tasks.classification import decode
from sqbert_cli.text.pieces import read_ids

Method: TypeAlias = Literal["nli", "embedding"]
TEMPLATES: dict[Method, str] = {"nli": "This text is about {}.", "embedding": "{}"}
SHARPNESS = 20.0
"""Factor before the softmax over cosines, which lie close together (as when such encoders are taught)."""


def classify_any(
    checkpoint: Checkpoint,
    records: Records,
    labels: Sequence[str],
    *,
    method: Method | None = None,
    template: str | None = None,
    multi_label: bool = False,
    threshold: float = 0.5,
    live: bool = False,
) -> Iterator[Classification | BadRecord]:
    """Classify texts with labels of one's own, in order.

    `nli` asks, once for each label, whether the text entails the template filled with it: scores are a softmax over the
    labels' entailment, or with `multi_label` each one's entailment against contradiction (as transformers' zero-shot
    pipeline). `embedding` compares the vector of the text with those of the filled templates: a softmax over cosines,
    or with `multi_label` the cosines themselves.
    """
    if isinstance(labels, str):
        raise TypeError("labels is one string; put it into a list")
    if not labels:
        raise SqbertError("no labels", hint="name some")
    if len(labels) == 1 and not multi_label:
        raise SqbertError("a single label would always be right", hint="name another, or use `--multi-label`")
    method = method or default_method(checkpoint)
    if method not in TEMPLATES:
        raise SqbertError(f"no method `{method}`", hint=f"expected {', '.join(TEMPLATES)}")
    filled = _filled(TEMPLATES[method] if template is None else template, labels)
    _check_apart(checkpoint, labels, filled)
    problem: ProblemType = "multi_label_classification" if multi_label else "single_label_classification"
    head = HeadConfig(name="labels", kind="sequence", labels=tuple(labels), problem_type=problem)
    if method == "nli":
        nli = nli_head(checkpoint)

        def scores(some: Sequence[Record]) -> Tensor:
            return _entailed(checkpoint, nli, some, filled, multi_label)
    else:
        of_labels = text_vectors(checkpoint, [Record(text) for text in filled])

        def scores(some: Sequence[Record]) -> Tensor:
            cosines = text_vectors(checkpoint, [Record(record.text) for record in some]) @ of_labels.T
            return cosines.clamp(min=0) if multi_label else (cosines * SHARPNESS).softmax(-1)

    def answer(some: Sequence[Record]) -> Iterator[Classification]:
        for record, row in zip(some, scores(some).tolist(), strict=True):
            yield decode(record, row, head, threshold, 1)

    return in_order(records, answer, live)


def default_method(checkpoint: Checkpoint) -> Method:
    """Entailment where it is what the model is first of all for; else vectors, one pass for each text."""
    return "nli" if checkpoint.heads and checkpoint.heads[0] in _nli_heads(checkpoint) else "embedding"


def nli_head(checkpoint: Checkpoint) -> HeadConfig:
    """Return the head that tells entailment; raise `SqbertError` where no head's labels do."""
    if heads := _nli_heads(checkpoint):
        return heads[0]
    raise SqbertError(
        f"model `{checkpoint.name}` has no head with labels for entailment and contradiction",
        hint="use `--method embedding`, or name the labels as `id2label` in the `config.json` that "
        "`sqbert models convert` writes",
    )


def _nli_heads(checkpoint: Checkpoint) -> list[HeadConfig]:
    return [head for head in checkpoint.heads if head.kind == "sequence" and None not in _places(head)]


def _places(head: HeadConfig) -> tuple[int | None, int | None]:
    """Which of a head's labels is entailment, and which contradiction: by their names, never by their order."""
    found = (
        [place for place, label in enumerate(head.labels) if label.lower().startswith(word)]
        for word in ("entail", "contra")
    )
    entailment, contradiction = (places[0] if len(places) == 1 else None for places in found)
    return entailment, contradiction


def _filled(template: str, labels: Sequence[str]) -> list[str]:
    if template.count("{}") != 1:
        raise SqbertError(f"the template `{template}` does not hold `{{}}` once", hint="as in `This text is about {}.`")
    return [template.replace("{}", label) for label in labels]


def _check_apart(checkpoint: Checkpoint, labels: Sequence[str], filled: Sequence[str]) -> None:
    """Raise `SqbertError` for two labels that are the same pieces: each would have half of every score."""
    first: dict[tuple[int, ...], str] = {}
    for label, ids in zip(labels, checkpoint.tokenizer.encode(list(filled)), strict=True):
        if (same := first.setdefault(tuple(ids), label)) is not label:
            raise SqbertError(
                f"model `{checkpoint.name}` cannot tell `{label}` from `{same}`",
                hint="its vocabulary has no such characters, or they differ in case or accents alone",
            )


def _entailed(
    checkpoint: Checkpoint, head: HeadConfig, records: Sequence[Record], hypotheses: list[str], multi_label: bool
) -> Tensor:
    """*Shapes:* N records -> (N, labels). A long text's windows are averaged by their tokens."""
    tokenizer, length = checkpoint.tokenizer, checkpoint.max_length(head)
    texts, statements = read_ids(tokenizer, [record.text for record in records]), tokenizer.encode(hypotheses)
    pairs = (
        (n, label, window)
        for n, text in enumerate(texts)
        for label, statement in enumerate(statements)
        for window in tokenizer.windows(text, statement, length)
    )
    sums = torch.zeros(len(texts), len(statements), len(head.labels))
    tokens = torch.zeros(len(texts), len(statements), 1)
    for (n, label, window), logits in grouped(pairs, lambda pair: pair[2], partial(head_rows, checkpoint, head.name)):
        sums[n, label] += logits * len(window)
        tokens[n, label] += len(window)
    whole, (entailment, contradiction) = sums / tokens, _places(head)
    if multi_label:
        return whole[..., [contradiction, entailment]].softmax(-1)[..., 1]
    return whole[..., entailment].softmax(-1)

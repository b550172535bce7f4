"""How tensors are called: by transformers' SqueezeBERT (as we write them), by its BERT, and by us for several heads."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sqbert_cli.model.config import HeadConfig, HeadKind, ProblemType

# Reference name, BERT's name. The order matters: `attention.output.dense` also ends in `output.dense`.
BERT_NAMES = (
    ("transformer.", "bert."),
    (".encoder.layers.", ".encoder.layer."),
    (".attention.query.", ".attention.self.query."),
    (".attention.key.", ".attention.self.key."),
    (".attention.value.", ".attention.self.value."),
    (".post_attention.conv1d.", ".attention.output.dense."),
    (".post_attention.layernorm.", ".attention.output.LayerNorm."),
    (".intermediate.conv1d.", ".intermediate.dense."),
    (".output.conv1d.", ".output.dense."),
    (".output.layernorm.", ".output.LayerNorm."),
)
OLD_NORM_NAMES = ((".gamma", ".weight"), (".beta", ".bias"))
# What each kind of head is called in a folder that transformers opens: our prefix, its prefix.
HEAD_NAMES: dict[HeadKind, tuple[tuple[str, str], ...]] = {
    "sequence": (("pooler.", "transformer.pooler."), ("classifier.", "classifier.")),
    "token": (("classifier.", "classifier."),),
    "span": (("qa_outputs.", "qa_outputs."),),
    "masked_word": (("transform.", "cls.predictions.transform."), ("bias", "cls.predictions.bias")),
    "vector": (("", "vectors."),),
    "pooler": (("dense.", "transformer.pooler.dense."),),
}
# Left over by transformers: a buffer of old versions, copies of tied tensors, the head of next-sentence prediction.
IGNORED = re.compile(r"position_ids$|^cls\.predictions\.decoder\.|^cls\.seq_relationship\.")
TIED = {
    "cls.predictions.decoder.weight": "transformer.embeddings.word_embeddings.weight",
    "cls.predictions.decoder.bias": "cls.predictions.bias",
}
"""The copies, and what they are copies of."""


def to_reference(name: str) -> str:
    """Return the reference's name of a tensor of any supported file."""
    for old, new in OLD_NORM_NAMES:
        name = name.removesuffix(old) + new if name.endswith(old) else name
    if name.startswith(("embeddings.", "encoder.", "pooler.")):  # saved from the model without a head
        name = f"transformer.{name}"
    for reference, bert in BERT_NAMES:
        name = _replace(name, bert, reference)
    return name


def to_bert(name: str) -> str:
    """Return BERT's name of a tensor of the reference."""
    for reference, bert in BERT_NAMES:
        name = _replace(name, reference, bert)
    return name


def head_to_disk(name: str, heads: Sequence[HeadConfig]) -> str:
    """Plain names where no two heads want the same one, as transformers has them; else `heads.NAME.…`."""
    plain = [theirs for head in heads for _, theirs in HEAD_NAMES[head.kind]]
    if not name.startswith("heads.") or _collide(plain):
        return name
    _, head_name, local = name.split(".", 2)
    kind = next(head.kind for head in heads if head.name == head_name)
    ours, theirs = next(pair for pair in HEAD_NAMES[kind] if local.startswith(pair[0]))
    return theirs + local.removeprefix(ours)


def infer_heads(
    names: Sequence[str], architecture: str, labels: tuple[str, ...], problem_type: ProblemType | None
) -> tuple[HeadConfig, ...]:
    """Tell the heads of a folder that transformers wrote from its tensor names."""
    problem = problem_type or ("regression" if len(labels) == 1 else "single_label_classification")
    has_pooler = "transformer.pooler.dense.weight" in names
    kinds: list[HeadKind] = []
    if "classifier.weight" in names:
        is_token = "TokenClassification" in architecture or not has_pooler
        kinds.append("token" if is_token else "sequence")
    if "qa_outputs.weight" in names:
        kinds.append("span")
    if "cls.predictions.bias" in names:
        kinds.append("masked_word")
    if has_pooler and "sequence" not in kinds:
        kinds.append("pooler")
    return tuple(
        HeadConfig(name=kind, kind=kind, labels=labels, problem_type=problem)
        if kind in ("sequence", "token")
        else HeadConfig(name=kind, kind=kind)
        for kind in kinds
    )


def _replace(name: str, old: str, new: str) -> str:
    if old.startswith("."):
        return name.replace(old, new)
    return new + name.removeprefix(old) if name.startswith(old) else name


def _collide(prefixes: list[str]) -> bool:
    return any(
        one.startswith(other)
        for index, one in enumerate(prefixes)
        for other in prefixes[:index] + prefixes[index + 1 :]
    )

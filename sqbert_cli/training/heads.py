"""The network that is to be trained: an encoder with the heads that it is to learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import torch

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.model.heads import Pooler, SequenceHead
from sqbert_cli.model.network import Network, initialise


def network_with_heads(
    base: Checkpoint, heads: Sequence[HeadConfig], *, dropout: float, seed: int, keep_others: bool = False
) -> Checkpoint:
    """Return the encoder of `base` with heads to be taught; a pooler that was pretrained goes on.

    A head that `base` has already, by the same name and for the same labels, goes on from where it is; one without
    labels under any name. The others of `base` are kept where asked for: a head whose encoder goes on learning without
    it is left behind.
    """
    config = replace(base.config, hidden_dropout_prob=dropout, attention_probs_dropout_prob=dropout)
    replaced = {"pooler", *(head.name for head in heads)}
    for head in heads:  # one that a folder of transformers calls by its kind goes on under its new name alone
        if (old := _had(base, head)) and old.name == old.kind:
            replaced.add(old.name)
    kept = tuple(head for head in base.heads if keep_others and head.name not in replaced)
    lost = [old for old in base.heads for head in heads if old.name == head.name and not _is_alike(old, head)]
    if keep_others and lost:
        raise SqbertError(
            f"`{base.name}` has a head `{lost[0].name}` for other labels, which would be lost",
            hint="give the new one another name: `--head NAME`, or `--multi NAME=...`",
        )
    network = Network(config, (*kept, *heads))
    network.transformer.load_state_dict(base.network.transformer.state_dict())
    pooler = next((part for part in base.network.heads.modules() if isinstance(part, Pooler)), None)
    for head in (*kept, *heads):
        new = network.heads[head.name]
        initialise(new, config.initializer_range, _generator(seed, head))
        if had := _had(base, head):
            new.load_state_dict(base.network.heads[had.name].state_dict())
        elif pooler is not None and isinstance(new, SequenceHead):
            new.pooler.load_state_dict(pooler.state_dict())
    return Checkpoint(heads[0].name if heads else base.name, network, (*kept, *heads), base.tokenizer)


def _had(base: Checkpoint, head: HeadConfig) -> HeadConfig | None:
    """The head that a new one goes on from. Folders of transformers have `span` for our `qa`, say."""
    alike = [one for one in base.heads if _is_alike(one, head)]
    if head.kind not in ("span", "masked_word"):
        alike = [one for one in alike if one.name == head.name]
    return min(alike, key=lambda one: one.name != head.name, default=None)


def _is_alike(one: HeadConfig, other: HeadConfig) -> bool:
    return (one.kind, one.labels) == (other.kind, other.labels)


def _generator(seed: int, head: HeadConfig) -> torch.Generator:
    """Other numbers for each head: an encoder is bent towards those that its own heads began with, of the same seed."""
    digest = sha256(repr((seed, head)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))


def adopt_heads(student: Checkpoint, base: Checkpoint, teacher: Checkpoint) -> None:
    """Let heads that `base` has not start as the teacher's, whose hidden states the student is to have."""
    for head in student.heads:
        if _had(base, head) is None and any(one.kind == head.kind for one in teacher.heads):
            theirs = teacher.head_for(head)
            if theirs.labels == head.labels:
                student.network.heads[head.name].load_state_dict(teacher.network.heads[theirs.name].state_dict())

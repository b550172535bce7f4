"""Texts as vectors: the mean of their tokens', of length 1."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sqbert_cli.batch import Batch
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.predict.rows import rows, whole
from sqbert_cli.predict.stream import Records, in_order
from sqbert_cli.predict.texts import encode
from sqbert_cli.records import BadRecord, Embedded, Record

MAX_LENGTH = 256
"""Tokens of a window, at most: what sentence encoders are commonly taught on."""


def embed(checkpoint: Checkpoint, records: Records, *, live: bool = False) -> Iterator[Embedded | BadRecord]:
    """Give each text its vector, in order; the cosine of two is their product."""

    def answer(some: Sequence[Record]) -> Iterator[Embedded]:
        for record, vector in zip(some, text_vectors(checkpoint, some), strict=True):
            yield Embedded(record, tuple(vector.tolist()))

    return in_order(records, answer, live)


def text_vectors(checkpoint: Checkpoint, records: Sequence[Record]) -> Tensor:
    """Mean over tokens, of a long text over its windows by their tokens. *Shapes:* N records -> (N, C)."""
    head = vector_head(checkpoint)
    length = checkpoint.config.max_position_embeddings if head is None else checkpoint.max_length(head)
    windows = encode(checkpoint, records, min(MAX_LENGTH, length))
    flat = [window for some in windows for window in some]
    vectors = torch.stack(rows(checkpoint, flat, lambda batch: batch_vectors(checkpoint, batch)))
    return functional.normalize(torch.stack(list(whole(vectors, windows))))


def vector_head(checkpoint: Checkpoint) -> HeadConfig | None:
    """The head for vectors, if there is one; else they are the encoder's own."""
    return next((head for head in checkpoint.heads if head.kind == "vector"), None)


def batch_vectors(checkpoint: Checkpoint, batch: Batch) -> Tensor:
    """What a model has for the texts of a batch; not of length 1. *Shape:* (B, C)."""
    head = vector_head(checkpoint)
    hidden = checkpoint.network.transformer(*batch.inputs())
    mean = mean_pooled(hidden, batch)
    return mean if head is None else checkpoint.network.heads[head.name](mean.to(hidden.dtype))


def mean_pooled(hidden: Tensor, batch: Batch) -> Tensor:
    """Mean of a row's vectors, without padding. *Shapes:* (B, T, C) -> (B, C), float32."""
    mask = batch.attention_mask[..., None].float()
    return (hidden.float() * mask).sum(1) / mask.sum(1)

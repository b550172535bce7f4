"""Words for the masks of a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.predict.entities import token_stretches
from sqbert_cli.predict.rows import grouped, state_rows
from sqbert_cli.predict.stream import Records, in_order
from sqbert_cli.records import BadRecord, Filled, Found, Record
from sqbert_cli.text.tokenizer import MASK
from sqbert_cli.text.windows import Stretch


def fill_masks(
    checkpoint: Checkpoint,
    records: Records,
    *,
    head: str | None = None,
    top_k: int = 5,
    targets: Sequence[str] | None = None,
    live: bool = False,
) -> Iterator[Filled | BadRecord]:
    """Give each `[MASK]` of a text its `top_k` likeliest words, or how likely each of `targets` is; in order.

    Each mask is filled by itself, the others left as they are. A score is a share of the whole vocabulary.
    """
    if isinstance(targets, str):
        raise TypeError("targets is one string; put it into a list")
    if targets is not None and not targets:
        raise SqbertError("no targets", hint="leave them out for the likeliest words")
    chosen = checkpoint.head("masked_word", head)
    mask_id = checkpoint.tokenizer.mask_id
    wanted = None if targets is None else {_target(checkpoint, word): word for word in reversed(targets)}

    def with_masks(some: Sequence[Record]) -> Iterator[tuple[int, Stretch, list[int]]]:
        for number, record in enumerate(some):
            for stretch in token_stretches(checkpoint, chosen, record, None):
                if places := [place for place in stretch.owned if stretch.pieces.ids[place] == mask_id]:
                    yield number, stretch, places

    def answer(some: Sequence[Record]) -> Iterator[Filled | BadRecord]:
        masks: list[list[tuple[Found, ...]]] = [[] for _ in some]
        for (number, stretch, places), states in grouped(
            with_masks(some), lambda item: item[1].window, partial(state_rows, checkpoint)
        ):
            chances = word_chances(checkpoint, chosen.name, states[[stretch.first + place for place in places]])
            for place, row in zip(places, chances, strict=True):
                masks[number].append(_best(checkpoint, row, stretch.pieces.offsets[place], wanted, top_k))
        for record, found in zip(some, masks, strict=True):
            yield Filled(record, tuple(found)) if found else BadRecord(record.source or "the text", _no_mask(record))

    return in_order(records, answer, live)


def word_chances(checkpoint: Checkpoint, head: str, states: Tensor) -> Tensor:
    """Probability of every word. *Shapes:* (M, C) -> (M, V), float32 on the cpu."""
    like = checkpoint.network.transformer.embeddings.LayerNorm.weight
    with torch.inference_mode():
        return checkpoint.network.heads[head](states.to(like)).float().softmax(-1).cpu()


def _target(checkpoint: Checkpoint, word: str) -> int:
    if (known := checkpoint.tokenizer.pieces.token_to_id(word)) is not None:
        return known
    (ids,) = checkpoint.tokenizer.encode([word])
    if len(ids) != 1 or checkpoint.tokenizer.pieces.id_to_token(ids[0]) == "[UNK]":
        raise SqbertError(
            f"`{word}` is not one word of the vocabulary of model `{checkpoint.name}`",
            hint="a mask stands for one word piece; leave this target out",
        )
    return ids[0]


def _best(
    checkpoint: Checkpoint, chances: Tensor, offsets: tuple[int, int], wanted: Mapping[int, str] | None, top_k: int
) -> tuple[Found, ...]:
    """`wanted` are words by their ids, called as whoever asks calls them. *Shape:* (V,)."""
    if wanted is None:
        ids = torch.arange(min(len(chances), checkpoint.tokenizer.vocab_size))
        best = chances[ids].topk(min(top_k, len(ids)))
        words = [checkpoint.tokenizer.pieces.id_to_token(int(place)) for place in best.indices]
    else:
        best, names = chances[list(wanted)].topk(len(wanted)), list(wanted.values())
        words = [names[place] for place in best.indices]
    return tuple(Found(str(word), *offsets, score) for word, score in zip(words, best.values.tolist(), strict=True))


def _no_mask(record: Record) -> str:
    other = next((word for word in ("[mask]", "<mask>", "[Mask]", "___") if word in record.text), None)
    return f"no `{MASK}` in the text" + (f"; write it instead of `{other}`" if other else "")

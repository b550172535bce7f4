"""Masked words: which are hidden, and how well they are told. Letters: B rows, T tokens, M masks, V words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from sqbert_cli.model.config import HeadConfig
from sqbert_cli.tasks.entities import NOT_LEARNT
from sqbert_cli.text.tokenizer import MASK, Tokenizer

MASKED_HEAD = HeadConfig(name="masked", kind="masked_word")
MASKED_SHARE, MASK_SHARE, RANDOM_SHARE = 0.15, 0.8, 0.1
"""Of the tokens; of those: shown as the mask, or as a random word, else as they are (Devlin et al. 2018)."""


def special_ids(tokenizer: Tokenizer) -> list[int]:
    """Tokens that are never hidden."""
    ids = (tokenizer.pieces.token_to_id(token) for token in ("[PAD]", "[CLS]", "[SEP]", MASK))
    return [token_id for token_id in ids if token_id is not None]


def continuations(tokenizer: Tokenizer) -> Tensor:
    """Which word pieces go on a word. *Shape:* (V,) bool."""
    goes_on = torch.zeros(tokenizer.vocab_size, dtype=torch.bool)
    goes_on[[index for piece, index in tokenizer.pieces.get_vocab().items() if piece.startswith("##")]] = True
    return goes_on


class Draws(NamedTuple):
    """The random numbers of hiding words, each (B, T)."""

    chance: Tensor
    kind: Tensor
    words: Tensor

    @classmethod
    def of(cls, shape: Sequence[int], vocab_size: int, generator: torch.Generator) -> Draws:
        chance, kind = (torch.rand(*shape, generator=generator) for _ in range(2))
        return cls(chance, kind, torch.randint(vocab_size, tuple(shape), generator=generator))

    def of_rows(self, rows: Sequence[int], length: int) -> Draws:
        return Draws(*(numbers[list(rows), :length] for numbers in self))


def hide_words(
    input_ids: Tensor, special: Tensor, mask_id: int, draws: Draws, goes_on: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Hide a share of the tokens; return what is shown, and where something is to be told.

    With `goes_on`, the `continuations` of the vocabulary, all the pieces of a word are hidden or none.

    *Shapes:* (B, T), (B, T) bool -> (B, T), (B, T) bool. A row of real tokens has at least one place.
    """
    chance, kind, random_words = draws
    if goes_on is not None:
        places = torch.arange(input_ids.shape[1]).expand_as(input_ids)
        chance = chance.gather(1, places.masked_fill(goes_on[input_ids], 0).cummax(1).values)
    chance = chance.masked_fill(special, 2.0)
    chosen = (chance < MASKED_SHARE) | ((chance == chance.min(1, keepdim=True).values) & ~special)
    shown = input_ids.where(~(chosen & (kind < MASK_SHARE)), torch.tensor(mask_id))
    is_random = chosen & (kind >= MASK_SHARE) & (kind < MASK_SHARE + RANDOM_SHARE)
    return shown.where(~is_random, random_words), chosen


def hide(tokenizer: Tokenizer, input_ids: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As `hide_words`, with numbers drawn for it."""
    special = torch.isin(input_ids, torch.tensor(special_ids(tokenizer)))
    return hide_words(input_ids, special, tokenizer.mask_id, Draws.of(input_ids.shape, tokenizer.vocab_size, generator))


def masked_loss(logits: Tensor, words: Tensor) -> Tensor:
    """Cross-entropy; words that are `NOT_LEARNT` are left out. *Shapes:* (M, V), (M,) -> ()."""
    return functional.cross_entropy(logits.float(), words, ignore_index=NOT_LEARNT)


def told(scores: Tensor, words: Tensor) -> tuple[int, int]:
    """How many words are the first, and among the first five. *Shapes:* (M, V), (M,)."""
    best = scores.topk(5, -1).indices == words[:, None]
    return int(best[:, 0].sum()), int(best.sum())

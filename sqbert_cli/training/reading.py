"""What a step of pretraining reads: passages as windows, their hidden words, their order. B windows, T tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from sqbert_cli.batch import Batch, collate
from sqbert_cli.tasks.masked_words import Draws, continuations, hide_words, special_ids
from sqbert_cli.text.tokenizer import Tokenizer, Window
from sqbert_cli.training.passages import Passages
from sqbert_cli.training.processes import ALONE, Processes

SPECIAL_TOKENS = 3
SENTENCE_ENDS = (".", "!", "?", ";")


@dataclass(frozen=True)
class Reading:
    """Windows of a step that one process has, or a part of them, on the cpu."""

    batch: Batch
    shown: Tensor
    """Token ids with words hidden; (B, T)."""
    hidden: Tensor
    """Where a word is to be told; (B, T) bool."""
    swapped: Tensor
    """1 where the two passages of a window have changed places; (B,)."""

    def part(self, rows: Sequence[int]) -> Reading:
        """Some of the windows, without padding that they do not need."""
        some = list(rows)
        length = int(self.batch.attention_mask[some].sum(1).max())
        ids, mask, types = (tensor[some, :length] for tensor in self.batch.inputs())
        return Reading(
            Batch(ids, mask, types), self.shown[some, :length], self.hidden[some, :length], self.swapped[some]
        )

    def inputs(self, device: torch.device) -> Batch:
        """What the network reads."""
        _, mask, types = self.batch.inputs()
        return Batch(self.shown.to(device), mask.to(device), types.to(device))


@dataclass(frozen=True)
class Whole:
    """How much a step has, over all processes: losses are sums divided by these."""

    windows: int
    tokens: int
    hidden: int

    @classmethod
    def of(cls, own: Reading, processes: Processes, device: torch.device) -> Whole:
        counts = len(own.swapped), own.batch.tokens, int(own.hidden.sum())
        return cls(*map(int, processes.totals(*counts, device=device)))


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How passages are read; the same step has the same words hidden, another step others (dynamic masking)."""

    tokenizer: Tokenizer
    pad_token_id: int
    order: bool
    """Read all as pairs, of which half have changed places; else half as pairs in order, half as single texts."""
    hide: bool
    whole_words: bool
    seed: int

    def read(self, passages: Passages, rows: Sequence[int], step: int, processes: Processes = ALONE) -> Reading:
        """Read what is this process's of a step: of the same rows the same is hidden, whoever reads them."""
        random = np.random.default_rng((self.seed, step))
        swapped = random.random(len(rows)) < 0.5
        cuts = random.random(len(rows))
        own = processes.share(range(len(rows)))
        windows = [self._window(passages.ids(rows[n]), cuts[n], bool(swapped[n])) for n in own]
        batch = collate(windows, self.pad_token_id, torch.device("cpu"))
        shown, hidden = batch.input_ids, torch.zeros_like(batch.input_ids, dtype=torch.bool)
        if self.hide and own:
            longest = int(passages.some(rows).lengths.max()) + SPECIAL_TOKENS
            generator = torch.Generator().manual_seed(int(random.integers(2**62)))
            draws = Draws.of((len(rows), longest), self.tokenizer.vocab_size, generator)
            shown, hidden = self._hide(batch.input_ids, draws.of_rows(own, shown.shape[1]))
        return Reading(batch, shown, hidden, torch.from_numpy(swapped[list(own)]).long())

    def _window(self, ids: np.ndarray, cut: float, swap: bool) -> Window:
        if not self.order and swap:
            return self.tokenizer.window(ids.tolist(), None)
        edge = self._edge(ids, cut)
        first, second = ids[:edge].tolist(), ids[edge:].tolist()
        return self.tokenizer.window(*((second, first) if self.order and swap else (first, second)))

    def _edge(self, ids: np.ndarray, cut: float) -> int:
        """Where a passage is cut in two: at the end of a sentence if one ends in it, else between two words."""
        inner = np.arange(1, len(ids))
        ends = inner[np.isin(ids[:-1], self._ends)]
        words = inner[~self._goes_on.numpy()[ids[1:]]]
        choices = next(some for some in (ends, words, inner) if len(some))
        return int(choices[int(cut * len(choices))])

    def _hide(self, ids: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        goes_on = self._goes_on if self.whole_words else None
        return hide_words(ids, torch.isin(ids, self._special), self.tokenizer.mask_id, draws, goes_on)

    @cached_property
    def _ends(self) -> list[int]:
        ids = (self.tokenizer.pieces.token_to_id(mark) for mark in SENTENCE_ENDS)
        return [token_id for token_id in ids if token_id is not None]

    @cached_property
    def _goes_on(self) -> Tensor:
        return continuations(self.tokenizer)

    @cached_property
    def _special(self) -> Tensor:
        return torch.tensor(special_ids(self.tokenizer))

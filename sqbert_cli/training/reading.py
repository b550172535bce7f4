"""What a step of pretraining reads: passages as windows, their hidden words, their order. B windows, T tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sqbert_cli.batch import Batch
from sqbert_cli.tasks.entities import NOT_LEARNT
from sqbert_cli.tasks.masked_words import Draws, hide_words, special_ids
from sqbert_cli.text.tokenizer import Tokenizer
from sqbert_cli.training.passages import Marks, Passages
from sqbert_cli.training.processes import ALONE, Processes
from sqbert_cli.training.sizes import chosen_places, words_at

SPECIAL_TOKENS = 3


@dataclass(frozen=True)
class Reading:
    """Windows of a step that one process has, or a part of them, on the cpu."""

    batch: Batch
    shown: Tensor
    """Token ids with words hidden; (B, T)."""
    hidden: Tensor
    """Where a word is to be told; (B, T) bool."""
    swapped: Tensor
    """1 where the two passages of a window have changed places, `NOT_LEARNT` where it has one; (B,)."""

    @cached_property
    def places(self) -> Tensor:
        """Of the hidden words, as `chosen_places` has them; (M,)."""
        return chosen_places(self.hidden)

    @cached_property
    def words(self) -> Tensor:
        """At these places; (M,)."""
        return words_at(self.batch.input_ids, self.places)

    def part(self, rows: Sequence[int]) -> Reading:
        """Some of the windows, without padding that they do not need."""
        some = list(rows)
        length = int(self.batch.attention_mask[some].sum(1).max())
        ids, mask, types = (tensor[some, :length] for tensor in self.batch.inputs())
        return Reading(
            Batch(ids, mask, types), self.shown[some, :length], self.hidden[some, :length], self.swapped[some]
        )

    def shown_batch(self, device: torch.device) -> Batch:
        """What the network reads."""
        _, mask, types = self.batch.inputs()
        return Batch(self.shown.to(device), mask.to(device), types.to(device))


@dataclass(frozen=True)
class Whole:
    """How much a step has, over all processes: losses are sums divided by these."""

    windows: int
    pairs: int
    """0 where no text of several sentences is among them."""
    tokens: int
    hidden: int

    @classmethod
    def of(cls, own: Reading, processes: Processes, device: torch.device) -> Whole:
        pairs = int((own.swapped != NOT_LEARNT).sum())
        counts = len(own.swapped), pairs, own.batch.tokens, int(own.hidden.sum())
        windows, pairs, tokens, hidden = map(int, processes.totals(*counts, device=device))
        return cls(windows, pairs, tokens, hidden)


@dataclass(frozen=True, kw_only=True)
class Reader:
    """How passages are read; the same step has the same words hidden, another step others (dynamic masking)."""

    tokenizer: Tokenizer
    pad_token_id: int
    order: bool
    """Read all of several sentences as pairs, of which half have changed places; else half as pairs, all in order."""
    hide: bool
    whole_words: bool
    seed: int

    def read(self, passages: Passages, rows: Sequence[int], step: int, processes: Processes = ALONE) -> Reading:
        """Read what is this process's of a step: of the same rows the same is hidden, whoever reads them."""
        random = np.random.default_rng((self.seed, step))
        swapped = random.random(len(rows)) < 0.5
        cuts = random.random(len(rows))
        own = list(processes.share(range(len(rows))))
        batch, is_pair = self._windows(passages.some([rows[n] for n in own]), cuts[own], swapped[own])
        shown, hidden = batch.input_ids, torch.zeros_like(batch.input_ids, dtype=torch.bool)
        if self.hide and own:
            longest = int(passages.some(rows).lengths.max()) + SPECIAL_TOKENS
            generator = torch.Generator().manual_seed(int(random.integers(2**62)))
            draws = Draws.of((len(rows), longest), self.tokenizer.vocab_size, generator)
            shown, hidden = self._hide(batch.input_ids, draws.of_rows(own, shown.shape[1]))
        orders = np.where(is_pair, swapped[own], NOT_LEARNT)
        return Reading(batch, shown, hidden, torch.from_numpy(orders).long())

    def _windows(
        self, passages: Passages, cuts: NDArray[np.float64], swapped: NDArray[np.bool_]
    ) -> tuple[Batch, NDArray[np.bool_]]:
        """Each passage as `[CLS] first [SEP] second [SEP]`, or `[CLS] text [SEP]`; and which are pairs, (B,)."""
        ids, lengths = passages.padded(), passages.lengths
        edges = self._edges(ids, lengths, cuts)
        edges = edges if self.order else np.where(swapped, lengths, edges)
        is_pair = edges < lengths
        swaps = swapped & self.order & is_pair
        ends, first_ends = lengths + 2 + is_pair, 1 + np.where(swaps, lengths - edges, edges)
        rows, columns = np.arange(len(ids)), np.arange(ends.max(initial=1))
        windows = np.full((len(ids), len(columns)), self.pad_token_id)
        real, targets = np.arange(ids.shape[1]) < lengths[:, None], _targets(ids.shape[1], lengths, edges, swaps)
        windows[real.nonzero()[0], targets[real]] = ids[real]
        windows[rows, 0] = self.tokenizer.cls_id
        windows[rows, first_ends] = windows[rows, ends - 1] = self.tokenizer.sep_id
        mask = columns < ends[:, None]
        types = mask & (columns > first_ends[:, None])
        return Batch(*(torch.from_numpy(array.astype(np.int64)) for array in (windows, mask, types))), is_pair

    def _edges(
        self, ids: NDArray[np.int64], lengths: NDArray[np.int64], cuts: NDArray[np.float64]
    ) -> NDArray[np.int64]:
        """Where passages are cut in two, so that no mark tells which part was the first.

        One that ends with a sentence is cut behind another; where it has no other it stays whole. One that does not is
        cut between two words. *Shapes:* (B, T), (B,), (B,) -> (B,).
        """
        places = np.arange(ids.shape[1])
        inner = (places > 0) & (places < lengths[:, None])
        words = inner & ~self._marks.goes_on[ids]
        closes = self._marks.ends[ids]
        is_whole = np.take_along_axis(closes, lengths[:, None] - 1, axis=1)
        choices = np.where(words.any(1, keepdims=True), words, inner)
        choices = np.where(is_whole, inner & np.roll(closes, 1, axis=1), choices)
        wanted = (cuts * choices.sum(1)).astype(np.int64)
        return np.minimum((choices.cumsum(1) <= wanted[:, None]).sum(1), lengths)

    def _hide(self, ids: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
        goes_on = torch.from_numpy(self._marks.goes_on) if self.whole_words else None
        return hide_words(ids, torch.isin(ids, self._special), self.tokenizer.mask_id, draws, goes_on)

    @cached_property
    def _marks(self) -> Marks:
        return Marks.of(self.tokenizer)

    @cached_property
    def _special(self) -> Tensor:
        return torch.tensor(special_ids(self.tokenizer))


def _targets(
    size: int, lengths: NDArray[np.int64], edges: NDArray[np.int64], swaps: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Where each token of a passage stands in its window; in those that swap what is behind the edge comes first.

    *Shapes:* T, (B,), (B,), (B,) -> (B, T).
    """
    places = np.arange(size)
    is_second = places >= edges[:, None]
    moved = np.where(is_second, -edges[:, None], (lengths - edges)[:, None] + 1)
    return 1 + places + np.where(swaps[:, None], moved, is_second)

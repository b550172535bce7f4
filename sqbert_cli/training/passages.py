"""Which stretches of running text are learnt from, and which are held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sqbert_cli.errors import SqbertError
from sqbert_cli.text.corpus import TokenFile

MIN_TOKENS = 8
"""A shorter document teaches nothing."""


@dataclass(frozen=True)
class Passages:
    """Stretches of documents, each short enough for a window."""

    files: tuple[TokenFile, ...]
    places: NDArray[np.int64]
    """File, start and end of each; (N, 3)."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """In word pieces; (N,)."""
        return self.places[:, 2] - self.places[:, 1]

    @property
    def pieces(self) -> int:
        return int(self.lengths.sum())

    def __len__(self) -> int:
        return len(self.places)

    def ids(self, index: int) -> NDArray[np.integer]:
        file, start, end = self.places[index]
        return np.asarray(self.files[file].ids)[start:end]  # slices of a memmap are slow to make

    def padded(self) -> NDArray[np.int64]:
        """Ids of all, 0 behind the end of each. *Shape:* (N, T)."""
        lengths = self.lengths
        padded = np.zeros((len(self), lengths.max(initial=0)), np.int64)
        if len(self):
            is_real = np.arange(padded.shape[1]) < lengths[:, None]
            padded[is_real] = np.concatenate([self.ids(index) for index in range(len(self))])
        return padded

    def first(self, count: int) -> Passages:
        return Passages(self.files, self.places[:count])

    def some(self, rows: Sequence[int]) -> Passages:
        return Passages(self.files, self.places[list(rows)])


def split_documents(
    files: Sequence[TokenFile], max_tokens: int, held_out_share: float, seed: int
) -> tuple[Passages, Passages]:
    """Cut documents into passages of about equal length; return those to learn from, and those of held-out documents.

    The same documents are held out whatever `max_tokens` is. Raises `SqbertError` where there are too few.
    """
    parts = [np.column_stack([np.full(len(f.edges) - 1, i), f.edges[:-1], f.edges[1:]]) for i, f in enumerate(files)]
    documents = np.concatenate(parts)
    documents = documents[documents[:, 2] - documents[:, 1] >= MIN_TOKENS]
    if len(documents) < 2:
        raise SqbertError(
            f"too little text: {len(documents)} documents of at least {MIN_TOKENS} word pieces, some of them held out",
            hint="a blank line ends a document; without blank lines each line is one",
        )
    random = np.random.default_rng(seed)
    count = min(len(documents) - 1, max(1, round(len(documents) * held_out_share)))
    order = random.permutation(len(documents))
    held_out, learnt = (_passages(documents[some], max_tokens) for some in (order[:count], np.sort(order[count:])))
    return Passages(tuple(files), learnt), Passages(tuple(files), random.permutation(held_out))


def _passages(documents: NDArray[np.int64], max_tokens: int) -> NDArray[np.int64]:
    """*Shapes:* (D, 3) -> (N, 3)."""
    lengths = documents[:, 2] - documents[:, 1]
    counts = -(-lengths // max_tokens)
    part = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    files, starts, lengths, counts = (np.repeat(a, counts) for a in (documents[:, 0], documents[:, 1], lengths, counts))
    return np.column_stack([files, starts + lengths * part // counts, starts + lengths * (part + 1) // counts])

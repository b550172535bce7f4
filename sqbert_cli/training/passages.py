"""Which stretches of running text are learnt from, and which are held out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from sqbert_cli.errors import SqbertError
from sqbert_cli.tasks.masked_words import continuations
from sqbert_cli.text.corpus import TokenFile
from sqbert_cli.text.tokenizer import Tokenizer

MIN_TOKENS = 8
"""A shorter document teaches nothing."""
SENTENCE_ENDS = (".", "!", "?", ";")


@dataclass(frozen=True)
class Marks:
    """Where word pieces divide a text; (V,) each."""

    ends: NDArray[np.bool_]
    """Those that end a sentence."""
    goes_on: NDArray[np.bool_]
    """Those that go on a word."""

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> Marks:
        ends = np.zeros(tokenizer.vocab_size, np.bool_)
        ids = (tokenizer.pieces.token_to_id(mark) for mark in SENTENCE_ENDS)
        ends[[token_id for token_id in ids if token_id is not None]] = True
        return cls(ends, continuations(tokenizer).numpy())


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
    files: Sequence[TokenFile], marks: Marks, max_tokens: int, held_out_share: float, seed: int
) -> tuple[Passages, Passages]:
    """Cut documents into passages of about equal length, between two sentences where one ends nearby.

    Returns those to learn from, and those of held-out documents, which are the same whatever `max_tokens` is. Raises
    `SqbertError` where there are too few.
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
    cut = _Cut([np.asarray(file.ids) for file in files], marks, max_tokens)
    held_out, learnt = (cut.passages(documents[some]) for some in (order[:count], np.sort(order[count:])))
    return Passages(tuple(files), learnt), Passages(tuple(files), random.permutation(held_out))


@dataclass(frozen=True)
class _Cut:
    """How documents become passages."""

    ids: Sequence[NDArray[np.integer]]
    """Of each file."""
    marks: Marks
    max_tokens: int

    @cached_property
    def sentences(self) -> list[NDArray[np.int64]]:
        return [_sentences(ids, self.marks.ends) for ids in self.ids]

    def passages(self, documents: NDArray[np.int64]) -> NDArray[np.int64]:
        """*Shapes:* (D, 3) -> (N, 3)."""
        edges = chain.from_iterable(chain.from_iterable(self._parts(*of)) for of in documents.tolist())
        return np.fromiter(edges, np.int64).reshape(-1, 3)

    def _parts(self, file: int, start: int, end: int) -> Iterator[tuple[int, int, int]]:
        while end - start > self.max_tokens:
            share = -(-(end - start) // -(-(end - start) // self.max_tokens))
            first, last = start + max(MIN_TOKENS, share // 2), min(start + self.max_tokens, end - MIN_TOKENS)
            edge = _nearest(self.sentences[file], start + share, first, last)
            edge = edge or start + _last_word(self.ids[file][start : start + share + 1], self.marks)
            yield file, start, edge
            start = edge
        yield file, start, end


def _sentences(ids: NDArray[np.integer], ends: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Where sentences begin, if not a text. A million pieces at once: their marks take as much memory as they do."""
    size = 1 << 20
    return np.concatenate([np.flatnonzero(ends[ids[at : at + size]]) + at + 1 for at in range(0, len(ids), size)])


def _nearest(places: NDArray[np.int64], wanted: int, first: int, last: int) -> int | None:
    """The place closest to the one wanted, if it is not before the first nor behind the last."""
    index = int(np.searchsorted(places, wanted))
    near = [place for place in places[max(0, index - 1) : index + 1].tolist() if first <= place <= last]
    return min(near, key=lambda place: abs(place - wanted), default=None)


def _last_word(ids: NDArray[np.integer], marks: Marks) -> int:
    """Where it begins; behind hardly anything else, where its last piece does."""
    begins = np.flatnonzero(~marks.goes_on[ids])
    return int(begins[-1]) if len(begins) and begins[-1] >= MIN_TOKENS else len(ids) - 1

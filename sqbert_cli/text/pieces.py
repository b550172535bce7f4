"""Word pieces and where they lie in the text, a section of the text at a time.

A text of any length takes the memory of a section: it is cut at white space, where word pieces end anyway.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqbert_cli.text.tokenizer import Tokenizer

SECTION_CHARACTERS, SECTIONS_AT_ONCE = 20_000, 1_000
SPACES = " \n\t\r\u00a0\u2003\u2028\u3000"


@dataclass(frozen=True, slots=True)
class Pieces:
    """Word pieces in a row."""

    ids: list[int]
    offsets: list[tuple[int, int]]
    """`[start, end)` in characters of the whole text."""
    words: list[int]
    """Which word of the text each is of."""

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, part: slice) -> Pieces:
        return Pieces(self.ids[part], self.offsets[part], self.words[part])

    def __add__(self, other: Pieces) -> Pieces:
        return Pieces(self.ids + other.ids, self.offsets + other.offsets, self.words + other.words)


def read_pieces(tokenizer: Tokenizer, text: str) -> Iterator[Pieces]:
    """Yield the pieces of each section; none for a text without any word."""
    words = 0
    for start, end in sections(text):
        encoding = tokenizer.places(text[start:end])
        ids, words_here = encoding.ids, [int(word or 0) for word in encoding.word_ids]
        if ids:
            offsets = [(start + left, start + right) for left, right in encoding.offsets]
            yield Pieces(ids, offsets, [words + word for word in words_here])
            words += words_here[-1] + 1


def read_ids(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return the ids of the pieces of each text, without their places."""
    ids: list[list[int]] = [[] for _ in texts]
    parts = [(number, start, end) for number, text in enumerate(texts) for start, end in sections(text)]
    for first in range(0, len(parts), SECTIONS_AT_ONCE):
        some = parts[first : first + SECTIONS_AT_ONCE]
        found = tokenizer.encode([texts[number][start:end] for number, start, end in some])
        for (number, _, _), section in zip(some, found, strict=True):
            ids[number] += section
    return ids


def sections(text: str, size: int = SECTION_CHARACTERS) -> Iterator[tuple[int, int]]:
    """Yield consecutive parts of at most `size` characters, which end at white space if there is any in their half."""
    start = 0
    while len(text) - start > size:
        end = start + size
        cut = max(text.rfind(space, start + size // 2, end) for space in SPACES) + 1 or _before_marks(text, start, end)
        yield start, cut
        start = cut
    yield start, len(text)


def word_end(text: str, end: int) -> int:
    """Move the end of a word behind the accents that belong to its last letter, which tokenizers leave out."""
    while end < len(text) and unicodedata.category(text[end]) == "Mn":
        end += 1
    return end


def word_bounds(pieces: Sequence[Pieces], text: str) -> list[tuple[int, int]]:
    """`[start, end)` of each word of a text, from all its pieces."""
    bounds: dict[int, tuple[int, int]] = {}
    for part in pieces:
        for (start, end), word in zip(part.offsets, part.words, strict=True):
            bounds[word] = (min(start, bounds.get(word, (start, 0))[0]), end)
    return [(start, word_end(text, end)) for start, end in bounds.values()]


def _before_marks(text: str, start: int, end: int) -> int:
    """Where a section without white space ends: not between a letter and its marks."""
    cut = end
    while cut > start + 1 and unicodedata.combining(text[cut]):
        cut -= 1
    return cut if cut > start + 1 else end

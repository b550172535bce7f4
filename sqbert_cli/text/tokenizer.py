"""Text to windows of word-piece ids, each short enough for the network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, product
from pathlib import Path

from tokenizers import Tokenizer as PieceTokenizer
from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer

from sqbert_cli.errors import SqbertError


@dataclass(frozen=True, slots=True)
class Window:
    """One row for the network: `[CLS] text [SEP]`, or `[CLS] text [SEP] pair [SEP]`."""

    input_ids: list[int]
    token_type_ids: list[int]


@dataclass(frozen=True)
class Tokenizer:
    """BERT's word pieces, without any truncation or padding of their own."""

    pieces: PieceTokenizer
    cls_id: int
    sep_id: int

    @classmethod
    def read(cls, folder: Path, lowercase: bool = True) -> Tokenizer:
        """Read `tokenizer.json`, or make the tokenizer from an older folder's `vocab.txt`."""
        file, vocabulary = folder / "tokenizer.json", folder / "vocab.txt"
        if not file.is_file() and not vocabulary.is_file():
            raise SqbertError(f"`{folder}` has no tokenizer", hint="expected `tokenizer.json` or `vocab.txt`")
        pieces = _parse(file) if file.is_file() else _from_vocabulary(vocabulary, lowercase)
        pieces.no_truncation()
        pieces.no_padding()
        cls_id, sep_id = pieces.token_to_id("[CLS]"), pieces.token_to_id("[SEP]")
        if cls_id is None or sep_id is None:
            raise SqbertError(f"`{folder}`: the tokenizer is not BERT's: it lacks `[CLS]` or `[SEP]`")
        return cls(pieces, cls_id, sep_id)

    def write(self, folder: Path) -> None:
        self.pieces.save(str(folder / "tokenizer.json"))

    @cached_property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max(self.pieces.get_vocab().values()) + 1

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, whole and without special tokens."""
        return [encoding.ids for encoding in self.pieces.encode_batch_fast(list(texts), add_special_tokens=False)]

    def windows(self, ids: list[int], pair_ids: list[int] | None, max_length: int) -> list[Window]:
        """Cover a text, or a pair of texts, with windows of at most `max_length` ids; nothing is cut off.

        A longer text is split into consecutive parts of about equal length. Of a pair, each part of the one meets each
        part of the other; a side that fits into half a window stays whole.
        """
        if pair_ids is None:
            return [self._window(part, None) for part in split(ids, max_length - 2)]
        room = max_length - 3
        if len(ids) + len(pair_ids) <= room:
            return [self._window(ids, pair_ids)]
        size = max(room - len(pair_ids), room // 2)
        pair_size = max(room - len(ids), room - size, 1)
        return [self._window(*both) for both in product(split(ids, size), split(pair_ids, pair_size))]

    def _window(self, ids: list[int], pair_ids: list[int] | None) -> Window:
        first = [self.cls_id, *ids, self.sep_id]
        second = [] if pair_ids is None else [*pair_ids, self.sep_id]
        return Window(first + second, [0] * len(first) + [1] * len(second))


def split(ids: list[int], size: int) -> list[list[int]]:
    """Cut into the fewest parts of at most `size`, of about equal length; an empty list is one empty part."""
    parts = max(1, -(-len(ids) // size))
    edges = [len(ids) * index // parts for index in range(parts + 1)]
    return [ids[start:end] for start, end in pairwise(edges)]


def _parse(file: Path) -> PieceTokenizer:
    try:
        return PieceTokenizer.from_file(str(file))
    except Exception as error:  # tokenizers raises plain `Exception` for a file that it cannot parse
        raise SqbertError(f"`{file}` is not a tokenizer: {error}") from error


def _from_vocabulary(file: Path, lowercase: bool) -> PieceTokenizer:
    try:
        return PieceTokenizer.from_str(BertWordPieceTokenizer(str(file), lowercase=lowercase).to_str())
    except Exception as error:  # likewise
        raise SqbertError(f"`{file}` is not a vocabulary of word pieces: {error}") from error

"""Text to windows of word-piece ids, each short enough for the network."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice, pairwise
from pathlib import Path
from typing import Any

from tokenizers import Encoding
from tokenizers import Tokenizer as PieceTokenizer
from tokenizers.implementations.bert_wordpiece import BertWordPieceTokenizer
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import BertProcessing

from sqbert_cli.errors import SqbertError
from sqbert_cli.files import check_size

MASK = "[MASK]"
ADDED = "added_tokens.json"
AS_JSON = "where transformers has a fast tokenizer for it, its `save_pretrained` writes one"


@dataclass(frozen=True, slots=True)
class Window:
    """One row for the network: `[CLS] text [SEP]`, or `[CLS] text [SEP] pair [SEP]`."""

    input_ids: list[int]
    token_type_ids: list[int]

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True)
class Tokenizer:
    """BERT's word pieces, without any truncation or padding of their own."""

    pieces: PieceTokenizer
    cls_id: int
    sep_id: int

    @classmethod
    def read(cls, folder: Path, **settings: Any) -> Tokenizer:
        """Read `tokenizer.json`, or make the tokenizer from an older folder's `vocab.txt`.

        `settings` are those of `BertWordPieceTokenizer`: `lowercase`, `strip_accents` and others. As in transformers
        BERT's own normalizer heeds them, whatever `tokenizer.json` says; another one stays as it is.
        """
        file, vocabulary = folder / "tokenizer.json", folder / "vocab.txt"
        if not file.is_file() and not vocabulary.is_file():
            raise SqbertError(f"`{folder}` has no tokenizer", hint="expected `tokenizer.json` or `vocab.txt`")
        check_size(file if file.is_file() else vocabulary)
        pieces = _parse(file) if file.is_file() else _from_vocabulary(vocabulary, **settings)
        _check_added(folder / ADDED, pieces)
        pieces.no_truncation()
        pieces.no_padding()
        cls_id, sep_id = pieces.token_to_id("[CLS]"), pieces.token_to_id("[SEP]")
        if cls_id is None or sep_id is None:
            raise SqbertError(f"`{folder}`: the tokenizer is not BERT's: it lacks `[CLS]` or `[SEP]`")
        tokenizer = cls(pieces, cls_id, sep_id)
        if settings and tokenizer.is_berts:
            pieces.normalizer = BertNormalizer(**settings)
        if pieces.post_processor is None:  # which is for transformers; windows are made here
            pieces.post_processor = BertProcessing(("[SEP]", sep_id), ("[CLS]", cls_id))
        return tokenizer

    @property
    def is_berts(self) -> bool:
        """Whether a text is cut into words as BERT's own tokenizer does it, and nothing else."""
        is_clean = self.normalizer.get("clean_text") is True and isinstance(self.pieces.normalizer, BertNormalizer)
        return is_clean and isinstance(self.pieces.pre_tokenizer, BertPreTokenizer)

    @property
    def normalizer(self) -> Mapping[str, Any]:
        """What BERT's own does with a text before it is cut into words: `lowercase`, `strip_accents` and others."""
        normalizer = self.pieces.normalizer
        found = json.loads(normalizer.__getstate__()) if normalizer else {}
        return next((one for one in (found, *found.get("normalizers", ())) if one.get("type") == "BertNormalizer"), {})

    @property
    def lowercase(self) -> bool:
        return bool(self.normalizer.get("lowercase", False))

    @property
    def mask_id(self) -> int:
        """Raises `SqbertError` where the vocabulary has no `[MASK]`."""
        mask_id = self.pieces.token_to_id(MASK)
        if mask_id is None:
            raise SqbertError(f"the vocabulary of the model has no `{MASK}`")
        return mask_id

    @cached_property
    def vocab_size(self) -> int:
        """One more than the largest id."""
        return max(self.pieces.get_vocab().values()) + 1

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, whole and without special tokens."""
        with _reading():
            return [one.ids for one in self.pieces.encode_batch_fast(list(texts), add_special_tokens=False)]

    def places(self, text: str) -> Encoding:
        """Ids, offsets and words of a text, whole and without special tokens."""
        with _reading():
            return self.pieces.encode(text, add_special_tokens=False)

    def windows(self, ids: list[int], pair_ids: list[int] | None, max_length: int) -> list[Window]:
        """Cover a text, or a pair of texts, with windows of at most `max_length` ids; nothing is cut off.

        A longer text is split into consecutive parts of about equal length. A side of a pair that fits into half a
        window stays whole beside each part of the other; where neither does, parts at the same place meet.
        """
        if pair_ids is None:
            return [self.window(part, None) for part in split(ids, parts_for(len(ids), max_length - 2))]
        room = max_length - 3
        count, pair_count = parts_for_pair(len(ids), len(pair_ids), room)
        sides = zip(cycle(split(ids, count)), cycle(split(pair_ids, pair_count)), strict=False)
        return [self.window(*both) for both in islice(sides, max(count, pair_count))]

    def window(self, ids: list[int], pair_ids: list[int] | None) -> Window:
        first = [self.cls_id, *ids, self.sep_id]
        second = [] if pair_ids is None else [*pair_ids, self.sep_id]
        return Window(first + second, [0] * len(first) + [1] * len(second))


def split(ids: list[int], parts: int) -> list[list[int]]:
    """Cut into consecutive parts of about equal length."""
    edges = [len(ids) * index // parts for index in range(parts + 1)]
    return [ids[start:end] for start, end in pairwise(edges)]


def parts_for(length: int, size: int) -> int:
    """The fewest parts of at most `size`; an empty text is one."""
    return max(1, -(-length // size))


def parts_for_pair(length: int, pair_length: int, room: int) -> tuple[int, int]:
    """Into how many parts each side is cut, so that a part of each fits into `room`: one, or the same number."""
    if pair_length <= room // 2:
        return parts_for(length, room - pair_length), 1
    if length <= room // 2:
        return 1, parts_for(pair_length, room - length)
    parts = parts_for(length + pair_length, room)
    while -(-length // parts) + -(-pair_length // parts) > room:
        parts += 1
    return parts, parts


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except Exception as error:  # plain, as below; where the vocabulary lacks a piece for what it does not know
        raise SqbertError(f"the model's tokenizer cannot read a text: {error}") from error


def _parse(file: Path) -> PieceTokenizer:
    try:
        return PieceTokenizer.from_buffer(file.read_bytes())
    except Exception as error:  # tokenizers raises plain `Exception` for a file that it cannot parse
        raise SqbertError(f"`{file}` is not a tokenizer: {error}") from error


def _check_added(file: Path, pieces: PieceTokenizer) -> None:
    """Raise `SqbertError` where transformers would know more pieces than the vocabulary has."""
    if not file.is_file():
        return
    check_size(file)
    try:
        lost = [name for name in dict(json.loads(file.read_bytes())) if pieces.token_to_id(name) is None]
    except (ValueError, TypeError, RecursionError) as error:
        raise SqbertError(f"`{file}` cannot be read: {error}") from error
    if lost:
        names = ", ".join(f"`{name}`" for name in lost[:3])
        raise SqbertError(f"`{file}` adds what is told by a `tokenizer.json` only: {names}", hint=AS_JSON)


def _from_vocabulary(file: Path, **settings: Any) -> PieceTokenizer:
    try:
        return PieceTokenizer.from_str(BertWordPieceTokenizer(str(file), **settings).to_str())
    except Exception as error:  # likewise
        raise SqbertError(f"`{file}` is not a vocabulary of word pieces: {error}") from error

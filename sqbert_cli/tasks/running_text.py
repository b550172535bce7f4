"""Running text as a task: hidden words to be told from their surroundings."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from sqbert_cli.errors import SqbertError
from sqbert_cli.records import Record
from sqbert_cli.tasks.dataset import Dataset, Split, make_split
from sqbert_cli.tasks.masked_words import MASKED_HEAD
from sqbert_cli.text.corpus import read_paragraphs

HELD_OUT_TEXTS = 500
MIN_CHARACTERS = 40
"""A shorter paragraph is a heading."""


def read_text(paths: Sequence[Path], characters: int, *, shortest: int = MIN_CHARACTERS) -> Split:
    """Read paragraphs from the start of each file, up to its share of `characters`; the name tells where that cuts."""
    share, names, records = characters // len(paths), list[str](), list[Record]()
    for path in paths:
        texts, is_whole = _take(path, share, shortest)
        names.append(str(path) if is_whole else f"{path} (its first {share:,} characters)")
        records += map(Record, texts)
    if not records:
        raise SqbertError(f"`{', '.join(names)}` has no line of {shortest} characters or more")
    return make_split(", ".join(names), records)


def masked_dataset(text: Split, dev: Split | None, seed: int) -> Dataset:
    """Make a task of telling hidden words; without a dev split some of the text is held out."""
    if dev is None:
        order = random.Random(seed).sample(text.records, len(text.records))
        count = min(HELD_OUT_TEXTS, len(order) // 10)
        if not count:
            raise SqbertError(f"`{text.name}` has too few texts to hold some out", hint="name others: `--dev`")
        text, dev = make_split(text.name, order[count:]), make_split(f"held out of {text.name}", order[:count])
    return Dataset(name="masked", head=MASKED_HEAD, metrics=(), train=text, dev=(dev,))


def _take(path: Path, characters: int, shortest: int) -> tuple[list[str], bool]:
    """Return paragraphs, and whether they are all that the file has."""
    taken, length = list[str](), 0
    for paragraph in read_paragraphs(path):
        if length >= characters:
            return taken, False
        if len(paragraph) >= shortest:
            taken.append(paragraph)
            length += len(paragraph)
    return taken, True

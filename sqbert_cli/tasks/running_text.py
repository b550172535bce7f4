"""Running text as a task: hidden words to be told from their surroundings."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
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
    """Read paragraphs from the start of each file, until each has given its share of `characters`."""
    name = ", ".join(str(path) for path in paths)
    return make_split(
        name, (Record(text) for path in paths for text in _until(path, characters // len(paths), shortest))
    )


def masked_dataset(text: Split, dev: Split | None, seed: int) -> Dataset:
    """Make a task of telling hidden words; without a dev split some of the text is held out."""
    if dev is None:
        order = random.Random(seed).sample(text.records, len(text.records))
        count = min(HELD_OUT_TEXTS, len(order) // 10)
        if not count:
            raise SqbertError(f"`{text.name}` has too few texts to hold some out", hint="name others: `--dev`")
        text, dev = make_split(text.name, order[count:]), make_split(f"held out of {text.name}", order[:count])
    return Dataset(name="masked", head=MASKED_HEAD, metrics=(), train=text, dev=(dev,))


def _until(path: Path, characters: int, shortest: int) -> Iterator[str]:
    taken = 0
    for paragraph in read_paragraphs(path):
        if taken >= characters:
            return
        if len(paragraph) >= shortest:
            taken += len(paragraph)
            yield paragraph

"""Running text as a task: hidden words to be told from their surroundings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sqbert_cli.errors import SqbertError
from sqbert_cli.records import Record
from sqbert_cli.tasks.dataset import Dataset, Split, make_split, with_dev
from sqbert_cli.tasks.masked_words import MASKED_HEAD
from sqbert_cli.text.corpus import read_paragraphs

HELD_OUT_TEXTS = 500
MIN_CHARACTERS = 40
"""A shorter paragraph is a heading."""


def read_text(paths: Sequence[Path], characters: int, *, shortest: int = MIN_CHARACTERS) -> Split:
    """Read paragraphs from the start of each file, up to its share of `characters`; the name tells what is left out."""
    share, names, records = characters // len(paths), list[str](), list[Record]()
    for path in paths:
        texts, left_out = _take(path, share, shortest)
        names.append(f"{path} ({', '.join(left_out)})" if left_out else str(path))
        records += map(Record, texts)
    if not records:
        raise SqbertError(f"`{', '.join(map(str, paths))}` has no line of {shortest} characters or more")
    return make_split(", ".join(names), records)


def masked_dataset(text: Split, dev: Split | None, seed: int) -> Dataset:
    """Make a task of telling hidden words; without a dev split some of the text is held out."""
    text, dev = with_dev(text, dev, seed, HELD_OUT_TEXTS)
    return Dataset(name="masked", head=MASKED_HEAD, metrics=(), train=text, dev=(dev,))


def _take(path: Path, characters: int, shortest: int) -> tuple[list[str], list[str]]:
    """Return paragraphs, and what of the file is not among them."""
    taken, left_out, length, short = list[str](), list[str](), 0, 0
    for paragraph in read_paragraphs(path):
        if length >= characters:
            left_out = [f"its first {characters:,} characters"]
            break
        if len(paragraph) < shortest:
            short += 1
            continue
        taken.append(paragraph[:characters])
        length += len(paragraph)
        if len(paragraph) > characters:
            left_out = [f"its first {characters:,} characters"]
            break
    if short:
        left_out.append(f"without {short:,} lines of under {shortest} characters")
    return taken, left_out

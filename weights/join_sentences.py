"""Sentences of a document in a row, as they stand in it: `python join_sentences.py eng.train 124 > train.conll`.

CoNLL's columns in and out (word and tag). What comes out as one sentence is as many of a document as have, together, at
most so many word pieces: texts are read in windows of several sentences, and entities learnt from single ones are
found less well there. With 1 all stay single.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from sqbert_cli.models import load_checkpoint
from sqbert_cli.text.conll import DOCUMENT, split_columns
from sqbert_cli.text.tags import span_tags, tag_spans
from sqbert_cli.text.tokenizer import Tokenizer

Sentence = list[tuple[str, str]]
"""Words with their tags."""


def documents(path: Path) -> Iterator[list[Sentence]]:
    document: list[Sentence] = [[]]
    for line in [*path.read_text("utf-8").split("\n"), "", DOCUMENT]:
        columns = split_columns(line)
        if columns and columns[0] != DOCUMENT:
            document[-1].append((columns[0], columns[-1]))
        elif document[-1]:
            document.append([])
        if columns and columns[0] == DOCUMENT:
            yield document[:-1]
            document = [[]]


def rows(document: list[Sentence], most: int, tokenizer: Tokenizer) -> Iterator[Sentence]:
    lengths = [len(ids) for ids in tokenizer.encode([" ".join(word for word, _ in one) for one in document])]
    row: Sentence = []
    pieces = 0
    for sentence, length in zip(document, lengths, strict=True):
        if row and pieces + length > most:
            yield row
            row, pieces = [], 0
        row, pieces = row + in_iob2(sentence), pieces + length
    if row:
        yield row


def in_iob2(sentence: Sentence) -> Sentence:
    """In IOB1 an entity at the end of a sentence would go on in that at the beginning of the next."""
    tags = span_tags(tag_spans(tag for _, tag in sentence), len(sentence))
    return [(word, tag) for (word, _), tag in zip(sentence, tags, strict=True)]


if __name__ == "__main__":
    tokenizer = load_checkpoint(offline=True).tokenizer
    for document in documents(Path(sys.argv[1])):
        for row in rows(document, int(sys.argv[2]), tokenizer):
            print("\n".join(f"{word} {tag}" for word, tag in row), end="\n\n")

"""Running text from files, a paragraph at a time, shared out evenly between the files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from sqbert_cli.errors import SqbertError
from sqbert_cli.text.files import read_lines
from sqbert_cli.text.tokenizer import Tokenizer, Window

PARAGRAPHS_AT_ONCE = 1_000


def read_paragraphs(path: Path) -> Iterator[str]:
    """Yield the lines of a text file that are not blank."""
    for number, line in enumerate(read_lines(path), 1):
        try:
            text = line.decode().strip()
        except UnicodeDecodeError as error:
            raise SqbertError(f"{path}:{number}: not UTF-8: {error.reason}") from error
        if text:
            yield text


def corpus_windows(paths: Sequence[Path], tokenizer: Tokenizer, tokens: int, max_length: int) -> list[Window]:
    """Cut paragraphs into windows, from the start of each file, until each has given its share of `tokens`."""
    windows: list[Window] = []
    for path in paths:
        windows += _file_windows(path, tokenizer, tokens // len(paths), max_length)
    if not windows:
        raise SqbertError(f"no text in {', '.join(f'`{path}`' for path in paths)}")
    return windows


def _file_windows(path: Path, tokenizer: Tokenizer, tokens: int, max_length: int) -> Iterator[Window]:
    paragraphs = read_paragraphs(path)
    taken = 0
    while some := list(islice(paragraphs, PARAGRAPHS_AT_ONCE)):
        for ids in tokenizer.encode(some):
            for window in tokenizer.windows(ids, None, max_length):
                if taken >= tokens:
                    return
                taken += len(window.input_ids)
                yield window

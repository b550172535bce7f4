"""Running text from files, and its word pieces kept on disk, so that it is tokenized once.

A line is a paragraph, a blank line ends a document; in a text without blank lines each line is a document.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sqbert_cli.errors import SqbertError
from sqbert_cli.files import whole_file
from sqbert_cli.text.files import read_lines
from sqbert_cli.text.tokenizer import Tokenizer

PARAGRAPHS_AT_ONCE = 1_000
CACHE_FORMAT = 1
"""To be raised when the same text would be kept in another way."""


@dataclass(frozen=True)
class TokenFile:
    """The word pieces of a text file, mapped from disk: only what is used is in memory."""

    key: str
    """Hash of the text and of the tokenizer."""
    ids: NDArray[np.uint16] | NDArray[np.uint32]
    edges: NDArray[np.int64]
    """Where documents begin and, at last, end; (documents + 1,)."""


@dataclass(frozen=True)
class Tokenized:
    """How far a file has been tokenized."""

    path: Path
    done: int
    """Bytes on disk."""
    size: int


def read_paragraphs(path: Path) -> Iterator[str]:
    """Yield the lines of a text file that are not blank."""
    return (line for line, _ in _lines(path) if line)


def token_key(path: Path, tokenizer: Tokenizer) -> str:
    """Name a text by its bytes and by what its word pieces depend on."""
    digest = sha256(f"{CACHE_FORMAT} {path.suffix} {tokenizer.pieces.to_str()}".encode())
    try:
        with path.open("rb") as file:
            while some := file.read(2**20):
                digest.update(some)
    except OSError as error:
        raise SqbertError(f"`{path}` cannot be read: {error.strerror}") from error
    return digest.hexdigest()[:32]


def tokenize(path: Path, tokenizer: Tokenizer, folder: Path) -> Iterator[Tokenized]:
    """Write the word pieces of a file into `folder`, unless they are there; the edges come last."""
    key = token_key(path, tokenizer)
    if (folder / f"{key}.edges").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    size, lines = path.stat().st_size, _lines(path)
    edges, paragraphs = array("q", [0]), array("q", [0])
    with whole_file(folder / f"{key}.ids") as file:
        while some := list(islice(lines, PARAGRAPHS_AT_ONCE)):
            for ids, (line, _) in zip(tokenizer.encode([line for line, _ in some]), some, strict=True):
                file.write(np.asarray(ids, _dtype(tokenizer)).tobytes())
                paragraphs.append(paragraphs[-1] + len(ids))
                if not line and paragraphs[-1] > edges[-1]:
                    edges.append(paragraphs[-1])
            yield Tokenized(path, some[-1][1], size)
    if len(edges) == 1:
        edges = paragraphs
    elif paragraphs[-1] > edges[-1]:
        edges.append(paragraphs[-1])
    with whole_file(folder / f"{key}.edges") as file:
        file.write(edges.tobytes())


def read_tokens(path: Path, tokenizer: Tokenizer, folder: Path) -> TokenFile:
    """Map what `tokenize` wrote. Raises `SqbertError` where the text has no word."""
    key = token_key(path, tokenizer)
    edges = np.fromfile(folder / f"{key}.edges", np.int64)
    if not edges[-1]:
        raise SqbertError(f"no text in `{path}`")
    ids = np.memmap(folder / f"{key}.ids", _dtype(tokenizer), "r")
    if len(ids) != edges[-1]:
        raise SqbertError(f"`{folder / key}.ids` is damaged", hint=f"remove `{folder}`; the text is tokenized again")
    return TokenFile(key, ids, edges)


def _dtype(tokenizer: Tokenizer) -> type[np.uint16] | type[np.uint32]:
    return np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each line, and how many bytes of the file have been read."""
    position = 0

    def note(done: int) -> None:
        nonlocal position
        position = done

    for number, line in enumerate(read_lines(path, note), 1):
        try:
            yield line.decode().strip(), position
        except UnicodeDecodeError as error:
            raise SqbertError(f"{path}:{number}: not UTF-8: {error.reason}") from error

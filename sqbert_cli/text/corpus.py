"""Running text from files, and its word pieces kept on disk, so that it is tokenized once.

A line is a paragraph, a blank line ends a document; in a text without blank lines each line is a document.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sqbert_cli.errors import SqbertError
from sqbert_cli.files import ABANDONED_SECONDS, digest_of, sweep, whole_file
from sqbert_cli.text.files import NOT_UNICODE, read_lines
from sqbert_cli.text.readers import guess_format
from sqbert_cli.text.tokenizer import Tokenizer

PARTS_AT_ONCE, CHARACTERS_AT_ONCE = 1_000, 500_000
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
    if path.exists() and not path.is_file():
        raise SqbertError(f"`{path}` is no plain file", hint="it is read more than once: write it into a file first")
    digest = sha256(f"{CACHE_FORMAT} {path.suffix} {tokenizer.pieces.to_str()}".encode())
    try:
        return digest_of(path, digest)[:32]
    except OSError as error:
        raise SqbertError(f"`{path}` cannot be read: {error.strerror}") from error


def tokenize(path: Path, tokenizer: Tokenizer, folder: Path) -> Iterator[Tokenized]:
    """Write the word pieces of a file into `folder`, unless they are there; the edges come last."""
    before, key = _state(path), token_key(path, tokenizer)
    if (folder / f"{key}.edges").is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    sweep(folder, ABANDONED_SECONDS)
    size, written = path.stat().st_size, 0
    edges, paragraphs, after_blank = array("q", [0]), array("q", [0]), False
    with whole_file(folder / f"{key}.ids") as file:
        for some in _batches(path):
            for part, ids in zip(some, tokenizer.encode([part.text for part in some]), strict=True):
                if not part.text:
                    after_blank = True
                    continue
                if after_blank and written > edges[-1]:
                    edges.append(written)
                after_blank = False
                file.write(np.asarray(ids, _dtype(tokenizer)).tobytes())
                written += len(ids)
                if part.ends_line:
                    paragraphs.append(written)
            yield Tokenized(path, some[-1].position, size)
    if _state(path) != before:
        raise SqbertError(f"`{path}` has changed while it was read", hint="start again when it is finished")
    with whole_file(folder / f"{key}.edges") as file:
        file.write((edges + array("q", [written]) if len(edges) > 1 else paragraphs).tobytes())


def _state(path: Path) -> tuple[int, int] | None:
    """What changes with the content."""
    return (path.stat().st_size, path.stat().st_mtime_ns) if path.exists() else None


def read_tokens(path: Path, tokenizer: Tokenizer, folder: Path) -> TokenFile:
    """Map what `tokenize` wrote. Raises `SqbertError` where the text has no word."""
    key, dtype = token_key(path, tokenizer), _dtype(tokenizer)
    edges, file = np.fromfile(folder / f"{key}.edges", np.int64), folder / f"{key}.ids"
    pieces = file.stat().st_size // np.dtype(dtype).itemsize
    if not len(edges) or edges[0] or edges[-1] != pieces or (np.diff(edges) < 0).any():
        raise SqbertError(f"`{file}` is damaged", hint=f"remove `{folder}`; the text is tokenized again")
    if not pieces:
        raise SqbertError(f"no text in `{path}`")
    return TokenFile(key, np.memmap(file, dtype, "r"), edges)


def refuse_twice(paths: Sequence[Path], files: Sequence[TokenFile]) -> None:
    """Raise `SqbertError` for two files of the same text: what is held out of one would be learnt from the other."""
    first: dict[str, Path] = {}
    for path, file in zip(paths, files, strict=True):
        if file.key in first:
            raise SqbertError(f"`{path}` is the same text as `{first[file.key]}`", hint="leave one of them out")
        first[file.key] = path


def _dtype(tokenizer: Tokenizer) -> type[np.uint16] | type[np.uint32]:
    return np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32


@dataclass(frozen=True, slots=True)
class _Part:
    """A line, or a part of a very long one."""

    text: str
    ends_line: bool
    position: int
    """Bytes of the file that have been read."""


def _batches(path: Path) -> Iterator[list[_Part]]:
    """Yield parts of lines, as many together as is quick and small."""
    batch: list[_Part] = []
    characters = 0
    for line, position in _lines(path):
        for part in _cut(line, position):
            batch.append(part)
            characters += len(part.text)
            if len(batch) == PARTS_AT_ONCE or characters >= CHARACTERS_AT_ONCE:
                yield batch
                batch, characters = [], 0
    if batch:
        yield batch


def _cut(line: str, position: int) -> Iterator[_Part]:
    """Cut a line at white space where it is longer than is good for the tokenizer."""
    start = 0
    while len(line) - start > CHARACTERS_AT_ONCE:
        end = line.rfind(" ", start + 1, start + CHARACTERS_AT_ONCE)
        end = start + CHARACTERS_AT_ONCE if end < 0 else end
        yield _Part(line[start:end], False, position)
        start = end
    yield _Part(line[start:], True, position)


def _lines(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each line, and how many bytes of the file have been read."""
    if (format := guess_format(path)) != "text":
        raise SqbertError(
            f"`{path}` is {format}, not running text", hint="a paragraph a line; `jq -r .text` takes texts out of JSONL"
        )
    position = 0

    def note(done: int) -> None:
        nonlocal position
        position = done

    for number, line in enumerate(read_lines(path, note), 1):
        try:
            yield line.decode().strip(), position
        except UnicodeDecodeError as error:
            raise SqbertError(f"{path}:{number}: {NOT_UNICODE}") from error

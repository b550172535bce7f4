"""Reading lines: of a plain, gzip or xz file, of an object of a store, or of standard input."""

from __future__ import annotations

import gzip
import lzma
import sys
import zlib
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Literal, Protocol

from sqbert_cli.errors import SqbertError

STDIN = Path("-")
COMPRESSED = (".gz", ".xz")
MOST_BYTES = 1 << 30
"""Of a line, or of what is read as a whole: far above any text, below what would fill a memory."""
NOT_UNICODE = "not UTF-8 (`iconv -f windows-1252 -t utf-8` makes it of what Windows wrote)"
NO_TEXT = {
    b"%PDF-": "a PDF",
    b"PK\x03\x04": "an archive or an office document",
    b"\xd0\xcf\x11\xe0\xa1\xb1": "an office document",
    b"\x1f\x8b": "compressed (gzip; a file of that is read if it ends in .gz)",
    b"\xfd7zXZ\x00": "compressed (xz; a file of that is read if it ends in .xz)",
    b"BZh91AY&SY": "compressed (bzip2)",
    b"\x28\xb5\x2f\xfd": "compressed (zstd)",
    b"7z\xbc\xaf\x27\x1c": "an archive",
    b"PAR1\x15": "a Parquet table",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
"""How files begin that are often taken for text."""
DAMAGE = (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError)
"""Of a compressed file: it is the same each time that the file is read, as what a network or a disk says is not."""


class NoText(SqbertError):
    """A file is of another kind than what is read here."""


class Location(Protocol):
    """What reading needs of a `Path`, and an object of a store has too; `str` of it is its name."""

    @property
    def suffix(self) -> str: ...

    def open(self, mode: Literal["rb"]) -> IO[bytes]: ...


class HasLines(Protocol):
    def readline(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class Mark:
    """A place between two lines of a file: how many lines, and where it is not compressed bytes, are before it."""

    lines: int = 0
    bytes: int = 0


START = Mark()


def name_of(path: Location) -> str:
    """As it is called in messages."""
    return "stdin" if path == STDIN else str(path)


def read_lines(path: Location, on_bytes: Callable[[int], None] | None = None, start: Mark = START) -> Iterator[bytes]:
    """Yield each line after `start` as soon as it has come, with its `\\n` and without a byte-order mark.

    Before each, `on_bytes` hears how many bytes of the file on disk have been read; of a pipe, 0.
    """
    for number, (line, position) in enumerate(_read(path, start), start.lines):
        if on_bytes is not None:
            on_bytes(position)
        if number == 0:
            _refuse_others(line, path)
        yield line.removeprefix(BOM_UTF8) if number == 0 else line


def _refuse_others(first: bytes, path: Location) -> None:
    """Raise `NoText` before each line is told to be none."""
    if first.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise NoText(f"`{name_of(path)}` is UTF-16", hint="`iconv -f utf-16 -t utf-8` makes UTF-8 of it")
    for start, what in NO_TEXT.items():
        if first.startswith(start):
            raise NoText(f"`{name_of(path)}` is no text, but {what}", hint="turn it into text first")


def read_whole(path: Location) -> bytes:
    """Read a file that makes sense as a whole alone; raise `SqbertError` before it fills the memory."""
    lines, size = [], 0
    for line in read_lines(path):
        lines.append(line)
        size += len(line)
        if size > MOST_BYTES:
            raise SqbertError(
                f"`{name_of(path)}` has more than {MOST_BYTES:,} bytes, and must be read as a whole",
                hint="break it into several files",
            )
    return b"".join(lines)


def read_text(path: Path) -> str:
    """Read a whole file as it is, line ends too; raise `SqbertError` if it is empty or not UTF-8."""
    try:
        text = read_whole(path).decode()
    except UnicodeDecodeError as error:
        raise SqbertError(f"`{name_of(path)}` is {NOT_UNICODE}: byte {error.start}") from error
    if not text.strip():
        raise SqbertError(f"`{name_of(path)}` is empty")
    return text


def _read(path: Location, start: Mark) -> Iterator[tuple[bytes, int]]:
    # A generator of its own: errors of its callers cannot come up in here and be told as errors of the file.
    try:
        with _open(path) as raw, _decompress(raw, path) as file:
            is_file = raw.seekable()
            for line in _after(start, raw, _bounded(file, path), path):
                yield line, raw.tell() if is_file else 0
    except DAMAGE as error:
        raise SqbertError(f"`{path}` is damaged: {error}") from error
    except FileNotFoundError as error:
        raise SqbertError(f"`{path}` does not exist") from error
    except OSError as error:
        raise SqbertError(f"`{path}` cannot be read: {error.strerror or error}") from error


def _after(start: Mark, raw: IO[bytes], lines: Iterable[bytes], path: Location) -> Iterable[bytes]:
    if start.lines and path.suffix.lower() in COMPRESSED:  # what comes before has to be read
        return islice(lines, start.lines, None)
    if start.lines:
        raw.seek(start.bytes)
    return lines


def _bounded(file: HasLines, path: Location) -> Iterator[bytes]:
    """What is compressed, or comes from a pipe, may have a line without an end: memory shall."""
    while line := file.readline(MOST_BYTES + 1):
        if len(line) > MOST_BYTES:
            raise SqbertError(
                f"`{name_of(path)}` has a line of more than {MOST_BYTES:,} bytes", hint="is it text? break the line"
            )
        yield line


def _open(path: Location) -> AbstractContextManager[IO[bytes]]:
    if path != STDIN:
        return path.open("rb")
    if sys.stdin is None:
        raise SqbertError("standard input is closed", hint="name a file with `--input`")
    # Not `sys.stdin.buffer`: at exit Python wants its lock, which a thread that still waits for input would hold.
    return open(sys.stdin.fileno(), "rb", closefd=False)


def _decompress(raw: IO[bytes], path: Location) -> AbstractContextManager[HasLines]:
    match path.suffix.lower():
        case ".gz":
            return gzip.GzipFile(fileobj=raw)
        case ".xz":
            return lzma.LZMAFile(raw)
        case _:
            return nullcontext(raw)

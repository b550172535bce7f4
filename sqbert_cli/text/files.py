"""Reading lines: of a plain, gzip or xz file, or of standard input."""

from __future__ import annotations

import gzip
import lzma
import sys
import zlib
from codecs import BOM_UTF8
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO

from sqbert_cli.errors import SqbertError

STDIN = Path("-")
COMPRESSED = (".gz", ".xz")


def name_of(path: Path) -> str:
    """As it is called in messages."""
    return "stdin" if path == STDIN else str(path)


def read_lines(path: Path, on_bytes: Callable[[int], None] | None = None) -> Iterator[bytes]:
    """Yield each line as soon as it has come, with its `\\n` and without a byte-order mark.

    Before each, `on_bytes` hears how many bytes of the file on disk have been read; of a pipe, 0.
    """
    for index, (line, position) in enumerate(_read(path)):
        if on_bytes is not None:
            on_bytes(position)
        yield line.removeprefix(BOM_UTF8) if index == 0 else line


def read_text(path: Path) -> str:
    """Read a whole file as it is, line ends too; raise `SqbertError` if it is empty or not UTF-8."""
    try:
        text = b"".join(read_lines(path)).decode()
    except UnicodeDecodeError as error:
        raise SqbertError(f"`{name_of(path)}` is not UTF-8: {error.reason} at byte {error.start}") from error
    if not text.strip():
        raise SqbertError(f"`{name_of(path)}` is empty")
    return text


def _read(path: Path) -> Iterator[tuple[bytes, int]]:
    # A generator of its own: errors of its callers cannot come up in here and be told as errors of the file.
    try:
        with _open(path) as raw, _decompress(raw, path) as file:
            is_file = raw.seekable()
            for line in file:
                yield line, raw.tell() if is_file else 0
    except (gzip.BadGzipFile, lzma.LZMAError, zlib.error, EOFError) as error:
        raise SqbertError(f"`{path}` is damaged: {error}") from error
    except FileNotFoundError as error:
        raise SqbertError(f"`{path}` does not exist") from error
    except OSError as error:
        raise SqbertError(f"`{path}` cannot be read: {error.strerror}") from error


def _open(path: Path) -> AbstractContextManager[IO[bytes]]:
    if path != STDIN:
        return path.open("rb")
    if sys.stdin is None:
        raise SqbertError("standard input is closed", hint="name a file with `--input`")
    # Not `sys.stdin.buffer`: at exit Python wants its lock, which a thread that still waits for input would hold.
    return open(sys.stdin.fileno(), "rb", closefd=False)


def _decompress(raw: IO[bytes], path: Path) -> AbstractContextManager[Iterable[bytes]]:
    match path.suffix.lower():
        case ".gz":
            return gzip.GzipFile(fileobj=raw)
        case ".xz":
            return lzma.LZMAFile(raw)
        case _:
            return nullcontext(raw)

"""Opening files: plain, gzip or xz, or standard input."""

from __future__ import annotations

import gzip
import lzma
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from sqbert_cli.errors import SqbertError

STDIN = Path("-")


@contextmanager
def open_bytes(path: Path) -> Iterator[IO[bytes]]:
    """Open for reading; what goes wrong, then or while reading, is told by the file's name."""
    try:
        if path == STDIN:
            yield sys.stdin.buffer
            return
        opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
        with cast("IO[bytes]", opener(path, "rb")) as file:
            yield file
    except (gzip.BadGzipFile, lzma.LZMAError, EOFError) as error:
        raise SqbertError(f"`{path}` is damaged: {error}") from error
    except FileNotFoundError as error:
        raise SqbertError(f"`{path}` does not exist") from error
    except (IsADirectoryError, PermissionError) as error:
        raise SqbertError(f"`{path}` cannot be read: {error.strerror}") from error

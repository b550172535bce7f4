"""Files that are whole or absent."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from glob import escape
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp
from typing import IO, Any

from sqbert_cli.errors import SqbertError

UNFINISHED = ".part"
"""How the names of files end that are being written."""
ABANDONED_SECONDS = 24 * 3600
"""What nobody has written to for so long is a killed process's."""
MAX_TEXT = 64 << 20
"""Bytes of a file of JSON or of words: far above any of a model, below what would fill a memory."""


@contextmanager
def whole_file(path: Path, *, is_new: bool = False) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name when it is complete, or not at all.

    With `is_new` a file that another process has made in the meantime stays, and `FileExistsError` is raised.
    """
    if path.exists() and not path.is_file():
        raise SqbertError(f"`{path}` is no plain file", hint="name a file")
    path, temporary = _behind_link(path), ""
    try:
        descriptor, temporary = mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=UNFINISHED)
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        os.chmod(temporary, _mode(path))
        (_link if is_new else os.replace)(temporary, path)
    except BaseException as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno and str(error.filename or UNFINISHED).endswith(UNFINISHED):
            error.filename = str(path)  # what the user knows it as
        raise


def _link(temporary: str, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: the last one stays
        os.replace(temporary, path)
    else:
        os.unlink(temporary)


def sweep(folder: Path, seconds: float = 0.0, name: str = "") -> None:
    """Remove what killed processes left unfinished in a folder of our own; in a shared one, after so many seconds.

    With `name` only what was to be called so.
    """
    for left in folder.glob(f".{escape(name)}*{UNFINISHED}"):
        with suppress(OSError):  # another process was faster, or it is another user's
            if time.time() - left.stat().st_mtime >= seconds:
                shutil.rmtree(left) if left.is_dir() else left.unlink()


@contextmanager
def whole_path(path: Path) -> Iterator[Path]:
    """Give a place for a file or a folder, which then moves to `path` or is gone; an empty folder there gives way."""
    path = path.resolve() if path.is_dir() else Path(os.path.abspath(_behind_link(path)))
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise SqbertError(f"`{path}` is neither a file nor a folder", hint="name another")
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, ABANDONED_SECONDS, f"{path.name}.")
    prefix = f".{path.name}."
    try:
        with TemporaryDirectory(dir=path.parent, prefix=prefix, suffix=UNFINISHED) as temporary:
            place = Path(temporary) / path.name
            yield place
            if path.is_file():
                os.chmod(place, _mode(path))
            os.replace(place, path)
    except OSError as error:
        own = str(path.parent / prefix)
        if error.errno and str(error.filename or own).startswith(own):
            error.filename = str(path)  # what the user knows it as
        raise


def check_size(file: Path) -> None:
    """Raise `SqbertError` before a file is read whole that is too large for it."""
    if (size := file.stat().st_size) > MAX_TEXT:
        raise SqbertError(f"`{file}` has {size:,} bytes, at most {MAX_TEXT:,} are read")


def digest_of(file: Path, digest: Any) -> str:
    """Feed a file to a hash of `hashlib`, in constant memory. Returns its hexadecimal digits."""
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return str(digest.hexdigest())


def sha256_of(file: Path) -> str:
    return digest_of(file, sha256())


def _behind_link(path: Path) -> Path:
    """What is written is what a link leads to, not the link."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


def _mode(path: Path) -> int:
    """Who may read a file: those who may now, or whom the user lets read new ones."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """What is no character, as in the name of a file that the locale cannot read, is written as `\\udcc3`."""
    with whole_file(path) as file:
        file.write((json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def write_rows(path: Path, rows: Iterable[Sequence[float]], width: int) -> None:
    """Write a NumPy file of float32, row by row: however many, in constant memory."""
    import numpy as np
    from numpy.lib import format as npy

    sweep(path.parent, ABANDONED_SECONDS, f"{path.name}.")
    with whole_file(path) as file:

        def write_header(count: int) -> None:
            header = {"descr": "<f4", "fortran_order": False, "shape": (count, width)}
            npy.write_array_header_1_0(file, header)

        write_header(0)  # with room for a larger count
        count = 0
        for row in rows:
            file.write(np.asarray(row, "<f4").tobytes())
            count += 1
        file.seek(0)
        write_header(count)
        file.seek(0, os.SEEK_END)

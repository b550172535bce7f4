"""Files of a disk and objects of S3 under one name: listed, opened, written whole."""

from __future__ import annotations

import io
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal
from uuid import uuid4

from sqbert_cli import files
from sqbert_cli.errors import SqbertError
from sqbert_cli.text.files import Location

S3 = "s3://"
S3_BYTES_AT_ONCE = 4 << 20
"""Of each request: its answer takes as long to begin as these take to come."""


@dataclass(frozen=True)
class InputFile:
    """A file and what tells whether it is still the same."""

    name: str
    size: int
    modified: int
    """Nanoseconds since 1970."""


@dataclass(frozen=True)
class Stored:
    """An object of S3, opened as a `Path` is."""

    uri: str

    @property
    def suffix(self) -> str:
        return PurePosixPath(self.uri).suffix

    def open(self, mode: Literal["rb"]) -> IO[bytes]:
        with explained(self.uri):
            return io.BufferedReader(_s3(self.uri).open_input_file(_key(self.uri)), S3_BYTES_AT_ONCE)

    def __str__(self) -> str:
        return self.uri


def is_stored(name: str) -> bool:
    return name.startswith(S3)


def location(name: str) -> Location:
    return Stored(name) if is_stored(name) else Path(name)


@contextmanager
def whole(name: str, *, is_new: bool = False) -> Iterator[IO[bytes]]:
    """Open what appears under its name when it is complete, or not at all.

    With `is_new` what is there stays, and `FileExistsError` is raised; on S3 the last one stays.
    """
    if not is_stored(name):
        with files.whole_file(Path(name), is_new=is_new) as file:
            yield file
        return
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        with explained(name):
            _upload(file, name)


def make_folder(name: str) -> None:
    if is_stored(name):
        return
    try:
        Path(name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SqbertError(f"`{name}` cannot be made: {error.strerror}", hint="name another --output") from error


def names_in(folder: str) -> set[str]:
    """Names of the files in a folder, not of those further below."""
    if not is_stored(folder):
        return {path.name for path in Path(folder).glob("*") if not path.is_dir()} if Path(folder).is_dir() else set()
    return {PurePosixPath(file.name).name for file in stored_below(folder, recursive=False)}


def read_bytes(name: str) -> bytes:
    with location(name).open("rb") as file:
        return file.read()


def sweep(folder: str, seconds: float) -> None:
    """Remove what dead processes left unfinished: what nobody has written to for so long."""
    if not is_stored(folder):
        files.sweep(Path(folder), seconds)
        return
    for file in stored_below(folder, recursive=False):
        is_old = time.time() - file.modified / 1e9 >= seconds
        if is_old and PurePosixPath(file.name).match(f".*{files.UNFINISHED}"):
            with explained(file.name), suppress(FileNotFoundError):  # another process was faster
                _s3(file.name).delete_file(_key(file.name))


@contextmanager
def explained(uri: str) -> Iterator[None]:
    """Say what S3 answered in one line."""
    try:
        yield
    except (OSError, ValueError) as error:  # `pyarrow` has no more of kinds
        reason = " ".join(str(error).split())
        raise SqbertError(
            f"`{uri}`: {reason}",
            hint="check the name, the keys (`AWS_ACCESS_KEY_ID` ...), `AWS_REGION` and `AWS_ENDPOINT_URL`",
        ) from error


def stored_below(uri: str, recursive: bool) -> Iterator[InputFile]:
    from pyarrow import fs

    with explained(uri):
        itself = _s3(uri).get_file_info(_key(uri))
        selector = fs.FileSelector(_key(uri), allow_not_found=True, recursive=recursive)
        infos = [itself] if itself.type == fs.FileType.File else _s3(uri).get_file_info(selector)
    for info in infos:
        if info.type == fs.FileType.File:
            yield InputFile(f"{S3}{info.path}", info.size, info.mtime_ns)


def _upload(file: IO[bytes], name: str) -> None:
    """Under another key first: of a stream that an error cuts short, what it had becomes an object all the same."""
    store, path = _s3(name), PurePosixPath(_key(name))
    temporary = str(path.with_name(f".{path.name}.{uuid4().hex}{files.UNFINISHED}"))
    try:
        with store.open_output_stream(temporary, compression=None) as stream:
            shutil.copyfileobj(file, stream, 1 << 20)
        store.move(temporary, str(path))
    except BaseException:
        with suppress(OSError):
            store.delete_file(temporary)
        raise


def _key(uri: str) -> str:
    return uri.removeprefix(S3).rstrip("/")


@lru_cache
def _bucket(name: str) -> Any:
    from pyarrow import fs

    filesystem, _ = fs.FileSystem.from_uri(f"{S3}{name}")  # asks for the region of the bucket where none is set
    return filesystem


def _s3(uri: str) -> Any:
    bucket, *_ = _key(uri).split("/")
    if not bucket:
        raise SqbertError(f"`{uri}` names no bucket", hint="expected `s3://bucket/key`")
    return _bucket(bucket)

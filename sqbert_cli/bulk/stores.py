"""Files of a disk and objects of S3 under one name: found, opened, written whole."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from glob import glob, has_magic
from pathlib import Path, PurePosixPath
from typing import IO, Any, Literal

from sqbert_cli.errors import SqbertError
from sqbert_cli.files import whole_file
from sqbert_cli.text.files import COMPRESSED, Location
from sqbert_cli.text.readers import ENDINGS

S3 = "s3://"
KNOWN = {*ENDINGS, ".txt"}


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
        with told(self.uri):
            return io.BufferedReader(_s3(self.uri).open_input_file(_key(self.uri)))

    def __str__(self) -> str:
        return self.uri


def is_stored(name: str) -> bool:
    return name.startswith(S3)


def location(name: str) -> Location:
    return Stored(name) if is_stored(name) else Path(name)


def find_inputs(wanted: str, any_ending: bool) -> list[InputFile]:
    """Return the files of a folder and those below, of a pattern, or the one file; raise `SqbertError` for none.

    Of a folder hidden files are left out and, unless `any_ending`, those that do not look like records.
    """
    found, in_folder = _stored_files(wanted) if is_stored(wanted) else _local_files(wanted)
    files = [file for file in found if file.size and not (in_folder and _is_other(file.name, wanted, any_ending))]
    if not files:
        what = "has no records: no file of it has any bytes" if found and not in_folder else "has no files of records"
        raise SqbertError(
            f"`{wanted}` {what}", hint=f"files end in {', '.join(sorted(KNOWN))}, or say what they are: --input-format"
        )
    return sorted(files, key=lambda file: file.name)


@contextmanager
def whole(name: str) -> Iterator[IO[bytes]]:
    """Open what appears under its name when it is complete, or not at all."""
    if not is_stored(name):
        with whole_file(Path(name)) as file:
            yield file
        return
    with tempfile.TemporaryFile() as file:
        yield file
        file.seek(0)
        with told(name):  # an object is there once its stream is closed
            stream = _s3(name).open_output_stream(_key(name), compression=None)
            shutil.copyfileobj(file, stream, 1 << 20)
            stream.close()


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
    return {PurePosixPath(file.name).name for file in _stored_below(folder, recursive=False)}


def read_bytes(name: str) -> bytes:
    with location(name).open("rb") as file:
        return file.read()


def remove(name: str) -> None:
    if is_stored(name):
        with told(name):
            _s3(name).delete_file(_key(name))
    else:
        Path(name).unlink(missing_ok=True)


@contextmanager
def told(uri: str) -> Iterator[None]:
    """Say what S3 answered in one line."""
    try:
        yield
    except (OSError, ValueError) as error:  # `pyarrow` has no more of kinds
        reason = " ".join(str(error).split())
        raise SqbertError(
            f"`{uri}`: {reason}",
            hint="check the name, the keys (`AWS_ACCESS_KEY_ID` ...), `AWS_REGION` and `AWS_ENDPOINT_URL`",
        ) from error


def _local_files(wanted: str) -> tuple[list[InputFile], bool]:
    folder = Path(wanted)
    if folder.is_dir():
        return [_local(path) for path in folder.rglob("*") if path.is_file()], True
    names = [wanted] if folder.exists() else glob(wanted, recursive=True)
    if not names:
        raise SqbertError(f"`{wanted}` does not exist" if not has_magic(wanted) else f"no file is named as `{wanted}`")
    return [_local(Path(name)) for name in names if Path(name).is_file()], False


def _local(path: Path) -> InputFile:
    values = path.stat()
    return InputFile(str(path.absolute()), values.st_size, values.st_mtime_ns)


def _stored_files(wanted: str) -> tuple[list[InputFile], bool]:
    if not has_magic(wanted):
        return list(_stored_below(wanted, recursive=True)), True
    folder = wanted[: wanted.rindex("/", 0, next(at for at, letter in enumerate(wanted) if letter in "*?["))]
    return [file for file in _stored_below(folder, recursive=True) if fnmatchcase(file.name, wanted)], False


def _stored_below(uri: str, recursive: bool) -> Iterator[InputFile]:
    from pyarrow import fs

    with told(uri):
        itself = _s3(uri).get_file_info(_key(uri))
        selector = fs.FileSelector(_key(uri), allow_not_found=True, recursive=recursive)
        infos = [itself] if itself.type == fs.FileType.File else _s3(uri).get_file_info(selector)
    for info in infos:
        if info.type == fs.FileType.File:
            yield InputFile(f"{S3}{info.path}", info.size, info.mtime_ns)


def _is_other(name: str, folder: str, any_ending: bool) -> bool:
    if name == folder:
        return False
    root = folder if is_stored(folder) else Path(folder).absolute()
    path = PurePosixPath(name).relative_to(PurePosixPath(root))
    bare = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return any(part.startswith((".", "_")) for part in path.parts) or not (any_ending or bare.suffix.lower() in KNOWN)


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

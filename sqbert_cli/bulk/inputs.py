"""What a job is to read: the files of a folder, of a pattern, or one, of a disk or of S3."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from glob import glob, has_magic
from pathlib import Path, PurePosixPath

from sqbert_cli.bulk.stores import InputFile, is_stored, stored_below
from sqbert_cli.errors import SqbertError
from sqbert_cli.text.files import COMPRESSED
from sqbert_cli.text.readers import ENDINGS

KNOWN = {*ENDINGS, ".txt"}
HIDDEN = (".", "_")
UNMATCHED = "no file is named as `{}`"


def find_inputs(wanted: str, any_ending: bool) -> tuple[list[InputFile], list[str]]:
    """Return the files of a folder and those below, of a pattern, or the one file; raise `SqbertError` for none.

    Of a folder hidden files (`.`, `_`) are left out and, unless `any_ending`, those that do not look like records,
    whose names come beside.
    """
    found, in_folder = _stored_files(wanted) if is_stored(wanted) else _local_files(wanted)
    found = [file for file in found if not (in_folder and _is_hidden(file.name, wanted))]
    other = {file.name for file in found if in_folder and not any_ending and _is_other(file.name, wanted)}
    files = [file for file in found if file.size and file.name not in other]
    if not files:
        what = "has no records: no file of it has any bytes" if found and not in_folder else "has no files of records"
        raise SqbertError(
            f"`{wanted}` {what}", hint=f"files end in {', '.join(sorted(KNOWN))}, or say what they are: --input-format"
        )
    return sorted(files, key=lambda file: file.name), sorted(other)


def _local_files(wanted: str) -> tuple[list[InputFile], bool]:
    folder = Path(wanted)
    if folder.is_dir():
        return [_local(path) for path in _below(folder) if path.is_file()], True
    names = [wanted] if folder.exists() else _matching(wanted)
    if not names:
        raise SqbertError(f"`{wanted}` does not exist" if not has_magic(wanted) else UNMATCHED.format(wanted))
    return [_local(Path(name)) for name in names if Path(name).is_file()], False


def _below(folder: Path) -> Iterator[Path]:
    """All that is in a folder and in those below, links too, each folder once; hidden ones are not entered."""
    seen: set[str] = set()
    for place, folders, names in os.walk(folder, onerror=_refuse, followlinks=True):
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        folders[:] = [name for name in folders if not name.startswith(HIDDEN)]
        yield from (Path(place, name) for name in names)


def _refuse(error: OSError) -> None:
    """What cannot be listed is not left out in silence."""
    raise error


def _matching(pattern: str) -> list[str]:
    """Each file by its shortest name: two `**`, or a link to a folder above, find it by many."""
    names = sorted(glob(pattern, recursive=True), key=lambda name: (-len(name), name))
    return list({(os.path.realpath(os.path.dirname(name)), os.path.basename(name)): name for name in names}.values())


def _local(path: Path) -> InputFile:
    values = path.stat()
    return InputFile(str(path.absolute()), values.st_size, values.st_mtime_ns)


def _stored_files(wanted: str) -> tuple[list[InputFile], bool]:
    there = list(stored_below(wanted, recursive=True))  # letters of patterns may be those of a name
    if there or not has_magic(wanted):
        return there, True
    folder = wanted[: wanted.rindex("/", 0, next(at for at, letter in enumerate(wanted) if letter in "*?["))]
    pattern = wanted.split("/")
    found = [file for file in stored_below(folder, recursive=True) if _matches(file.name.split("/"), pattern)]
    if not found:
        raise SqbertError(UNMATCHED.format(wanted))
    return found, False


def _matches(name: Sequence[str], pattern: Sequence[str]) -> bool:
    """As on a disk: `**` is any folders or none, nothing else crosses a `/`; what is hidden has to be named."""
    if not name or not pattern:
        return not name and all(one == "**" for one in pattern)
    fits = fnmatchcase(name[0], pattern[0]) and (pattern[0].startswith(".") or not name[0].startswith("."))
    if pattern[0] == "**":
        return _matches(name, pattern[1:]) or (fits and _matches(name[1:], pattern))
    return fits and _matches(name[1:], pattern[1:])


def _is_hidden(name: str, folder: str) -> bool:
    root = folder if is_stored(folder) else Path(folder).absolute()
    return any(part.startswith(HIDDEN) for part in PurePosixPath(name).relative_to(PurePosixPath(root)).parts)


def _is_other(name: str, folder: str) -> bool:
    path = PurePosixPath(name)
    bare = path.with_suffix("") if path.suffix.lower() in COMPRESSED else path
    return name != folder and bare.suffix.lower() not in KNOWN

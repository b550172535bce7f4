"""Files that are whole or absent."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import IO, Any


@contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that appears under its name when it is complete, or not at all."""
    descriptor, temporary = mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    with whole_file(path) as file:
        file.write((json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode())


def write_rows(path: Path, rows: Iterable[Sequence[float]], width: int) -> None:
    """Write a NumPy file of float32, row by row: however many, in constant memory."""
    import numpy as np
    from numpy.lib import format as npy

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

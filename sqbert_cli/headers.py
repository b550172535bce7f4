"""What the head of a `.safetensors` file says of its tensors, believed only where it fits the file. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from sqbert_cli.errors import SqbertError

ITEM_BYTES = {
    "F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U64": 8, "U32": 4, "U16": 2,
    "U8": 1, "BOOL": 1, "F8_E4M3": 1, "F8_E5M2": 1,
}  # fmt: skip
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
MAX_HEADER, MAX_DIMENSIONS = 16 << 20, 8


@dataclass(frozen=True)
class Stored:
    """A tensor in a file, and the bytes of the file's data that are its own."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    @property
    def count(self) -> int:
        return prod(self.shape)


def read_header(file: Path) -> list[Stored]:
    """Return the tensors in the order of their data. Raises `SqbertError` where header and file contradict."""
    size = file.stat().st_size
    try:
        with file.open("rb") as opened:
            length = int.from_bytes(opened.read(8), "little")
            if not 0 < length <= min(size - 8, MAX_HEADER):
                raise ValueError(f"it says of itself that its header has {length:,} bytes")
            values = json.loads(opened.read(length))
        tensors = sorted(_tensors(values), key=lambda tensor: (tensor.start, tensor.end))
        _check(tensors, size - 8 - length)
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise unreadable(file, str(error)) from error
    return tensors


def unreadable(file: Path, reason: str) -> SqbertError:
    lines = reason.splitlines() or ["no reason is given"]
    return SqbertError(
        f"`{file}` cannot be read as weights: {lines[0]}",
        hint="the file is damaged, or holds more than tensors (which is refused: it could run code)",
    )


def _tensors(values: Any) -> Iterator[Stored]:
    if not isinstance(values, dict):
        raise ValueError("its header is not a JSON object")
    for name, entry in values.items():
        if name == "__metadata__":
            continue
        numbers = [*entry["shape"], *entry["data_offsets"]]
        if len(entry["shape"]) > MAX_DIMENSIONS or not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError(f"the tensor {name!r} has no shape or place")
        if entry["dtype"] not in ITEM_BYTES:
            raise ValueError(f"the tensor {name!r} has numbers of an unknown kind, {entry['dtype']!r}")
        start, end = entry["data_offsets"]
        yield Stored(name, entry["dtype"], tuple(entry["shape"]), start, end)


def _check(tensors: list[Stored], size: int) -> None:
    """Each byte of the data is of one tensor."""
    reached = 0
    for tensor in tensors:
        if tensor.start != reached:
            raise ValueError(f"the tensor {tensor.name!r} overlaps another, or leaves a gap")
        if tensor.count * ITEM_BYTES[tensor.dtype] != tensor.end - tensor.start:
            raise ValueError(f"the tensor {tensor.name!r} has another size than its shape")
        reached = tensor.end
    if reached != size:
        raise ValueError(f"its tensors have {reached:,} bytes, the file {size:,}")

"""The weights of a folder, opened as files that may be damaged, or made to do harm: no code runs, memory is bounded."""

from __future__ import annotations

import os
import pickle
from collections.abc import Iterable
from errno import EINVAL
from pathlib import Path
from zipfile import ZIP_STORED, ZipFile

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import Tensor

from sqbert_cli.errors import SqbertError
from sqbert_cli.folder import weights_file
from sqbert_cli.headers import read_header, unreadable
from sqbert_cli.model.weights import State

# What a damaged file of ours makes safetensors and the restricted unpickler raise.
UNREADABLE = (
    SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError, TypeError, LookupError, AttributeError,
)  # fmt: skip
ARCHIVE = b"PK\x03\x04"
SHARED = 2
"""Tensors may have their data in common, as embeddings and the decoder of words have."""


def read_tensors(folder: Path) -> State:
    """Return the tensors of `model.safetensors`, else of `pytorch_model.bin`, in the precision in which they lie there.

    They are the file, mapped into memory, for as long as they live. Raises `SqbertError`.
    """
    file = weights_file(folder)
    if file.suffix == ".safetensors":
        read_header(file)
    try:
        state = load_safetensors(file) if file.suffix == ".safetensors" else _unpickle(file)
    except Exception as error:  # the unpickler raises what the pickle leads it to
        if not is_damage(error):
            raise
        raise unreadable(file, str(error) or type(error).__name__) from error
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise SqbertError(f"`{file}` is not a table of tensors by name")
    for name, tensor in state.items():
        if not _is_plain(tensor):
            raise unreadable(file, f"the tensor {name!r} is larger than its data, or of a kind that models do not have")
    if _promised(state.values()) > SHARED * _stored(state.values()):
        raise unreadable(file, "its tensors share their data, and are larger than it many times over")
    return {str(name): tensor for name, tensor in state.items()}


def is_damage(error: Exception) -> bool:
    """Whether a file is to blame, and not a disk: a damaged archive may lead torch to a place that cannot be."""
    return not isinstance(error, OSError) or error.errno == EINVAL


def load_safetensors(file: Path) -> State:
    return load_file(file) if _can_be_named(file) else load(file.read_bytes())


def _can_be_named(file: Path) -> bool:
    """Whether what is no Python finds it by the name that it has in Python, which depends on the locale."""
    return os.fsencode(file) == str(file).encode("utf-8", "replace")


def _unpickle(file: Path) -> object:
    with file.open("rb") as opened:
        is_archive = opened.read(len(ARCHIVE)) == ARCHIVE
        if is_archive:
            _check_archive(file)
        opened.seek(0)
        is_mapped = is_archive and _can_be_named(file)
        return torch.load(file if is_mapped else opened, map_location="cpu", weights_only=True, mmap=is_mapped)


def _check_archive(file: Path) -> None:
    """Torch keeps its tensors as they are; what would grow when it is opened is not torch's."""
    with ZipFile(file) as archive:
        entries = archive.infolist()
    if any(entry.compress_type != ZIP_STORED for entry in entries):
        raise ValueError("it is compressed, as torch never does")
    if sum(entry.file_size for entry in entries) > file.stat().st_size:
        raise ValueError("its parts are larger than the whole")


def _is_plain(tensor: Tensor) -> bool:
    """A table of numbers, all of which are there: a stride of 0 would make any number of a single one."""
    if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized or tensor.is_complex():
        return False
    return _promised([tensor]) <= _stored([tensor])


def _promised(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _stored(tensors: Iterable[Tensor]) -> int:
    storages = [tensor.untyped_storage() for tensor in tensors]
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())

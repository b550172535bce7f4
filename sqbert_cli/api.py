"""What a program calls, and the commands too: `load` a model, then ask it."""

from __future__ import annotations

from os import PathLike, fspath

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.engines.packed import pack
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import DeviceName, DtypeName
from sqbert_cli.model.device import choose_device, choose_dtype, use_threads
from sqbert_cli.models import load_checkpoint
from sqbert_cli.predict.answers import find_answers
from sqbert_cli.predict.any_labels import classify_any
from sqbert_cli.predict.entities import find_entities
from sqbert_cli.predict.masks import fill_masks
from sqbert_cli.predict.texts import classify
from sqbert_cli.predict.vectors import embed
from sqbert_cli.records import BadRecord, Record

__all__ = [
    "BadRecord", "Record", "SqbertError", "classify", "classify_any", "embed", "fill_masks", "find_answers",
    "find_entities", "load",
]  # fmt: skip


def load(
    name: str | PathLike[str] | None = None,
    *,
    device: DeviceName = "auto",
    dtype: DtypeName = "auto",
    threads: int | None = None,
    offline: bool = False,
) -> Checkpoint:
    """Load a model, ready to answer: the shipped one, a folder, or a hub id (`org/name`, `org/name@revision`).

    On a processor its layers are packed for that alone (`engines/packed.py`), and cannot be saved, moved or trained:
    what does that begins with `models.load_checkpoint`.
    """
    use_threads(threads)
    place = choose_device(device)
    checkpoint = load_checkpoint(None if name is None else fspath(name), offline=offline)
    checkpoint.network.to(place, choose_dtype(dtype, place)).eval()
    pack(checkpoint.network.transformer)
    return checkpoint

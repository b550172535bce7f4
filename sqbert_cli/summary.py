"""What there is to be known of a model without reading its weights: from JSON and headers. Needs no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqbert_cli.errors import SqbertError
from sqbert_cli.folder import read_config, read_heads, read_length, read_object, read_training, weights_file
from sqbert_cli.headers import DTYPES, Stored, read_header
from sqbert_cli.model.config import KIND_WORDS, HeadConfig, SqueezeBertConfig
from sqbert_cli.model.names import IGNORED, to_reference
from sqbert_cli.places import hub_name, pulled_models, shipped_models

ORIGIN_FILE, CARD_FILE = "origin.json", "README.md"
MAX_CARD = 1 << 16
MAX_SCORE = 1e9
FRONT_MATTER = re.compile(r"---\n(.*?)\n---\n", re.DOTALL)
LICENSE = re.compile(r"^license: *[\"']?([\w.+ -]+)", re.MULTILINE)


@dataclass(frozen=True)
class Place:
    """A model's folder, what it is called, and whether it was shipped or pulled."""

    name: str
    folder: Path
    origin: str = "folder"


def all_models(folders: Iterable[str]) -> Iterator[Place]:
    """Yield the shipped models, the pulled ones, and those in `folders`."""
    for name, folder in shipped_models().items():
        yield Place(name, folder, "shipped")
    for pulled in pulled_models():
        yield Place(pulled.name, pulled.folder, "pulled")
    for name in folders:
        yield Place(name, Path(name))


def place_of(name: str, folder: Path) -> Place:
    """Return the place of a model that was found by name."""
    if shipped_models().get(name) == folder:
        return Place(name, folder, "shipped")
    return Place(name, folder, "pulled" if hub_name(name) and (folder / ORIGIN_FILE).is_file() else "folder")


def summary(place: Place) -> dict[str, Any]:
    """Return what a folder says of its model. A damaged one has its reason under `problem`."""
    try:
        return read_summary(place)
    except SqbertError as error:
        problem = error.message
    except OSError as error:
        problem = f"{error.strerror}: `{error.filename}`"
    return {"name": place.name, "folder": str(place.folder), "origin": place.origin, "problem": problem}


def origin(place: Place) -> dict[str, Any]:
    """Where a model is from: `origin`, `commit`, `license` and `card`, the last three `None` where that is not told."""
    came, card = read_origin(place.folder), place.folder / CARD_FILE
    return {
        "origin": place.origin,
        "commit": came.get("commit"),
        "license": _license(card) if card.is_file() else None,
        "card": str(card) if card.is_file() else None,
    }


def read_origin(folder: Path) -> dict[str, Any]:
    """From which repository and commit of a hub a model was converted, where it was."""
    file = folder / ORIGIN_FILE
    return read_object(file) if file.is_file() else {}


def head_fields(heads: Iterable[HeadConfig], positions: int) -> list[dict[str, Any]]:
    return [
        {
            "name": head.name,
            "kind": head.kind,
            "answers": KIND_WORDS[head.kind],
            "labels": list(head.labels),
            "max_length": min(head.max_length or positions, positions),
        }
        for head in heads
    ]


def training_fields(folder: Path) -> dict[str, Any]:
    """How well a model does, and how it was made, where its `training.json` tells."""
    training = read_training(folder)
    scores = training.get("scores")
    return {
        "scores": {name: _metrics(each) for name, each in scores.items()} if isinstance(scores, dict) else {},
        "made_by": {key: training[key] for key in ("command", "task", "model", "teacher") if training.get(key)},
    }


def read_summary(place: Place) -> dict[str, Any]:
    """As `summary`; raises `SqbertError`, or `OSError`, where a folder is damaged."""
    values = read_config(place.folder)
    config, file = SqueezeBertConfig.from_dict(values), weights_file(place.folder)
    stored = read_stored(file)
    names = [to_reference(tensor.name) for tensor in stored]
    parameters = sum(tensor.count for tensor in stored if not IGNORED.search(tensor.name))
    return {
        "name": place.name,
        "folder": str(place.folder),
        **origin(place),
        "parameters": parameters or None,
        "bytes": file.stat().st_size,
        "dtype": dtype_of(stored),
        "heads": head_fields(read_heads(values, names, read_length(place.folder)), config.max_position_embeddings),
        **training_fields(place.folder),
    }


def read_stored(file: Path) -> list[Stored]:
    """A pickle is not opened for this."""
    return read_header(file) if file.suffix == ".safetensors" else []


def dtype_of(stored: Iterable[Stored]) -> str | None:
    """Of most numbers."""
    largest = max(stored, key=lambda tensor: tensor.count, default=None)
    return None if largest is None else DTYPES.get(largest.dtype, largest.dtype)


def _metrics(scores: object) -> dict[str, float]:
    metrics = scores.get("metrics") if isinstance(scores, Mapping) else None
    if not isinstance(metrics, Mapping):
        return {}
    return {str(name): value for name, value in metrics.items() if _is_score(value)}


def _is_score(value: object) -> bool:
    """No number that is endless, or none at all."""
    return isinstance(value, (int, float)) and abs(value) < MAX_SCORE


def _license(card: Path) -> str | None:
    """As the hub has it: in the card's front matter."""
    with card.open(encoding="utf-8", errors="replace") as opened:
        front = FRONT_MATTER.match(opened.read(MAX_CARD))
    found = LICENSE.search(front[1]) if front else None
    return found[1].strip() if found else None

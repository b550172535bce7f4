"""A model folder's JSON: how it is shaped, which heads it has, how it was made. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqbert_cli.errors import SqbertError
from sqbert_cli.files import check_size
from sqbert_cli.model.config import MIN_LENGTH, SIZE_LIMITS, HeadConfig, Scheme
from sqbert_cli.model.names import infer_heads

WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that a folder has
MAX_HEADS, MAX_LABELS = 100, 1_000_000
SCHEME = "tag_scheme"
"""In the config of a model that was converted for transformers, which does not heed it."""


def read_config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    if not file.is_file():
        raise SqbertError(
            f"`{folder}` is not a model folder: it has no `config.json`",
            hint="expected config.json, model.safetensors and tokenizer.json",
        )
    return read_object(file)


def read_training(folder: Path) -> dict[str, Any]:
    """How a model was trained, where its folder tells."""
    file = folder / "training.json"
    return read_object(file) if file.is_file() else {}


def weights_file(folder: Path) -> Path:
    """Raises `SqbertError` where there is none."""
    return folder / choose_weights(str(folder), lambda name: (folder / name).is_file())


def choose_weights(place: str, has: Callable[[str], bool]) -> str:
    """Return the name of the weights that a folder or a repository has. Raises `SqbertError` where it has none."""
    for name in WEIGHTS:
        if has(name):
            return name
    if any(has(f"{name}.index.json") for name in WEIGHTS):
        raise SqbertError(f"`{place}` has its weights in several files, which is not supported")
    raise SqbertError(f"`{place}` has no weights", hint="expected `model.safetensors` or `pytorch_model.bin`")


def read_object(file: Path) -> dict[str, Any]:
    """Read a JSON object. Raises `SqbertError` where it is none."""
    check_size(file)
    try:
        values = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise SqbertError(f"`{file}` is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise SqbertError(f"`{file}` is not a JSON object")
    return values


def read_tokenizer_values(folder: Path) -> dict[str, Any]:
    """What transformers keeps beside a tokenizer, where it does."""
    file = folder / "tokenizer_config.json"
    return read_object(file) if file.is_file() else {}


def read_length(folder: Path) -> int | None:
    """Tokens of a window, where transformers' settings name a number of them."""
    length = read_tokenizer_values(folder).get("model_max_length")
    return length if type(length) is int and MIN_LENGTH <= length <= SIZE_LIMITS["max_position_embeddings"] else None


def read_heads(
    values: Mapping[str, Any], names: Sequence[str], max_length: int | None = None
) -> tuple[HeadConfig, ...]:
    """Return the heads that a config names; of a folder that transformers wrote, those that its tensors tell."""
    try:
        if "heads" in values:
            return _own_heads(values["heads"])
        architecture = str((values.get("architectures") or [""])[0])
        id2label = values.get("id2label") or {index: f"LABEL_{index}" for index in range(_label_count(values))}
        labels = tuple(str(id2label[key]) for key in sorted(id2label, key=int))
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise SqbertError(f"config: the heads or their labels cannot be read: {error}") from error
    if "MultipleChoice" in architecture:
        raise SqbertError(f"config: `{architecture}` is not supported")
    if max_length and max_length >= values.get("max_position_embeddings", max_length):
        max_length = None
    inferred = infer_heads(names, architecture, labels, values.get("problem_type"))
    scheme: Scheme | None = "IOB2" if _is_iob2(values, labels) else None
    return tuple(
        replace(head, max_length=max_length, scheme=scheme if head.kind == "token" else None) for head in inferred
    )


def _is_iob2(values: Mapping[str, Any], labels: Sequence[str]) -> bool:
    """Whether a model that was converted for transformers has the tags still that it had."""
    return values.get(SCHEME) == "IOB2" and labels[:1] == ("O",) and all(tag[:2] in ("B-", "I-") for tag in labels[1:])


def _label_count(values: Mapping[str, Any]) -> int:
    count = values.get("num_labels", 2)
    if type(count) is not int or not 0 < count <= MAX_LABELS:
        raise ValueError(f"`num_labels` is {count!r}")
    return count


def _own_heads(heads: Mapping[str, Any]) -> tuple[HeadConfig, ...]:
    if len(heads) > MAX_HEADS:
        raise ValueError(f"there are {len(heads):,}, at most {MAX_HEADS} are supported")
    return tuple(_head(name, **head) for name, head in heads.items())


def _head(name: str, labels: Sequence[str] = (), **values: Any) -> HeadConfig:
    if isinstance(labels, str):
        raise TypeError(f"the labels of `{name}` are not a list")
    head = HeadConfig(name=name, labels=tuple(labels), **values)
    if head.kind in ("sequence", "token") and not labels:
        raise ValueError(f"`{name}` has no labels")
    return head

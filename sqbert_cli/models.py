"""From a model's name to the model: one that ships, a folder, or a repository of the hub (converted once)."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch

from sqbert_cli import hub
from sqbert_cli.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import sha256_of, whole_file, whole_path, write_json
from sqbert_cli.folder import read_config, read_training
from sqbert_cli.model.config import MODEL_TYPES
from sqbert_cli.model.weights import in_precision
from sqbert_cli.places import (
    DEFAULT_MODEL,
    HubName,
    hub_name,
    pulled_models,
    remove_pulled,
    shipped_models,
    sweep_pulled,
)
from sqbert_cli.summary import CARD_FILE, ORIGIN_FILE, head_fields, place_of, read_origin, read_summary
from sqbert_cli.text.fields import listed


def load_checkpoint(name: str | None = None, *, offline: bool = False) -> Checkpoint:
    """Load a model by name; None is the one that ships."""
    return read_checkpoint(find_model(name, offline=offline), name or DEFAULT_MODEL)


def find_model(name: str | None = None, *, offline: bool = False, any_family: bool = False) -> Path:
    """Return the folder of a model: a shipped name, a folder, or `org/name[@revision]` of the hub.

    Of the hub in our own format; with `any_family`, a model that has none stays as it was published.
    """
    shipped = shipped_models()
    if name is None:
        return _shipped_default(shipped)
    if folder := shipped.get(name):
        if (Path(name) / "config.json").is_file() and not folder.samefile(name):
            raise SqbertError(
                f"`{name}` ships with sqbert, and is a folder here", hint=f"the folder's name is `./{name}` too"
            )
        return folder
    if Path(name).is_dir():
        return Path(name)
    if Path(name).is_file():
        raise SqbertError(f"`{name}` is a file, not a model", hint="name the folder that holds it")
    if repository := hub_name(name):
        try:
            return _from_hub(repository, offline or hub.is_offline(), any_family)
        except SqbertError as error:
            hint = f"{_meant(name)}there is no folder of that name; {error.hint or ''}".rstrip("; ")
            raise SqbertError(error.message, hint=hint) from error
    raise _no_model(name, list(shipped))


def pull(name: HubName) -> Path:
    """Return the folder of a repository in our own format, fetched and converted anew where it is damaged."""
    sweep_pulled()
    folder = _from_hub(name, hub.is_offline())
    if not _is_intact(folder):
        source = hub.download(name.repo_id, revision=folder.name, offline=hub.is_offline())
        damaged = [one for one in pulled_models() if one.folder == folder]
        for one in damaged:
            remove_pulled(one)
        _convert(source, folder)
        for revision in {name.revision, *(known for one in damaged for known in one.revisions)}:
            _remember(replace(name, revision=revision), folder.name)
    return folder


def describe(name: str | None = None, *, offline: bool = False) -> dict[str, Any]:
    """Return what there is to be known of a model: its shape, parameters, bytes, heads and scores."""
    folder = find_model(name, offline=offline)
    checkpoint = read_checkpoint(folder, name or DEFAULT_MODEL)
    return read_summary(place_of(checkpoint.name, folder)) | {
        "parameters": sum(parameter.numel() for parameter in checkpoint.network.parameters()),
        "config": checkpoint.config.to_dict(),
        "heads": head_fields(checkpoint.heads, checkpoint.config.max_position_embeddings),
    }


def _shipped_default(shipped: Mapping[str, Path]) -> Path:
    if DEFAULT_MODEL not in shipped:
        raise SqbertError(
            f"the model `{DEFAULT_MODEL}` is missing from this installation",
            hint="install sqbert again, or name a model with `--model`",
        )
    return shipped[DEFAULT_MODEL]


def _no_model(name: str, shipped: list[str]) -> SqbertError:
    names = listed(shipped) or "none here"
    return SqbertError(
        f"no model `{name}`",
        hint=f"{_meant(name, shipped)}expected a shipped model ({names}), a folder, or `org/name` of the hub",
    )


def _meant(name: str, shipped: Sequence[str] = ()) -> str:
    folders = [str(config.parent) for config in Path(name).parent.glob("*/config.json")]
    close = get_close_matches(name, [*shipped, *folders], n=1)
    return f"did you mean `{close[0]}`? " if close else ""


def _from_hub(name: HubName, offline: bool, any_family: bool = False) -> Path:
    """Return a repository in our own format; converted once for each commit."""
    if offline and name.last_seen.is_file():  # without the hub's cache, which may have been emptied since
        commit = name.last_seen.read_text()
    else:
        commit = hub.find_commit(name.repo_id, revision=name.revision, offline=offline)
    if not (name.folder / commit).is_dir():
        source = hub.download(name.repo_id, revision=name.revision, offline=offline)
        if any_family and read_config(source).get("model_type") not in MODEL_TYPES:
            return source
        commit = source.name
        _convert(source, name.folder / commit)
    _remember(name, commit)
    return name.folder / commit


def _remember(name: HubName, commit: str) -> None:
    """Keep the commit of a branch or tag; one that was named itself needs no note."""
    if name.revision == commit:
        return
    if not name.last_seen.is_file() or name.last_seen.read_text() != commit:
        with suppress(OSError), whole_file(name.last_seen) as file:  # it is for later: the model is there
            file.write(commit.encode())


def _convert(source: Path, folder: Path) -> None:
    """Write `folder` whole or not at all; where another process was first, its folder stays."""
    checkpoint = read_checkpoint(source)
    try:
        with whole_path(folder) as ours:
            write_checkpoint(checkpoint, ours, lossless_dtype(checkpoint), read_training(source) or None)
            if (card := source / CARD_FILE).is_file():
                shutil.copyfile(card, ours / card.name)
            hashes = {file.name: sha256_of(file) for file in sorted(ours.iterdir())}
            write_json(
                ours / ORIGIN_FILE,
                {"repo_id": folder.parent.name.replace("--", "/", 1), "commit": folder.name, "sha256": hashes},
            )
    except OSError:
        if not folder.is_dir():
            raise


def _is_intact(folder: Path) -> bool:
    """Whether every file is as it was written."""
    try:
        hashes = read_origin(folder)["sha256"]
        return all(sha256_of(folder / name) == written for name, written in hashes.items())
    except (SqbertError, OSError, KeyError, AttributeError):
        return False


def lossless_dtype(checkpoint: Checkpoint) -> torch.dtype:
    """Half precision where it loses nothing, as for weights that came in it."""
    network = checkpoint.network
    pairs = zip(network.parameters(), in_precision(network, torch.float16).float().parameters(), strict=True)
    return torch.float16 if all(torch.equal(one, halved) for one, halved in pairs) else torch.float32

"""From a model's name to the model: one that ships, a folder, or a repository of the hub (converted once)."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import platformdirs
import torch

from sqbert_cli import hub
from sqbert_cli.checkpoint import KIND_WORDS, Checkpoint, read_checkpoint, read_config, read_training, write_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import whole_file

DEFAULT_MODEL = "sqbert-small"
HUB_NAME = re.compile(r"(?P<repo_id>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>[\w./-]+))?", re.ASCII)


def load_checkpoint(name: str | None = None, *, offline: bool = False) -> Checkpoint:
    """Load a model by name; None is the one that ships."""
    return read_checkpoint(find_model(name, offline=offline), name or DEFAULT_MODEL)


def find_model(name: str | None = None, *, offline: bool = False) -> Path:
    """Return the folder of a model: a shipped name, a folder, or `org/name[@revision]` of the hub."""
    shipped = shipped_models()
    if name is None:
        return _shipped_default(shipped)
    if folder := shipped.get(name):
        return folder
    if Path(name).is_dir():
        return Path(name)
    match = HUB_NAME.fullmatch(name)
    if match and ".." not in name and "--" not in match["repo_id"]:  # `--` is the slash in the cache's names
        return _from_hub(match["repo_id"], match["revision"], offline or hub.is_offline())
    raise _no_model(name, list(shipped))


def describe(name: str | None = None, *, offline: bool = False) -> dict[str, Any]:
    """Return what there is to be known of a model: its shape, parameters, bytes, heads and scores."""
    folder = find_model(name, offline=offline)
    checkpoint, training = read_checkpoint(folder, name or DEFAULT_MODEL), read_training(folder)
    files = [folder / file for file in ("model.safetensors", "pytorch_model.bin")]
    return {
        "name": checkpoint.name,
        "folder": str(folder),
        "parameters": sum(parameter.numel() for parameter in checkpoint.network.parameters()),
        "bytes": next(file for file in files if file.is_file()).stat().st_size,
        "dtype": read_config(folder).get("dtype", "float32"),
        "config": checkpoint.config.to_dict(),
        "heads": [
            {
                "name": head.name,
                "kind": head.kind,
                "answers": KIND_WORDS[head.kind],
                "labels": list(head.labels),
                "max_length": checkpoint.max_length(head),
            }
            for head in checkpoint.heads
        ],
        "scores": {split: scores["metrics"] for split, scores in training.get("scores", {}).items()},
        "made_by": {key: training[key] for key in ("command", "task", "model", "teacher") if training.get(key)},
    }


def shipped_models() -> dict[str, Path]:
    """Folders of the models in the package (in a checkout: beside it) by name."""
    package = Path(__file__).parent
    root = package / "weights" if (package / "weights").is_dir() else package.parent / "weights"
    return {config.parent.name: config.parent for config in sorted(root.glob("*/config.json"))}


def cache_folder() -> Path:
    """What can be fetched or computed again."""
    return Path(os.environ.get("SQBERT_CACHE") or platformdirs.user_cache_dir("sqbert"))


def _shipped_default(shipped: Mapping[str, Path]) -> Path:
    if DEFAULT_MODEL not in shipped:
        raise SqbertError(
            f"the model `{DEFAULT_MODEL}` is missing from this installation",
            hint="install sqbert again, or name a model with `--model`",
        )
    return shipped[DEFAULT_MODEL]


def _no_model(name: str, shipped: list[str]) -> SqbertError:
    folders = [str(config.parent) for config in Path(name).parent.glob("*/config.json")]
    close = get_close_matches(name, shipped + folders, n=1)
    question = f"did you mean `{close[0]}`? " if close else ""
    names = ", ".join(f"`{one}`" for one in shipped) or "none here"
    return SqbertError(
        f"no model `{name}`",
        hint=f"{question}expected a shipped model ({names}), a folder, or `org/name` of the hub",
    )


def _from_hub(repo_id: str, revision: str | None, offline: bool) -> Path:
    """Return a repository in our own format; converted once for each commit."""
    root = cache_folder() / "models" / repo_id.replace("/", "--")
    last_seen = root / f"{quote(revision or 'main', safe='')}.commit"
    if offline and last_seen.is_file():  # without the hub's cache, which may have been emptied since
        commit = last_seen.read_text()
    else:
        commit = hub.find_commit(repo_id, revision=revision, offline=offline)
    if not (root / commit).is_dir():
        source = hub.download(repo_id, revision=revision, offline=offline)
        commit = source.name
        _convert(source, root / commit)
    if not last_seen.is_file() or last_seen.read_text() != commit:
        with whole_file(last_seen) as file:
            file.write(commit.encode())
    return root / commit


def _convert(source: Path, folder: Path) -> None:
    """Write `folder` whole or not at all; where another process was first, its folder stays."""
    checkpoint = read_checkpoint(source)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".") as temporary:
        ours = Path(temporary) / folder.name
        write_checkpoint(checkpoint, ours, _dtype(checkpoint))
        if (card := source / "README.md").is_file():
            shutil.copyfile(card, ours / card.name)
        try:
            ours.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise


def _dtype(checkpoint: Checkpoint) -> torch.dtype:
    """Half precision where it loses nothing, as for weights that came in it."""
    tensors = checkpoint.network.state_dict().values()
    return torch.float16 if all(torch.equal(one, one.half().float()) for one in tensors) else torch.float32

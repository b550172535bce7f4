"""A model between our folders and those of transformers, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from sqbert_cli.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import whole_path, write_json
from sqbert_cli.folder import SCHEME, read_config, read_object, read_training
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.model.network import Network
from sqbert_cli.model.weights import in_precision
from sqbert_cli.models import find_model, lossless_dtype
from sqbert_cli.summary import CARD_FILE

FormName = Literal["transformers", "sqbert"]
DTYPES = {"float32": torch.float32, "float16": torch.float16}
POOLER = HeadConfig(name="pooler", kind="pooler")


def convert(
    name: str,
    output: Path,
    to: FormName | None = None,
    dtype: Literal["float32", "float16"] | None = None,
    head: str | None = None,
    *,
    offline: bool = False,
) -> dict[str, Any]:
    """Write a model to `output` for transformers or for us; by default as what it is not yet.

    Raises `SqbertError`, too where `output` has something in it, or transformers knows no model of such heads.
    """
    check_empty(output)
    folder = find_model(name, offline=offline)
    checkpoint = read_checkpoint(folder, name)
    had = checkpoint.heads
    to = to or ("transformers" if "heads" in read_config(folder) else "sqbert")
    if to == "transformers":
        checkpoint = for_transformers(checkpoint, checkpoint.one_head(head))
    elif head is not None:
        checkpoint = with_heads(checkpoint, [checkpoint.one_head(head)])
    lost = [one for one in had if one not in checkpoint.heads]
    chosen = DTYPES[dtype] if dtype else torch.float32 if to == "transformers" else lossless_dtype(checkpoint)
    _check_range(checkpoint, chosen)
    training = _without(lost, read_training(folder)) or None
    with whole_path(output) as place:
        write_checkpoint(checkpoint, place, chosen, training=None if to == "transformers" else training)
        if (card := folder / CARD_FILE).is_file():
            shutil.copyfile(card, place / card.name)
        if to == "transformers":
            _leave_to_transformers(checkpoint, place)
    return {"name": name, "folder": str(output), "to": to, "heads": [one.name for one in checkpoint.heads]}


def _without(heads: Iterable[HeadConfig], training: dict[str, Any]) -> dict[str, Any]:
    """How a model was trained, less the data and the scores of heads that it has no longer: they begin with a name."""
    names = tuple(f"{head.name}: " for head in heads)
    told = {key: values for key in ("data", "scores") if isinstance(values := training.get(key), dict)}
    return training | {
        key: {name: value for name, value in values.items() if not name.startswith(names)}
        for key, values in told.items()
    }


def check_empty(output: Path) -> None:
    if os.path.ismount(output):
        raise SqbertError(f"`{output}` is where a disk begins, and cannot be replaced", hint="name a folder inside it")
    if output.resolve() == Path.cwd():
        raise SqbertError(f"`{output}` is the folder you are in, and cannot be replaced", hint="name a new one in it")
    if output.is_dir() and not any(output.iterdir()):
        return
    if output.exists() or output.is_symlink():
        raise SqbertError(f"`{output}` is there already", hint="name a new folder, or an empty one")


def for_transformers(checkpoint: Checkpoint, head: HeadConfig | None) -> Checkpoint:
    """Return the model with what one class of transformers has: at most one head, and the pooler that it expects."""
    if head is not None and head.kind == "vector":
        raise SqbertError(
            f"transformers has no class for the head `{head.name}`, which makes vectors of texts",
            hint="name another with `--head`, or use `sqbert models export`",
        )
    heads = [] if head is None else [head]
    # SqueezeBERT has a pooler there under every head, and BERT where there is none: a missing one is drawn at random.
    if head is None or (head.kind not in ("sequence", "pooler") and checkpoint.config.model_type == "squeezebert"):
        heads.append(next((one for one in checkpoint.heads if one.kind == "pooler"), POOLER))
    return with_heads(checkpoint, heads)


def with_heads(checkpoint: Checkpoint, heads: Iterable[HeadConfig | None]) -> Checkpoint:
    """Return a model with the same encoder and some of its heads; one that it has not is 0 everywhere."""
    kept = tuple(head for head in heads if head is not None)
    network = Network(checkpoint.config, kept)
    for parameter in network.heads.parameters():
        nn.init.zeros_(parameter)
    names = network.state_dict().keys()
    state = {name: tensor for name, tensor in checkpoint.network.state_dict().items() if name in names}
    network.load_state_dict(state, strict=False)
    return replace(checkpoint, network=network.eval(), heads=kept)


def _check_range(checkpoint: Checkpoint, dtype: torch.dtype) -> None:
    if dtype != torch.float16:
        return
    network = checkpoint.network
    pairs = zip(network.parameters(), in_precision(network, dtype).parameters(), strict=True)
    largest = max((float(one.detach().abs().max()) for one, other in pairs if not other.isfinite().all()), default=0.0)
    if largest:
        raise SqbertError(
            f"a weight of {largest:.3g} is beyond what float16 holds", hint="leave out `--dtype`, or say `float32`"
        )


def _leave_to_transformers(checkpoint: Checkpoint, folder: Path) -> None:
    """What only we read goes, but for the scheme of tags; what older versions of it want comes."""
    own = {"heads", "sqbert_version"}
    schemes = {SCHEME: scheme} if (scheme := checkpoint.heads[0].scheme) else {}
    write_json(folder / "config.json", {k: v for k, v in read_config(folder).items() if k not in own} | schemes)
    file = folder / "tokenizer_config.json"
    length = min(checkpoint.max_length(head) for head in (*checkpoint.heads, POOLER))
    write_json(file, read_object(file) | {"model_max_length": length})
    pieces = sorted((index, piece) for piece, index in checkpoint.tokenizer.pieces.get_vocab().items())
    if [index for index, _ in pieces] == list(range(len(pieces))):
        (folder / "vocab.txt").write_text("\n".join(piece for _, piece in pieces) + "\n", encoding="utf-8")

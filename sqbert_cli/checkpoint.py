"""A model folder and everything needed to run it.

config.json        the reference's keys, and `heads` with their labels
model.safetensors  the weights
tokenizer.json
training.json      how it was trained (optional)
README.md          the model card (optional)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as to_safetensors

from sqbert_cli import __version__
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import whole_file, write_json
from sqbert_cli.folder import read_config, read_heads, read_length, read_tokenizer_values
from sqbert_cli.model.config import KIND_WORDS, HeadConfig, HeadKind, SqueezeBertConfig
from sqbert_cli.model.names import TIED
from sqbert_cli.model.network import Network
from sqbert_cli.model.weights import State, from_disk, in_precision, reference_names, to_disk
from sqbert_cli.tensors import read_tensors
from sqbert_cli.text.tokenizer import AS_JSON, Tokenizer

ARCHITECTURES: dict[HeadKind, str] = {
    "sequence": "ForSequenceClassification",
    "token": "ForTokenClassification",
    "span": "ForQuestionAnswering",
    "masked_word": "ForMaskedLM",
    "vector": "Model",
    "pooler": "Model",
}
BERTS = ("BertTokenizer", "SqueezeBertTokenizer", "DistilBertTokenizer")
SPECIAL_TOKENS = {f"{name}_token": f"[{name.upper()}]" for name in ("unk", "sep", "pad", "cls", "mask")}


@dataclass(frozen=True)
class Checkpoint:
    """A network with its heads and its tokenizer."""

    name: str
    network: Network = field(repr=False)
    heads: tuple[HeadConfig, ...]
    tokenizer: Tokenizer = field(repr=False)

    @property
    def device(self) -> torch.device:
        return next(self.network.parameters()).device

    def max_length(self, head: HeadConfig) -> int:
        """Tokens that one window of a head holds."""
        positions = self.config.max_position_embeddings
        return min(head.max_length or positions, positions)

    @property
    def config(self) -> SqueezeBertConfig:
        return self.network.config

    def head(self, kind: HeadKind, name: str | None = None) -> HeadConfig:
        """Return the head of a kind: the one of that name, else the first. Raises `SqbertError` if there is none."""
        heads = [head for head in self.heads if head.kind == kind]
        for head in heads:
            if name in (None, head.name):
                return head
        wanted = KIND_WORDS[kind] if name is None else f"{KIND_WORDS[kind]} called `{name}`"
        raise SqbertError(
            f"model `{self.name}` has no head for {wanted}; it has: {self._heads_told}",
            hint="choose one with `--head`" if heads else "train one with `sqbert finetune`, or name another `--model`",
        )

    def one_head(self, name: str | None = None) -> HeadConfig | None:
        """Return the head called `name`, else the only one that answers anything; `None` where none does.

        Raises `SqbertError` where there are several, or none of that name.
        """
        heads = [head for head in self.heads if head.name == name or (name is None and head.kind != "pooler")]
        if len(heads) == 1 or not (heads or name):
            return heads[0] if heads else None
        problem = "has several heads" if name is None else f"has no head `{name}`; it has"
        raise SqbertError(f"model `{self.name}` {problem}: {self._heads_told}", hint="name one with `--head`")

    @property
    def _heads_told(self) -> str:
        return ", ".join(f"`{head.name}` ({KIND_WORDS[head.kind]})" for head in self.heads) or "none"

    def head_for(self, wanted: HeadConfig, name: str | None = None) -> HeadConfig:
        """Return the head called `name`; else that of the name of `wanted`, of its labels, or the first of its kind."""
        alike = [head for head in self.heads if head.kind == wanted.kind]
        same = [head for head in alike if head.name == wanted.name]
        same += [head for head in alike if wanted.labels and set(head.labels) == set(wanted.labels)]
        return same[0] if same and name is None else self.head(wanted.kind, name)


def read_checkpoint(folder: Path, name: str | None = None) -> Checkpoint:
    """Read a folder that we or transformers wrote; tensors come back in float32."""
    values = read_config(folder)
    config = SqueezeBertConfig.from_dict(values)
    state = reference_names(read_tensors(folder))
    heads = read_heads(values, list(state), read_length(folder))
    _check_decoder(folder, heads, state)
    if not any(head.kind in ("sequence", "pooler") for head in heads):  # nothing of ours reads it: a leftover
        state = {name: tensor for name, tensor in state.items() if not name.startswith("transformer.pooler.")}
    tokenizer = Tokenizer.read(folder, **_normalizing(folder, values))
    if tokenizer.vocab_size > config.vocab_size:
        raise SqbertError(
            f"`{folder}`: the tokenizer has {tokenizer.vocab_size} word pieces, the embeddings {config.vocab_size}"
        )
    try:
        network = from_disk(config, heads, state)
    except SqbertError as error:
        raise SqbertError(f"`{folder}`: {error.message}", error.hint) from error
    return Checkpoint(name or str(folder), network, heads, tokenizer)


def write_checkpoint(
    checkpoint: Checkpoint,
    folder: Path,
    dtype: torch.dtype = torch.float32,
    training: Mapping[str, Any] | None = None,
) -> None:
    """Write a model folder; with one head transformers opens it too. Every file is whole or absent."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = to_disk(in_precision(checkpoint.network, dtype), checkpoint.heads)
    with whole_file(folder / "model.safetensors") as file:
        file.write(to_safetensors(tensors, metadata={"format": "pt"}))
    with whole_file(folder / "tokenizer.json") as file:
        file.write(checkpoint.tokenizer.pieces.to_str(pretty=False).encode())
    write_json(folder / "tokenizer_config.json", _tokenizer_values(checkpoint))
    if training is not None:
        write_json(folder / "training.json", training)
    write_json(folder / "config.json", _config_values(checkpoint, dtype))  # last: it says that the folder is complete


def weights_hash(checkpoint: Checkpoint) -> str:
    """SHA-256 of the heads and of every tensor."""
    digest = sha256(repr(checkpoint.heads).encode())
    digest.update(to_safetensors(to_disk(checkpoint.network, checkpoint.heads)))
    return digest.hexdigest()


def _check_decoder(folder: Path, heads: Sequence[HeadConfig], state: State) -> None:
    """Raise `SqbertError` where masked words are told by other numbers than ours would tell them by."""
    for theirs, ours in TIED.items() if any(head.kind == "masked_word" for head in heads) else ():
        if theirs in state and ours in state and not torch.equal(state[theirs], state[ours]):
            raise SqbertError(
                f"`{folder}`: masked words are told by `{theirs}`, which differs from `{ours}`: not supported"
            )


def _normalizing(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """What transformers' settings say to `Tokenizer.read`; none where another class than BERT's reads the JSON."""
    values = read_tokenizer_values(folder)
    name = values.get("tokenizer_class") or config.get("tokenizer_class") or "BertTokenizer"
    if str(name).removesuffix("Fast") not in BERTS:
        if (folder / "tokenizer.json").is_file():
            return {}
        raise SqbertError(f"`{folder}`: its tokenizer, `{name}`, is told by a `tokenizer.json` only", hint=AS_JSON)
    accents = values.get("strip_accents")
    return {
        "lowercase": bool(values.get("do_lower_case", True)),
        "strip_accents": None if accents is None else bool(accents),
        "handle_chinese_chars": bool(values.get("tokenize_chinese_chars", True)),
    }


def _config_values(checkpoint: Checkpoint, dtype: torch.dtype) -> dict[str, Any]:
    prefix = {"squeezebert": "SqueezeBert", "bert": "Bert"}[checkpoint.config.model_type]
    # transformers reads all in one precision: that of numbers, which are kept in float32
    tells_numbers = any(head.problem_type == "regression" for head in checkpoint.heads)
    values: dict[str, Any] = {
        **checkpoint.config.to_dict(),
        "architectures": [prefix + ARCHITECTURES[head.kind] for head in checkpoint.heads[:1]] or [prefix + "Model"],
        "dtype": str(torch.float32 if tells_numbers else dtype).removeprefix("torch."),
        "heads": {head.name: _head_values(head) for head in checkpoint.heads},
        "sqbert_version": __version__,
    }
    labelled = [head for head in checkpoint.heads if head.labels]
    if len(labelled) == 1:
        values["id2label"] = {str(index): label for index, label in enumerate(labelled[0].labels)}
        values["label2id"] = {label: index for index, label in enumerate(labelled[0].labels)}
        if labelled[0].kind == "sequence":
            values["problem_type"] = labelled[0].problem_type
    return values


def _tokenizer_values(checkpoint: Checkpoint) -> dict[str, Any]:
    """What transformers wants to know of a tokenizer beside `tokenizer.json`, which BERT's own class reads in part."""
    tokenizer = checkpoint.tokenizer
    length = {"model_max_length": checkpoint.config.max_position_embeddings}
    if not tokenizer.is_berts:
        return {"tokenizer_class": "PreTrainedTokenizerFast", **SPECIAL_TOKENS, **length}
    normalizer = tokenizer.normalizer
    return {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": tokenizer.lowercase,
        "strip_accents": normalizer.get("strip_accents"),
        "tokenize_chinese_chars": normalizer.get("handle_chinese_chars", True),
        **length,
    }


def _head_values(head: HeadConfig) -> dict[str, Any]:
    values = asdict(head) | {"labels": list(head.labels)}
    return {key: value for key, value in values.items() if key != "name" and value is not None}

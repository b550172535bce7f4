"""The shape of a network and of its heads, as `config.json` states them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, get_args

from sqbert_cli.errors import SqbertError

DeviceName = Literal["auto", "cpu", "cuda", "mps"]
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]
TrainingDtypeName = Literal["auto", "float32", "bfloat16"]
ModelType = Literal["squeezebert", "bert"]
HeadKind = Literal["sequence", "token", "span", "masked_word", "vector", "pooler"]
Scheme = Literal["IOB2"]
ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
KIND_WORDS: dict[HeadKind, str] = {
    "sequence": "whole texts",
    "token": "entities",
    "span": "answers to questions",
    "masked_word": "masked words",
    "vector": "vectors of texts",
    "pooler": "nothing yet, a pooler",
}
"""What each kind of head answers."""
MODEL_TYPES: tuple[str, ...] = get_args(ModelType)
"""The families of networks that are read."""
MIN_LENGTH = 8
"""Tokens that a window holds at least: a few of each text of a pair beside the special ones."""
GROUP_FIELDS = (
    "q_groups",
    "k_groups",
    "v_groups",
    "post_attention_groups",
    "intermediate_groups",
    "output_groups",
)
# Every size below is far above any published encoder; a larger one is a broken or hostile file.
SIZE_LIMITS = {
    "vocab_size": 2_000_000,
    "hidden_size": 16_384,
    "num_hidden_layers": 200,
    "num_attention_heads": 512,
    "intermediate_size": 131_072,
    "max_position_embeddings": 1_000_000,
    "type_vocab_size": 1_000,
}

FRACTIONS = ("hidden_dropout_prob", "attention_probs_dropout_prob", "initializer_range", "layer_norm_eps")


@dataclass(frozen=True, kw_only=True)
class SqueezeBertConfig:
    """Sizes of the encoder, under the names of transformers' `SqueezeBertConfig` (defaults: the published model).

    With every group count 1 the network is BERT; `model_type` then says under which names it is kept on disk.
    """

    model_type: ModelType = "squeezebert"
    vocab_size: int = 30_522
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3_072
    hidden_act: str = "gelu"
    hidden_dropout_prob: float = 0.1
    attention_probs_dropout_prob: float = 0.1
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    initializer_range: float = 0.02
    layer_norm_eps: float = 1e-12
    pad_token_id: int = 0
    q_groups: int = 4
    k_groups: int = 4
    v_groups: int = 4
    post_attention_groups: int = 1
    intermediate_groups: int = 4
    output_groups: int = 4

    def __post_init__(self) -> None:
        for name, limit in SIZE_LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not 0 < value <= limit:
                raise SqbertError(f"config: `{name}` is {value!r}, expected a whole number from 1 to {limit}")
        for name in FRACTIONS:
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or not 0 <= value < 1:
                raise SqbertError(f"config: `{name}` is {value!r}, expected a number from 0 to 1")
        if self.max_position_embeddings < MIN_LENGTH:
            raise SqbertError(f"config: `max_position_embeddings` is under {MIN_LENGTH}, too few for any text")
        if type(self.pad_token_id) is not int or not 0 <= self.pad_token_id < self.vocab_size:
            raise SqbertError(f"config: `pad_token_id` is {self.pad_token_id!r}, expected an id of the vocabulary")
        if self.hidden_act != "gelu":
            raise SqbertError(f"config: activation `{self.hidden_act}` is not supported, only `gelu`")
        if self.hidden_size % self.num_attention_heads:
            raise SqbertError(
                f"config: {self.num_attention_heads} attention heads do not divide width {self.hidden_size}"
            )
        for name in GROUP_FIELDS:
            self._check_groups(name)

    def _check_groups(self, name: str) -> None:
        groups = getattr(self, name)
        if not isinstance(groups, int) or groups < 1:
            raise SqbertError(f"config: `{name}` is {groups!r}, expected a whole number above 0")
        sizes = {self.hidden_size}
        if name in ("intermediate_groups", "output_groups"):
            sizes.add(self.intermediate_size)
        if any(size % groups for size in sizes):
            raise SqbertError(f"config: `{name}` {groups} does not divide {' and '.join(map(str, sorted(sizes)))}")

    @property
    def head_size(self) -> int:
        return self.hidden_size // self.num_attention_heads

    @property
    def block_layer_norm_eps(self) -> float:
        """The reference SqueezeBERT fixes this inside its blocks, whatever `layer_norm_eps` says."""
        return 1e-12 if self.model_type == "squeezebert" else self.layer_norm_eps

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> SqueezeBertConfig:
        """Take the keys that describe the encoder from a `config.json`; the rest belongs to others."""
        model_type = values.get("model_type")
        if model_type not in MODEL_TYPES:
            raise SqbertError(
                f"config: model type {model_type!r} is not supported",
                hint="expected `squeezebert` or `bert`",
            )
        embedding_size = values.get("embedding_size", values.get("hidden_size"))
        if embedding_size != values.get("hidden_size"):
            raise SqbertError(f"config: embedding_size {embedding_size} differs from hidden_size")
        _refuse_unsupported_bert(values)
        known = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        known["pad_token_id"] = known.get("pad_token_id") or 0  # transformers may have none
        if model_type == "bert":
            known.update(dict.fromkeys(GROUP_FIELDS, 1))
        return cls(**known)

    def to_dict(self) -> dict[str, Any]:
        values = asdict(self)
        if self.model_type == "bert":
            return {name: value for name, value in values.items() if name not in GROUP_FIELDS}
        return values | {"embedding_size": self.hidden_size}


def _refuse_unsupported_bert(values: Mapping[str, Any]) -> None:
    if values.get("position_embedding_type", "absolute") != "absolute":
        raise SqbertError("config: only absolute position embeddings are supported")
    if values.get("is_decoder") or values.get("add_cross_attention"):
        raise SqbertError("config: this is a decoder; only encoders are supported")
    is_masked = any(kind in str(values.get("architectures")) for kind in ("ForMaskedLM", "ForPreTraining"))
    if is_masked and values.get("tie_word_embeddings") is False:
        raise SqbertError("config: masked words are told by the word embeddings; a decoder of its own is not supported")


@dataclass(frozen=True, kw_only=True)
class HeadConfig:
    """One head: what it answers, and the names of its answers in the order of its outputs."""

    name: str
    kind: HeadKind
    labels: tuple[str, ...] = ()
    problem_type: ProblemType = "single_label_classification"
    max_length: int | None = None
    """Tokens in the windows that the head was taught on; a longer text is read in several. `None`: all positions."""
    scheme: Scheme | None = field(default=None, repr=False)
    """Of tags that it was taught in: with `IOB2` each entity begins with B-. `None`: not known.

    Not part of what a run's seed and hash are made from, so that runs of before are the same.
    """

    def __post_init__(self) -> None:
        if not self.name or "." in self.name:
            raise SqbertError(f"config: a head cannot be called {self.name!r}")
        if not all(isinstance(label, str) for label in self.labels) or len(set(self.labels)) < len(self.labels):
            raise SqbertError(f"config: head `{self.name}`: the labels are not names that differ: {self.labels}")
        if self.max_length is not None and (type(self.max_length) is not int or self.max_length < MIN_LENGTH):
            raise SqbertError(f"config: head `{self.name}`: `max_length` is {self.max_length!r}")
        for value, choices in ((self.kind, get_args(HeadKind)), (self.problem_type, get_args(ProblemType))):
            if value not in choices:
                raise SqbertError(f"config: head `{self.name}`: {value!r} is none of {', '.join(choices)}")
        if self.scheme is not None and (self.scheme not in get_args(Scheme) or self.labels[:1] != ("O",)):
            raise SqbertError(f"config: head `{self.name}`: `scheme` is {self.scheme!r}, the labels are {self.labels}")

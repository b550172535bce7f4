"""Names and shapes of tensors on disk, and a network made from them with every name accounted for.

Three spellings meet here: transformers' SqueezeBERT (the one we write), transformers' BERT, and ours for several heads
(`heads.NAME.…`). Files are opened in `checkpoint.py`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import Tensor

from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig, HeadKind, ProblemType, SqueezeBertConfig
from sqbert_cli.model.network import Network

State = dict[str, Tensor]

# Reference name, BERT's name. The order matters: `attention.output.dense` also ends in `output.dense`.
BERT_NAMES = (
    ("transformer.", "bert."),
    (".encoder.layers.", ".encoder.layer."),
    (".attention.query.", ".attention.self.query."),
    (".attention.key.", ".attention.self.key."),
    (".attention.value.", ".attention.self.value."),
    (".post_attention.conv1d.", ".attention.output.dense."),
    (".post_attention.layernorm.", ".attention.output.LayerNorm."),
    (".intermediate.conv1d.", ".intermediate.dense."),
    (".output.conv1d.", ".output.dense."),
    (".output.layernorm.", ".output.LayerNorm."),
)
OLD_NORM_NAMES = ((".gamma", ".weight"), (".beta", ".bias"))
# What each kind of head is called in a folder that transformers opens: our prefix, its prefix.
HEAD_NAMES: dict[HeadKind, tuple[tuple[str, str], ...]] = {
    "sequence": (("pooler.", "transformer.pooler."), ("classifier.", "classifier.")),
    "token": (("classifier.", "classifier."),),
    "span": (("qa_outputs.", "qa_outputs."),),
    "masked_word": (("transform.", "cls.predictions.transform."), ("bias", "cls.predictions.bias")),
    "vector": (("", "vectors."),),
    "pooler": (("dense.", "transformer.pooler.dense."),),
}
# Left over by transformers: a buffer of old versions, copies of tied tensors, the head of next-sentence prediction.
IGNORED = re.compile(r"position_ids$|^cls\.predictions\.decoder\.|^cls\.seq_relationship\.")


def to_disk(network: Network, heads: Sequence[HeadConfig]) -> State:
    """Return the tensors of a network under the names that transformers gives them."""
    renamed = {_head_to_disk(name, heads): tensor for name, tensor in network.state_dict().items()}
    if network.config.model_type == "squeezebert":
        return {name: tensor.contiguous() for name, tensor in renamed.items()}
    return {
        _to_bert(name): (tensor.squeeze(-1) if tensor.ndim == 3 else tensor).contiguous()
        for name, tensor in renamed.items()
    }


def from_disk(config: SqueezeBertConfig, heads: Sequence[HeadConfig], state: State) -> Network:
    """Build a network from tensors named as by `reference_names`.

    Raises `SqbertError` that lists every missing, unexpected and misshaped tensor.
    """
    network = _empty_network(config, heads)
    expected = {_head_to_disk(name, heads): (name, tensor) for name, tensor in network.state_dict().items()}
    shaped = {name: _with_shape(tensor, expected[name][1]) for name, tensor in state.items() if name in expected}
    problems = [f"missing {name}" for name in expected if name not in state]
    problems += [f"unexpected {name}" for name in state if name not in expected and not IGNORED.search(name)]
    problems += [
        f"misshaped {name}: {tuple(tensor.shape)}, expected {tuple(expected[name][1].shape)}"
        for name, tensor in shaped.items()
        if tensor.shape != expected[name][1].shape
    ]
    if problems:
        raise SqbertError("the weights do not fit `config.json`:\n  " + "\n  ".join(sorted(problems)))
    network.load_state_dict({expected[name][0]: tensor for name, tensor in shaped.items()})
    return network.eval()


def reference_names(state: State) -> State:
    """Rename the tensors of any supported file as the reference names them."""
    return {_to_reference(name): tensor for name, tensor in state.items()}


def infer_heads(
    names: Sequence[str], architecture: str, labels: tuple[str, ...], problem_type: ProblemType | None
) -> tuple[HeadConfig, ...]:
    """Tell the heads of a folder that transformers wrote from its tensor names."""
    problem = problem_type or ("regression" if len(labels) == 1 else "single_label_classification")
    has_pooler = "transformer.pooler.dense.weight" in names
    kinds: list[HeadKind] = []
    if "classifier.weight" in names:
        is_token = "TokenClassification" in architecture or not has_pooler
        kinds.append("token" if is_token else "sequence")
    if "qa_outputs.weight" in names:
        kinds.append("span")
    if "cls.predictions.bias" in names:
        kinds.append("masked_word")
    if has_pooler and "sequence" not in kinds:
        kinds.append("pooler")
    return tuple(
        HeadConfig(name=kind, kind=kind, labels=labels, problem_type=problem)
        if kind in ("sequence", "token")
        else HeadConfig(name=kind, kind=kind)
        for kind in kinds
    )


def _empty_network(config: SqueezeBertConfig, heads: Sequence[HeadConfig]) -> Network:
    try:
        return Network(config, heads)
    except RuntimeError as error:  # what torch raises when there is no memory
        raise SqbertError(f"a model of the sizes in `config.json` does not fit into memory: {error}") from error


def _with_shape(tensor: Tensor, expected: Tensor) -> Tensor:
    """A dense layer (out, in) is a convolution (out, in, 1)."""
    is_dense = (*tensor.shape, 1) == tuple(expected.shape)
    return tensor.unsqueeze(-1) if is_dense else tensor


def _to_reference(name: str) -> str:
    for old, new in OLD_NORM_NAMES:
        name = name.removesuffix(old) + new if name.endswith(old) else name
    if name.startswith(("embeddings.", "encoder.", "pooler.")):  # saved from the model without a head
        name = f"transformer.{name}"
    for reference, bert in BERT_NAMES:
        name = _replace(name, bert, reference)
    return name


def _to_bert(name: str) -> str:
    for reference, bert in BERT_NAMES:
        name = _replace(name, reference, bert)
    return name


def _replace(name: str, old: str, new: str) -> str:
    if old.startswith("."):
        return name.replace(old, new)
    return new + name.removeprefix(old) if name.startswith(old) else name


def _head_to_disk(name: str, heads: Sequence[HeadConfig]) -> str:
    """Plain names where no two heads want the same one, as transformers has them; else `heads.NAME.…`."""
    plain = [theirs for head in heads for _, theirs in HEAD_NAMES[head.kind]]
    if not name.startswith("heads.") or _collide(plain):
        return name
    _, head_name, local = name.split(".", 2)
    kind = next(head.kind for head in heads if head.name == head_name)
    ours, theirs = next(pair for pair in HEAD_NAMES[kind] if local.startswith(pair[0]))
    return theirs + local.removeprefix(ours)


def _collide(prefixes: list[str]) -> bool:
    return any(
        one.startswith(other)
        for index, one in enumerate(prefixes)
        for other in prefixes[:index] + prefixes[index + 1 :]
    )

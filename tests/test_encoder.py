"""The network equals transformers' SqueezeBERT and BERT, and a naive loop over groups; gradients too."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from torch import Tensor

from sqbert_cli.model.config import SqueezeBertConfig
from sqbert_cli.model.layers import GroupedLinear
from sqbert_cli.model.names import infer_heads
from sqbert_cli.model.network import Network
from sqbert_cli.model.weights import from_disk, reference_names, to_disk

TINY = {"vocab_size": 100, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 96}
UNEQUAL = {"q_groups": 2, "k_groups": 4, "v_groups": 1, "post_attention_groups": 3, "intermediate_groups": 6,
           "output_groups": 2}  # fmt: skip
ALL_ONE = dict.fromkeys(UNEQUAL, 1)
HEADS = ("SequenceClassification", "TokenClassification", "QuestionAnswering", "MaskedLM")
SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    "published size": ("SqueezeBert", {}),
    "published width": ("SqueezeBert", {"hidden_size": 768, "num_hidden_layers": 1, "vocab_size": 100}),
    "tiny": ("SqueezeBert", TINY),
    "groups that split heads": ("SqueezeBert", TINY | {"num_attention_heads": 2}),
    "unequal groups": ("SqueezeBert", TINY | UNEQUAL),
    "all groups 1": ("SqueezeBert", TINY | ALL_ONE),
    "another epsilon": ("SqueezeBert", TINY | {"layer_norm_eps": 1e-3}),
    "BERT": ("Bert", TINY),
    "BERT, another epsilon": ("Bert", TINY | {"layer_norm_eps": 1e-3}),
}


def reference(family: str, head: str, values: dict[str, Any]) -> Any:
    """A transformers model with weights large enough for differences to show."""
    torch.manual_seed(0)
    extra = {"embedding_size": values["hidden_size"]} if family == "SqueezeBert" and values else {}
    config = getattr(transformers, f"{family}Config")(**values, **extra, num_labels=2 if head.startswith("Q") else 5)
    model = getattr(transformers, f"{family}For{head}")(config).eval()
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter) if values else 0.02 * torch.randn_like(parameter)
    return model


def ours(model: Any) -> tuple[Network, str]:
    state = reference_names(model.state_dict())
    labels = tuple(model.config.id2label.values())
    heads = infer_heads(list(state), type(model).__name__, labels, None)
    config = SqueezeBertConfig.from_dict(model.config.to_dict())
    network = from_disk(config, heads, state)
    return network, next(head.name for head in heads if head.kind != "pooler" or len(heads) == 1)


def padded_pairs(vocab_size: int) -> dict[str, Tensor]:
    """Three pairs of texts, two of them padded."""
    input_ids = torch.randint(5, vocab_size, (3, 24), generator=torch.Generator().manual_seed(1))
    attention_mask = torch.ones_like(input_ids)
    token_type_ids = torch.zeros_like(input_ids)
    for row, length in enumerate((24, 9, 17)):
        attention_mask[row, length:] = 0
        input_ids[row, length:] = 0
        token_type_ids[row, length // 2 : length] = 1
    return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": token_type_ids}


def outputs_of(answer: Any) -> Tensor:
    return torch.stack([answer.start_logits, answer.end_logits], -1) if "start_logits" in answer else answer.logits


@pytest.mark.parametrize(
    ("shape", "head"),
    [(shape, head) for shape in SHAPES for head in HEADS if shape != "published size" or head == HEADS[0]],
)
def test_every_head_equals_transformers(shape: str, head: str) -> None:
    model = reference(SHAPES[shape][0], head, SHAPES[shape][1])
    network, name = ours(model)
    batch = padded_pairs(model.config.vocab_size)
    with torch.no_grad():
        expected, answer = outputs_of(model(**batch)), network(name, *batch.values())
    real = batch["attention_mask"].bool() if expected.ndim == 3 else ...
    torch.testing.assert_close(answer[real], expected[real], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", [name for name in SHAPES if name != "published size"])
def test_gradients_equal_those_of_transformers(shape: str) -> None:
    model = reference(SHAPES[shape][0], "SequenceClassification", SHAPES[shape][1])
    network, name = ours(model)
    batch = padded_pairs(model.config.vocab_size)
    outputs_of(model(**batch)).square().sum().backward()
    network(name, *batch.values()).square().sum().backward()
    expected = reference_names({name: parameter.grad for name, parameter in model.named_parameters()})
    for parameter in network.parameters():  # their gradients, written out as weights are
        parameter.data = parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)
    heads = infer_heads(list(expected), type(model).__name__, tuple(model.config.id2label.values()), None)
    for name, gradient in reference_names(to_disk(network, heads)).items():
        if name == "transformer.embeddings.word_embeddings.weight":
            gradient, expected[name] = gradient[1:], expected[name][1:]  # row 0 is padding, and is not learnt
        torch.testing.assert_close(gradient, expected[name], atol=1e-4, rtol=1e-4, msg=name)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_a_grouped_layer_equals_a_loop_over_its_groups(groups: int) -> None:
    layer = GroupedLinear(12, 24, groups)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    hidden = torch.randn(2, 5, 12)
    disk = layer.state_dict()
    weights = disk["weight"].squeeze(-1).chunk(groups)  # of each group: (out/G, in/G)
    parts = [part @ weight.T for part, weight in zip(hidden.chunk(groups, -1), weights, strict=True)]
    torch.testing.assert_close(layer(hidden), torch.cat(parts, -1) + disk["bias"])


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group_by_group_in_bfloat16_gives_the_products_and_gradients_of_float32(groups: int) -> None:
    layer = GroupedLinear(12, 24, groups)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    hidden, wanted = torch.randn(2, 5, 12, requires_grad=True), torch.randn(2, 5, 24)
    learnt = (hidden, layer.weight, layer.bias)
    outcome = layer(hidden)
    exact = torch.autograd.grad((outcome * wanted).sum(), learnt)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = layer(hidden)
    assert rounded.dtype == torch.bfloat16
    gradients = torch.autograd.grad((rounded.float() * wanted).sum(), learnt)
    torch.testing.assert_close(rounded.float(), outcome, atol=0.1, rtol=0.02)
    for ours, theirs in zip(gradients, exact, strict=True):
        torch.testing.assert_close(ours, theirs, atol=0.2, rtol=0.02)


def test_padding_does_not_change_logits() -> None:
    model = reference("SqueezeBert", "SequenceClassification", TINY)
    network, name = ours(model)
    batch = padded_pairs(TINY["vocab_size"])
    with torch.no_grad():
        together = network(name, *batch.values())
        alone = [
            network(name, *(tensor[row : row + 1, :length] for tensor in batch.values()))
            for row, length in enumerate((24, 9, 17))
        ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-6, rtol=1e-5)


def test_with_one_token_type_pairs_are_read_as_what_is_alike() -> None:
    model = reference("Bert", "SequenceClassification", TINY | {"type_vocab_size": 1})
    network, name = ours(model)
    batch = padded_pairs(TINY["vocab_size"])
    with torch.no_grad():
        expected = model(**batch | {"token_type_ids": torch.zeros_like(batch["input_ids"])}).logits
        torch.testing.assert_close(network(name, *batch.values()), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_writing_gives_back_every_tensor_of_transformers(shape: str) -> None:
    model = reference(SHAPES[shape][0], "SequenceClassification", SHAPES[shape][1])
    network, _ = ours(model)
    heads = infer_heads(
        list(reference_names(model.state_dict())), type(model).__name__, tuple(model.config.id2label.values()), None
    )
    written, expected = to_disk(network, heads), model.state_dict()
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], expected[name]) for name in expected)

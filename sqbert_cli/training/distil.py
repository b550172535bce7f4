"""A grouped student from a dense teacher: its diagonal blocks to begin with, its hidden states to learn.

The student keeps the teacher's words, and its width or less. A grouped layer starts as the diagonal blocks of the dense
one; what was outside of them is learnt back from the teacher's hidden states, one loss for each pair of layers (as
TinyBERT's general distillation, without its projections).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor
from torch.nn import functional

from sqbert_cli.batch import Batch
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import SqueezeBertConfig
from sqbert_cli.model.encoder import Block, Encoder
from sqbert_cli.model.layers import Attention
from sqbert_cli.model.network import Network
from sqbert_cli.model.weights import State, from_disk, reference_names, to_disk
from sqbert_cli.training.arrange import arranged, choose_arrangement


def student_of(teacher: Checkpoint, layers: int | None = None, hidden_size: int | None = None) -> Checkpoint:
    """Return a student of the paper's group counts; layer i starts from the teacher's layer that it will imitate.

    Of a wider teacher the channels, heads and neurons are kept that weigh most.
    """
    config = _student_config(teacher.config, layers, hidden_size)
    heads = tuple(head for head in teacher.heads if head.kind == "pooler")
    dense = reference_names(to_disk(teacher.network, teacher.heads))
    dense = arranged(dense, choose_arrangement(dense, teacher.config, config))
    expected = to_disk(Network(config, heads), heads)
    state: State = {}
    for name, wanted in expected.items():
        source = dense[_teacher_name(name, config.num_hidden_layers, teacher.config.num_hidden_layers)]
        state[name] = diagonal_blocks(source, wanted.shape[1]).unsqueeze(-1) if wanted.ndim == 3 else source
    return Checkpoint("student", from_disk(config, heads, state), heads, teacher.tokenizer)


def diagonal_blocks(dense: Tensor, in_size: int) -> Tensor:
    """*Shapes:* (out, in) -> (out, in_size): of each row, the columns of its own group."""
    groups = dense.shape[1] // in_size
    blocks = dense.unflatten(1, (groups, in_size)).unflatten(0, (groups, -1))  # (G, out/G, G, in/G)
    return blocks.diagonal(dim1=0, dim2=2).permute(2, 0, 1).flatten(0, 1)


def states_loss(
    states: Sequence[Tensor], targets: Sequence[Tensor], batch: Batch, variances: Sequence[float]
) -> Tensor:
    """Mean over layers of the squared error divided by the teacher's variance: 1 says that nothing was learnt.

    *Shapes:* the embeddings and each layer's output, (B, T, C) each; `variances` of each of the teacher's.
    """
    real = batch.attention_mask.bool()
    errors = []
    for ours, theirs in matched_layers(len(states) - 1, len(targets) - 1):
        target = targets[theirs][real].float()
        errors.append((states[ours][real].float() - target).square().mean() / variances[theirs])
    return torch.stack(errors).mean()


@torch.no_grad()
def layer_variances(teacher: Encoder, batch: Batch) -> list[float]:
    """Of each state over a batch, mean over channels."""
    real = batch.attention_mask.bool()
    return [float(state[real].float().var(0).mean()) for state in teacher.hidden_states(*batch.inputs())]


def relation_loss(
    student: Encoder, teacher: Encoder, states: Sequence[Tensor], targets: Sequence[Tensor], batch: Batch
) -> Tensor:
    """How tokens of the last layer are related by their queries, keys and values (MiniLMv2, Wang et al. 2021).

    Divergence from the teacher's, mean over windows, the three, the heads that both can be cut
    into, and tokens; the widths may differ.
    *Shapes:* as `states_loss`.
    """
    heads = math.gcd(last_attention(student).num_heads, last_attention(teacher).num_heads)
    mask = batch.attention_mask.bool()
    with torch.no_grad():
        wanted = _relations(teacher, targets[-2], heads, mask)
    ours = _relations(student, states[-2], heads, mask)
    of_tokens = functional.kl_div(ours, wanted, log_target=True, reduction="none").sum(-1)  # (3, B, H, T)
    real = mask[:, None, :].float()
    return ((of_tokens * real).sum(-1) / real.sum(-1)).mean()


def last_attention(encoder: Encoder) -> Attention:
    return cast("Block", encoder.encoder.layers[-1]).attention


def _relations(encoder: Encoder, hidden: Tensor, heads: int, mask: Tensor) -> Tensor:
    """*Shapes:* (B, T, C), (B, T) -> (3, B, H, T, T), logs of shares."""
    vectors = torch.stack(last_attention(encoder).project(hidden))  # (3, B, own heads, T, D)
    split = vectors.transpose(2, 3).flatten(-2).unflatten(-1, (heads, -1)).transpose(2, 3).float()
    with torch.autocast(hidden.device.type, enabled=False):  # bfloat16 would blur what is nearly alike
        products = split @ split.transpose(-1, -2) / math.sqrt(split.shape[-1])
        return products.masked_fill(~mask[:, None, None, :], -1e4).log_softmax(-1)


def matched_layers(student_layers: int, teacher_layers: int) -> list[tuple[int, int]]:
    """Pairs of a student's and a teacher's layer, counted from 1: all of whoever has fewer, with the last of both."""
    last_for = {teacher_layer(layer, student_layers, teacher_layers): layer for layer in range(1, student_layers + 1)}
    return [(layer, of_teacher) for of_teacher, layer in last_for.items()]


def teacher_layer(layer: int, student_layers: int, teacher_layers: int) -> int:
    """The teacher's layer at the depth of a student's, both counted from 1."""
    return -(-layer * teacher_layers // student_layers)


def _student_config(teacher: SqueezeBertConfig, layers: int | None, hidden_size: int | None) -> SqueezeBertConfig:
    if teacher.model_type != "bert":
        raise SqbertError("the teacher is already grouped", hint="name a dense BERT model with `--teacher`")
    paper, width = SqueezeBertConfig(), hidden_size or teacher.hidden_size
    if width > teacher.hidden_size or width % teacher.head_size:
        raise SqbertError(
            f"a student of width {width} cannot be cut out of a teacher of width {teacher.hidden_size} with heads of "
            f"{teacher.head_size}"
        )
    return replace(
        teacher,
        model_type="squeezebert",
        num_hidden_layers=layers or teacher.num_hidden_layers,
        hidden_size=width,
        num_attention_heads=width // teacher.head_size,
        intermediate_size=teacher.intermediate_size * width // teacher.hidden_size,
        q_groups=paper.q_groups,
        k_groups=paper.k_groups,
        v_groups=paper.v_groups,
        post_attention_groups=paper.post_attention_groups,
        intermediate_groups=paper.intermediate_groups,
        output_groups=paper.output_groups,
    )


def _teacher_name(name: str, student_layers: int, teacher_layers: int) -> str:
    """The teacher's tensor that a student's starts from."""
    before, found, after = name.partition(".layers.")
    if not found:
        return name
    layer, _, rest = after.partition(".")
    return f"{before}{found}{teacher_layer(int(layer) + 1, student_layers, teacher_layers) - 1}.{rest}"

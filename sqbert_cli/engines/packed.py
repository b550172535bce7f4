"""A network's layers for answering on a processor. Shape letters as in `model/layers.py`.

Against the plain layers: weights lie as oneDNN's kernels read them, GELU and bias are part of the product, the groups
of the feed-forward pair never come together between its two layers, and the scale of attention is in the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sqbert_cli.errors import SqbertError
from sqbert_cli.model.device import computes_bfloat16
from sqbert_cli.model.encoder import Block, Encoder
from sqbert_cli.model.layers import FusedAttention, GroupedLinear
from sqbert_cli.process import keep_few_kernels


def pack(encoder: Encoder) -> None:
    """Replace the layers of an encoder, where oneDNN has kernels for their precision on this processor.

    The encoder then answers as before, but can neither be trained, nor saved, nor moved.
    """
    keep_few_kernels()
    layers = encoder.encoder.layers
    for index, block in enumerate(layers):
        if isinstance(block, Block) and isinstance(block.attention, FusedAttention) and has_kernels(block):
            layers[index] = PackedBlock(block, block.attention)


def has_kernels(block: Block) -> bool:
    weight = block.post_attention.conv1d.weight
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    return weight.dtype == torch.float32 or (weight.dtype == torch.bfloat16 and computes_bfloat16())


@dataclass(frozen=True)
class PackedGroup:
    """The product of one group."""

    weight: Tensor
    """In a layout that only oneDNN knows."""
    bias: Tensor
    """*Shape:* (out/G,)."""

    def __call__(self, hidden: Tensor, activation: str = "none") -> Tensor:
        """*Shapes:* (N, in/G) -> (N, out/G)."""
        return torch.ops.mkldnn._linear_pointwise(hidden, self.weight, self.bias, activation, [], "none")


def packed_groups(layer: GroupedLinear) -> list[PackedGroup]:
    weight, bias = layer.weight.detach(), layer.bias.detach().squeeze(1)  # (G, in/G, out/G), (G, out/G)
    return [
        PackedGroup(torch.ops.mkldnn._reorder_linear_weight(one.t().contiguous()), its_bias.clone())
        for one, its_bias in zip(weight, bias, strict=True)
    ]


def by_group(groups: list[PackedGroup], parts: list[Tensor], activation: str = "none") -> list[Tensor]:
    return [group(part, activation) for group, part in zip(groups, parts, strict=True)]


class PackedAttention:
    """`FusedAttention` with its heads in the order of the product's own output."""

    def __init__(self, attention: FusedAttention) -> None:
        self.num_heads = attention.num_heads
        heads = (self.num_heads // len(attention.weight), 3, -1)
        scale = torch.tensor([attention.scale, 1.0, 1.0])[:, None]  # of query, key and value
        self.weight, self.bias = (
            (parameter.detach().unflatten(-1, heads) * scale).flatten(2).to(parameter.dtype)
            for parameter in (attention.weight, attention.bias)
        )  # (G, in/G, 3C/G), (G, 1, 3C/G)

    def __call__(self, hidden: Tensor, mask_bias: Tensor) -> Tensor:
        """*Shapes:* (N, C), (B, 1, 1, T) -> (N, C)."""
        (batch, _, _, length), groups = mask_bias.shape, len(self.weight)
        parts = hidden.view(len(hidden), groups, -1).transpose(0, 1)  # (G, N, C/G)
        projected = torch.baddbmm(self.bias, parts, self.weight).view(
            groups, batch, length, self.num_heads // groups, 3, -1
        )
        heads = projected.permute(4, 1, 0, 3, 2, 5).reshape(3, batch * self.num_heads, length, -1)
        query, key, value = heads.unbind(0)  # (B * H, T, D) each
        scores = torch.bmm(query, key.transpose(1, 2)).view(batch, self.num_heads, length, length).add_(mask_bias)
        context = torch.bmm(scores.softmax(-1).flatten(0, 1), value).view(batch, self.num_heads, length, -1)
        return context.transpose(1, 2).reshape(len(hidden), -1)


class PackedBlock(nn.Module):
    """What `Block` computes."""

    def __init__(self, block: Block, attention: FusedAttention) -> None:
        super().__init__()
        self.attend = PackedAttention(attention)
        self.post_attention = packed_groups(block.post_attention.conv1d)
        self.intermediate = packed_groups(block.intermediate.conv1d)
        self.output = packed_groups(block.output.conv1d)
        self.attention_norm, self.output_norm = block.post_attention.layernorm, block.output.layernorm

    def forward(self, hidden: Tensor, mask_bias: Tensor) -> Tensor:
        """*Shapes:* (B, T, C), (B, 1, 1, T) -> (B, T, C)."""
        rows = hidden.flatten(0, 1)  # (N, C)
        attended = _grouped(self.post_attention, self.attend(rows, mask_bias))
        attended = self.attention_norm(attended.add_(rows))
        return self.output_norm(self._feed_forward(attended).add_(attended)).view_as(hidden)

    def _save_to_state_dict(self, *_: Any) -> None:
        raise SqbertError(
            "packed layers cannot be saved", hint="load the model with `sqbert_cli.models.load_checkpoint`"
        )

    def _feed_forward(self, hidden: Tensor) -> Tensor:
        if len(self.intermediate) != len(self.output):
            return _grouped(self.output, _grouped(self.intermediate, hidden, "gelu"))
        inner = by_group(self.intermediate, _parts(hidden, self.intermediate), "gelu")
        return _together(by_group(self.output, inner))


def _grouped(groups: list[PackedGroup], hidden: Tensor, activation: str = "none") -> Tensor:
    return _together(by_group(groups, _parts(hidden, groups), activation))


def _parts(hidden: Tensor, groups: list[PackedGroup]) -> list[Tensor]:
    return list(hidden.chunk(len(groups), -1))


def _together(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

"""Grouped position-wise layers and attention.

Letters in shapes: B texts of a batch, T tokens, C channels, H heads, D channels of a head, G groups.
On disk a layer is a Conv1d of the reference, (out, in / G, 1); in memory it is (G, in / G, out / G), ready for the
product. The state-dict hooks are the only place that knows both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sqbert_cli.model.config import SqueezeBertConfig
from sqbert_cli.model.grouped import grouped_linear


def _from_disk(state: Mapping[str, Tensor], prefix: str, groups: int) -> tuple[Tensor, Tensor]:
    """(out, in/G, 1), (out,) -> (G, in/G, out/G), (G, 1, out/G)."""
    weight, bias = state[f"{prefix}weight"], state[f"{prefix}bias"]
    return weight.squeeze(-1).unflatten(0, (groups, -1)).transpose(1, 2), bias.view(groups, 1, -1)


def _to_disk(destination: dict[str, Any], prefix: str, weight: Tensor, bias: Tensor) -> None:
    destination[f"{prefix}weight"] = weight.detach().transpose(1, 2).flatten(0, 1).unsqueeze(-1)
    destination[f"{prefix}bias"] = bias.detach().flatten()


class GroupedLinear(nn.Module):
    """A position-wise layer whose channels are split into `groups` that do not see one another."""

    def __init__(self, in_size: int, out_size: int, groups: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(groups, in_size // groups, out_size // groups))
        self.bias = nn.Parameter(torch.zeros(groups, 1, out_size // groups))

    def forward(self, hidden: Tensor) -> Tensor:
        """*Shapes:* (B, T, in) -> (B, T, out)."""
        return grouped_linear(hidden, self.weight, self.bias)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        _to_disk(destination, prefix, self.weight, self.bias)

    def _load_from_state_dict(self, state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
        weight, bias = _from_disk(state, prefix, self.weight.shape[0])
        with torch.no_grad():
            self.weight.copy_(weight)
            self.bias.copy_(bias)


class Attention(nn.Module):
    """Scaled dot-product attention of H heads; a subclass says how query, key and value are projected."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.num_heads = config.num_attention_heads
        self.scale = 1 / math.sqrt(config.head_size)
        self.dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def project(self, hidden: Tensor) -> tuple[Tensor, ...]:
        """*Shapes:* (B, T, C) -> query, key, value, each (B, H, T, D)."""
        raise NotImplementedError

    def forward(self, hidden: Tensor, mask_bias: Tensor) -> Tensor:
        """*Shapes:* (B, T, C), (B, 1, 1, T) -> (B, T, C)."""
        query, key, value = self.project(hidden)
        if hidden.device.type == "cuda":
            context = self._fused(query, key, value, mask_bias)
        else:
            scores = (query * self.scale) @ key.transpose(2, 3) + mask_bias  # (B, H, T, T)
            context = self.dropout(scores.softmax(-1)) @ value  # (B, H, T, D)
        return context.transpose(1, 2).flatten(2)  # (B, T, C)

    def _fused(self, query: Tensor, key: Tensor, value: Tensor, mask_bias: Tensor) -> Tensor:
        """On a GPU, where the scores are never written out; on a processor this was slower (tests/bench/LOG.md)."""
        dropout = self.dropout.p if self.training else 0.0
        return nn.functional.scaled_dot_product_attention(
            query, key, value, mask_bias, dropout_p=dropout, scale=self.scale
        )


class FusedAttention(Attention):
    """Query, key and value in one product, for one group count that divides the heads.

    The channels of a group are the heads of that group: with the output laid out as (H, 3, D), attention gets its heads
    as views.
    """

    names = ("query", "key", "value")

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        groups, size = config.q_groups, config.hidden_size // config.q_groups
        self.weight = nn.Parameter(torch.zeros(groups, size, 3 * size))
        self.bias = nn.Parameter(torch.zeros(groups, 1, 3 * size))

    def project(self, hidden: Tensor) -> tuple[Tensor, ...]:
        projected = grouped_linear(hidden, self.weight, self.bias)  # (B, T, H*3*D)
        return projected.unflatten(-1, (self.num_heads, 3, -1)).permute(3, 0, 2, 1, 4).unbind(0)

    def _heads(self, parameter: Tensor) -> Tensor:
        """(G, X, 3C/G) -> (G, X, H/G, 3, D), a view."""
        return parameter.detach().unflatten(-1, (self.num_heads // len(parameter), 3, -1))

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        weights, biases = self._heads(self.weight).unbind(-2), self._heads(self.bias).unbind(-2)
        for name, weight, bias in zip(self.names, weights, biases, strict=True):
            _to_disk(destination, f"{prefix}{name}.", weight.flatten(2), bias)

    def _load_from_state_dict(self, state: Mapping[str, Tensor], prefix: str, *_: Any) -> None:
        weights, biases = self._heads(self.weight).unbind(-2), self._heads(self.bias).unbind(-2)
        for name, weight, bias in zip(self.names, weights, biases, strict=True):
            new_weight, new_bias = _from_disk(state, f"{prefix}{name}.", len(self.weight))
            weight.copy_(new_weight.reshape(weight.shape))
            bias.copy_(new_bias.reshape(bias.shape))


class SplitAttention(Attention):
    """Query, key and value each with a group count of its own."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config)
        size = config.hidden_size
        self.query = GroupedLinear(size, size, config.q_groups)
        self.key = GroupedLinear(size, size, config.k_groups)
        self.value = GroupedLinear(size, size, config.v_groups)

    def project(self, hidden: Tensor) -> tuple[Tensor, ...]:
        layers = (self.query, self.key, self.value)
        return tuple(layer(hidden).unflatten(-1, (self.num_heads, -1)).transpose(1, 2) for layer in layers)


def attention(config: SqueezeBertConfig) -> Attention:
    equal = config.q_groups == config.k_groups == config.v_groups
    fusable = equal and config.num_attention_heads % config.q_groups == 0
    return FusedAttention(config) if fusable else SplitAttention(config)

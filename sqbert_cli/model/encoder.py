"""SqueezeBERT's encoder, which is BERT's where every group count is 1. Shape letters as in `layers.py`.

Tensors stay channels last, (B, T, C), from door to door. Attributes carry the names of the reference (transformers
`modeling_squeezebert.py`), so `state_dict()` has the tensor names of the published checkpoints.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sqbert_cli.model.config import SqueezeBertConfig
from sqbert_cli.model.layers import GroupedLinear, attention


class Embeddings(nn.Module):
    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.word_embeddings = _empty_embedding(config.vocab_size, size, config.pad_token_id)
        self.position_embeddings = _empty_embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = _empty_embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, input_ids: Tensor, token_type_ids: Tensor) -> Tensor:
        """*Shapes:* (B, T), (B, T) -> (B, T, C)."""
        if self.token_type_embeddings.num_embeddings == 1:
            token_type_ids = torch.zeros_like(token_type_ids)  # both texts of a pair are of the only type
        positions = self.position_embeddings.weight[: input_ids.shape[1]]  # (T, C): positions count from the left
        words = self.word_embeddings(input_ids)
        return self.dropout(self.LayerNorm(words + positions + self.token_type_embeddings(token_type_ids)))


class ResidualLayer(nn.Module):
    """Grouped layer, dropout, residual, LayerNorm. The layer is named `conv1d`, as in the reference."""

    def __init__(self, config: SqueezeBertConfig, in_size: int, groups: int) -> None:
        super().__init__()
        self.conv1d = GroupedLinear(in_size, config.hidden_size, groups)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.layernorm = nn.LayerNorm(config.hidden_size, eps=config.block_layer_norm_eps)

    def forward(self, hidden: Tensor, residual: Tensor) -> Tensor:
        """*Shapes:* (B, T, in), (B, T, C) -> (B, T, C)."""
        return self.layernorm(residual + self.dropout(self.conv1d(hidden)))


class Intermediate(nn.Module):
    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.conv1d = GroupedLinear(config.hidden_size, config.intermediate_size, config.intermediate_groups)

    def forward(self, hidden: Tensor) -> Tensor:
        """*Shapes:* (B, T, C) -> (B, T, intermediate_size)."""
        return nn.functional.gelu(self.conv1d(hidden))


class Block(nn.Module):
    """One layer of the encoder: attention, then the feed-forward pair."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.attention = attention(config)
        self.post_attention = ResidualLayer(config, config.hidden_size, config.post_attention_groups)
        self.intermediate = Intermediate(config)
        self.output = ResidualLayer(config, config.intermediate_size, config.output_groups)

    def forward(self, hidden: Tensor, mask_bias: Tensor) -> Tensor:
        """*Shapes:* (B, T, C), (B, 1, 1, T) -> (B, T, C)."""
        attended = self.post_attention(self.attention(hidden, mask_bias), hidden)
        return self.output(self.intermediate(attended), attended)


class Blocks(nn.Module):
    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(Block(config) for _ in range(config.num_hidden_layers))


class Encoder(nn.Module):
    """Token ids to one vector a token."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Blocks(config)

    def hidden_states(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> list[Tensor]:
        """Return the embeddings and the output of every layer.

        *Shapes:* `input_ids`, `attention_mask` (1 real, 0 padding, padding on the right) and `token_type_ids` (B, T)
        -> `num_hidden_layers` + 1 tensors (B, T, C).
        """
        hidden = self.embeddings(input_ids, token_type_ids)
        device = hidden.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype  # of the scores
        mask_bias = ((1 - attention_mask) * torch.finfo(dtype).min).to(dtype)[:, None, None, :]  # (B, 1, 1, T)
        states = [hidden]
        for block in self.encoder.layers:
            states.append(block(states[-1], mask_bias))
        return states

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """*Shapes:* (B, T) three times -> (B, T, C), the output of the last layer."""
        return self.hidden_states(input_ids, attention_mask, token_type_ids)[-1]


def _empty_embedding(count: int, size: int, padding_idx: int | None = None) -> nn.Embedding:
    """Without random numbers: drawing them takes longer than reading a model."""
    return nn.Embedding.from_pretrained(torch.empty(count, size), freeze=False, padding_idx=padding_idx)

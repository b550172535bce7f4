"""What turns the encoder's vectors into answers. Shape letters as in `layers.py`; L labels, V words."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from sqbert_cli.model.config import HeadConfig, SqueezeBertConfig


class Pooler(nn.Module):
    """The first token's vector, through a dense layer and tanh."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden: Tensor) -> Tensor:
        """*Shapes:* (B, T, C) -> (B, C)."""
        return self.dense(hidden[:, 0]).tanh()


class Numbers(nn.Linear):
    """Numbers, perhaps far from 0, that differ by little (years): float32, whatever the rest of the network is in."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Numbers:
        def moved(tensor: Tensor) -> Tensor:
            other = fn(tensor)
            return other if other.dtype == tensor.dtype else tensor.to(other.device)

        super()._apply(moved, recurse)  # type: ignore[no-untyped-call]
        return self

    def forward(self, hidden: Tensor) -> Tensor:
        """*Shapes:* (B, C) -> (B, L). Autocast would make a product, but not these sums, one of bfloat16."""
        return (hidden.float()[:, None] * self.weight).sum(-1) + self.bias


class SequenceHead(nn.Module):
    """One answer for a text, or for a pair of texts told apart by `token_type_ids`."""

    def __init__(self, config: SqueezeBertConfig, head: HeadConfig) -> None:
        super().__init__()
        self.pooler = Pooler(config)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        linear = Numbers if head.problem_type == "regression" else nn.Linear
        self.classifier = linear(config.hidden_size, len(head.labels))

    def forward(self, hidden: Tensor) -> Tensor:
        """*Shapes:* (B, T, C) -> (B, L)."""
        return self.classifier(self.dropout(self.pooler(hidden)))


class TokenHead(nn.Module):
    """One answer for each token."""

    def __init__(self, config: SqueezeBertConfig, num_labels: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.classifier = nn.Linear(config.hidden_size, num_labels)

    def forward(self, hidden: Tensor) -> Tensor:
        """*Shapes:* (B, T, C) -> (B, T, L)."""
        return self.classifier(self.dropout(hidden))


class SpanHead(nn.Module):
    """The start and the end of an answer."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.qa_outputs = nn.Linear(config.hidden_size, 2)

    def forward(self, hidden: Tensor) -> Tensor:
        """*Shapes:* (B, T, C) -> (B, T, 2)."""
        return self.qa_outputs(hidden)


class Transform(nn.Module):
    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(config.hidden_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: Tensor) -> Tensor:
        """*Shapes:* (B, T, C) -> (B, T, C)."""
        return self.LayerNorm(nn.functional.gelu(self.dense(hidden)))


class MaskedWordHead(nn.Module):
    """A score for every word of the vocabulary at each token; its matrix is the word embeddings (tied)."""

    def __init__(self, config: SqueezeBertConfig, word_embeddings: nn.Embedding) -> None:
        super().__init__()
        self.transform = Transform(config)
        self.bias = nn.Parameter(torch.zeros(config.vocab_size))
        self._tied = [word_embeddings]  # in a list, so that it is not registered, saved and moved twice

    def forward(self, hidden: Tensor) -> Tensor:
        """*Shapes:* (B, T, C) -> (B, T, V)."""
        return nn.functional.linear(self.transform(hidden), self._tied[0].weight, self.bias)


class VectorHead(nn.Linear):
    """From the mean of a text's vectors to the vector of the text; it leaves the encoder's own to the other heads."""

    def __init__(self, config: SqueezeBertConfig) -> None:
        super().__init__(config.hidden_size, config.hidden_size)

    def start(self) -> None:
        """The mean itself."""
        with torch.no_grad():
            nn.init.eye_(self.weight)
            nn.init.zeros_(self.bias)


def make_head(head: HeadConfig, config: SqueezeBertConfig, word_embeddings: nn.Embedding) -> nn.Module:
    match head.kind:
        case "sequence":
            return SequenceHead(config, head)
        case "token":
            return TokenHead(config, len(head.labels))
        case "span":
            return SpanHead(config)
        case "masked_word":
            return MaskedWordHead(config, word_embeddings)
        case "vector":
            return VectorHead(config)
        case "pooler":
            return Pooler(config)

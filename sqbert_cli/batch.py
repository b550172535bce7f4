"""Windows to padded tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sqbert_cli.text.tokenizer import Window


@dataclass(frozen=True)
class Batch:
    """Rows padded on the right to the longest (the paper's model has absolute positions). *Shapes:* (B, T) each."""

    input_ids: Tensor
    attention_mask: Tensor
    token_type_ids: Tensor

    @property
    def tokens(self) -> int:
        """Without padding."""
        return int(self.attention_mask.sum())

    def inputs(self) -> tuple[Tensor, Tensor, Tensor]:
        """In the order in which encoder and network take them."""
        return self.input_ids, self.attention_mask, self.token_type_ids


def collate(windows: Sequence[Window], pad_id: int, device: torch.device) -> Batch:
    length = max(map(len, windows))

    def padded(rows: list[list[int]], padding: int) -> Tensor:
        return torch.tensor([row + [padding] * (length - len(row)) for row in rows]).to(device)

    return Batch(
        padded([window.input_ids for window in windows], pad_id),
        padded([[1] * len(window) for window in windows], 0),
        padded([window.token_type_ids for window in windows], 0),
    )

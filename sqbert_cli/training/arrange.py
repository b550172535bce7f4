"""Which parts of a dense, perhaps wider, teacher a student starts from, and in which of its groups they stand.

A grouped layer keeps of a dense one only what lies within its groups. The order of heads and of inner neurons is free:
a dense network computes the same in any. So each is put where most of its weight is kept. Letters: C channels of the
residual stream, H heads of D channels, F inner neurons, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from sqbert_cli.model.config import SqueezeBertConfig
from sqbert_cli.model.weights import State


@dataclass(frozen=True)
class Arrangement:
    """Of the teacher's parts, those that are kept, in the student's order."""

    channels: Tensor
    """Of the residual stream; (C of the student,)."""
    heads: tuple[Tensor, ...]
    """Of each layer, as channels; (C of the student,)."""
    neurons: tuple[Tensor, ...]
    """Of each layer; (F of the student,)."""


def choose_arrangement(dense: State, teacher: SqueezeBertConfig, student: SqueezeBertConfig) -> Arrangement:
    """Keep what weighs most. `dense` are a BERT's tensors by their reference names."""
    layers = [_Layer.of(dense, f"transformer.encoder.layers.{index}.") for index in range(teacher.num_hidden_layers)]
    channels = _heaviest(torch.stack([layer.channel_weights() for layer in layers]).sum(0), student.hidden_size)
    heads, neurons = [], []
    for layer in layers:
        chosen = _grouped(
            layer.head_weights(channels, student.q_groups, teacher.head_size), student.num_attention_heads
        )
        heads.append((chosen[:, None] * teacher.head_size + torch.arange(teacher.head_size)).flatten())
        neurons.append(_grouped(layer.neuron_weights(channels, student.intermediate_groups), student.intermediate_size))
    return Arrangement(channels, tuple(heads), tuple(neurons))


def arranged(dense: State, arrangement: Arrangement) -> State:
    """Return the kept parts of the encoder and its pooler, in their new order; other heads are left out."""
    return {
        name: _arranged(name, tensor, arrangement) for name, tensor in dense.items() if name.startswith("transformer.")
    }


def _arranged(name: str, tensor: Tensor, order: Arrangement) -> Tensor:
    if ".embeddings." in name:
        return tensor[..., order.channels]
    rows, columns = _orders(name, order)
    return tensor[rows] if tensor.ndim == 1 else tensor[rows][:, columns]


def _orders(name: str, order: Arrangement) -> tuple[Tensor, Tensor]:
    """What the rows of a layer's weight, and its bias, stand for; and what its columns do."""
    channels = order.channels
    if ".layers." in name:
        layer = int(name.split(".layers.")[1].split(".")[0])
        heads, neurons = order.heads[layer], order.neurons[layer]
        for part, orders in (
            (".attention.", (heads, channels)),
            (".post_attention.conv1d", (channels, heads)),
            (".intermediate.", (neurons, channels)),
            (".output.conv1d", (channels, neurons)),
        ):
            if part in name:
                return orders
    return channels, channels


@dataclass(frozen=True)
class _Layer:
    """Squares of a layer's weights."""

    attention: Tensor
    """Query, key and value together; (C, C), from the residual stream to the heads."""
    inner: Tensor
    """Both inner layers together; (F, C)."""

    @classmethod
    def of(cls, dense: State, prefix: str) -> _Layer:
        parts = [dense[f"{prefix}attention.{name}.weight"].square() for name in ("query", "key", "value")]
        inner = (
            dense[f"{prefix}intermediate.conv1d.weight"].square() + dense[f"{prefix}output.conv1d.weight"].square().T
        )
        return cls(torch.stack(parts).sum(0), inner)

    def channel_weights(self) -> Tensor:
        """*Shape:* (C,)."""
        return self.attention.sum(0) + self.inner.sum(0)

    def head_weights(self, channels: Tensor, groups: int, head_size: int) -> Tensor:
        """*Shape:* (H, G): what each head keeps in each group."""
        kept = self.attention[:, channels].unflatten(1, (groups, -1)).sum(-1)
        return kept.unflatten(0, (-1, head_size)).sum(1)

    def neuron_weights(self, channels: Tensor, groups: int) -> Tensor:
        """*Shape:* (F, G)."""
        return self.inner[:, channels].unflatten(1, (groups, -1)).sum(-1)


def _heaviest(weights: Tensor, count: int) -> Tensor:
    """In their old order."""
    return weights.topk(count).indices.sort().values


def _grouped(weights: Tensor, count: int) -> Tensor:
    """Choose `count` parts, equally many of each group, so that most is kept. *Shapes:* (N, G) -> (count,)."""
    groups = weights.shape[1]
    if count % groups:
        return _heaviest(weights.sum(1), count)
    places: NDArray[np.float32] = np.repeat(weights.numpy(), count // groups, axis=1)
    parts, chosen = linear_sum_assignment(places, maximize=True)
    return torch.from_numpy(parts[np.argsort(chosen, kind="stable")])

"""The models that are timed: any that has a name, or a published shape with random weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from sqbert_cli.model.config import GROUP_FIELDS, SqueezeBertConfig
from sqbert_cli.model.network import Network, initialise
from sqbert_cli.models import DEFAULT_MODEL, load_checkpoint

SHAPES = {
    "squeezebert-base": SqueezeBertConfig(),
    "bert-base": SqueezeBertConfig(model_type="bert", **dict.fromkeys(GROUP_FIELDS, 1)),  # type: ignore[arg-type]
}
SUBJECTS = (DEFAULT_MODEL, *SHAPES)


@dataclass(frozen=True)
class Subject:
    """An encoder in float32 without its heads, and where its weights come from."""

    name: str
    network: Network
    weights: str

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self.network.transformer.parameters())


def load_subject(name: str, *, offline: bool = False) -> Subject:
    if config := SHAPES.get(name):
        network = Network(config)
        initialise(network, config.initializer_range, torch.Generator().manual_seed(0))
        return Subject(name, network.eval(), "random")
    network = load_checkpoint(name, offline=offline).network
    network.heads = nn.ModuleDict()
    return Subject(name, network, "its own")

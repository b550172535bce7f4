"""The models that are timed: any that has a name, or a published shape with random weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from sqbert_cli.bench.cases import Shape
from sqbert_cli.bench.flops import encoder_flops
from sqbert_cli.model.config import GROUP_FIELDS, HeadConfig, SqueezeBertConfig
from sqbert_cli.model.network import Network, initialise
from sqbert_cli.models import find_model, load_checkpoint
from sqbert_cli.places import DEFAULT_MODEL
from sqbert_cli.summary import training_fields

SHAPES = {
    "squeezebert-base": SqueezeBertConfig(),
    "bert-base": SqueezeBertConfig(model_type="bert", **dict.fromkeys(GROUP_FIELDS, 1)),  # type: ignore[arg-type]
}
SUBJECTS = (DEFAULT_MODEL, *SHAPES)
SCORED_ON, SCORE_OF = ("SST-2/dev.tsv", "sst2/validation"), "accuracy on SST-2's dev set, %"
QUOTED_SCORES = {"bert-base": 92.7}
"""Of published weights, by transformers' distillation README, not measured; what is timed here has random ones."""


@dataclass(frozen=True)
class Subject:
    """An encoder in float32 without its heads, and where its weights come from."""

    name: str
    network: Network
    weights: str
    score: float | None = None
    """`SCORE_OF`, where it is known."""

    def about(self, shape: Shape) -> dict[str, Any]:
        """What a report says of a model; the arithmetic is that of one run on `shape`."""
        return {
            "parameters": sum(parameter.numel() for parameter in self.network.transformer.parameters()),
            "weights": self.weights,
            "flops_of": f"{shape.batch_size} x {shape.length} tokens",
            "flops": encoder_flops(self.network.config, shape.batch_size, shape.length),
            "score": self.score and {"value": self.score, "of": SCORE_OF, "is_quoted": self.name in QUOTED_SCORES},
        }


def random_network(config: SqueezeBertConfig, heads: Sequence[HeadConfig] = ()) -> Network:
    """Return weights that are the same each time."""
    network = Network(config, heads)
    initialise(network, config.initializer_range, torch.Generator().manual_seed(0))
    return network.eval()


def load_subject(name: str, *, offline: bool = False) -> Subject:
    if config := SHAPES.get(name):
        return Subject(name, random_network(config), "random", QUOTED_SCORES.get(name))
    network = load_checkpoint(name, offline=offline).network
    network.heads = nn.ModuleDict()
    return Subject(name, network, "its own", _score(name, offline))


def _score(name: str, offline: bool) -> float | None:
    scores = training_fields(find_model(name, offline=offline))["scores"]
    found = (metrics.get("accuracy") for split, metrics in scores.items() if is_dev_of_sst2(split))
    return next((value * 100 for value in found if value is not None), None)


def is_dev_of_sst2(split: str) -> bool:
    """Whether a split of that name is GLUE's own, and no part of the training data."""
    return split.endswith(SCORED_ON) and "held out of" not in split

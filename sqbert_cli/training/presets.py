"""Settings of pretraining that are known to work, and the shapes that they are for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

from sqbert_cli.model.config import SqueezeBertConfig
from sqbert_cli.training.settings import PretrainSettings

PresetName = Literal["small", "paper", "distil"]
SMALL = SqueezeBertConfig(hidden_size=384, num_hidden_layers=6, intermediate_size=1_536)
SHAPES: dict[PresetName, SqueezeBertConfig] = {"small": SMALL, "paper": SqueezeBertConfig(), "distil": SMALL}
"""Of a model from nothing; a student has its teacher's."""
PRESETS: dict[PresetName, PretrainSettings] = {
    "small": PretrainSettings(
        objectives={"masked-words": 1.0, "sentence-order": 1.0},
        steps=10_000,
        learning_rate=1e-3,
        warmup_fraction=0.06,
    ),
    # The authors' model card (squeezebert/squeezebert-mnli-headless); its batch of 8,192 is 256 parts of 32 here.
    "paper": PretrainSettings(
        objectives={"masked-words": 1.0, "sentence-order": 1.0},
        optimiser="lamb",
        steps=56_000,
        long_steps=6_000,
        batch_size=32,
        accumulation=256,
        learning_rate=2.5e-3,
        warmup_fraction=0.28,
        dropout=0.1,
    ),
    "distil": PretrainSettings(
        objectives={"states": 1.0},
        steps=2_500,
        learning_rate=3e-3,
        embedding_rate=0.1,
        warmup_fraction=0.03,
    ),
}


def choose_settings(name: PresetName, **chosen: Any) -> PretrainSettings:
    """Return a preset with what was chosen otherwise; `None` is not chosen."""
    return replace(PRESETS[name], **{key: value for key, value in chosen.items() if value is not None})

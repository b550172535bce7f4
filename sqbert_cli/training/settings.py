"""What a run of training is told, and what it does where nobody says otherwise; light at import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqbert_cli.training.objectives import Objective

OptimiserName = Literal["adamw", "lamb"]


@dataclass(frozen=True, kw_only=True)
class OptimiserSettings:
    """What the optimizer does; the schedule is linear warm-up, then linear decay to 0."""

    optimiser: OptimiserName = "adamw"
    learning_rate: float
    """Highest rate, reached at the end of warm-up."""
    embedding_rate: float = 1.0
    """Rate of the embeddings as a share of `learning_rate`; 0 leaves them as they are."""
    warmup_fraction: float = 0.1
    """Share of all steps spent warming up."""
    weight_decay: float = 0.01
    """Not applied to biases and norms."""
    max_grad_norm: float = 1.0
    batch_size: int = 32
    """Windows in a step; with accumulation, in a part of a step."""
    accumulation: int = 1
    """Parts of a step, over all processes."""
    seed: int = 42

    @property
    def step_windows(self) -> int:
        """Windows in a whole step."""
        return self.batch_size * self.accumulation


TEACHER_WEIGHT, TEMPERATURE = 0.9, 2.0


@dataclass(frozen=True, kw_only=True)
class FinetuneSettings(OptimiserSettings):
    """How a head and its encoder learn a task."""

    learning_rate: float = 5e-4
    epochs: float = 3.0
    max_length: int | None = None
    """Tokens in a window, at most; a longer text is learnt window by window. Default: 128, with a question 256."""
    dropout: float = 0.0
    label_smoothing: float | None = None
    """Doubt in the labels. Default: 0.1 where one of 20 or more is right for a text, else none."""
    class_weights: bool = False
    """Weigh labels by how rare they are."""
    eval_steps: int | None = None
    """Steps between two evaluations on dev; default: two in an epoch, but no fewer than ten."""
    save_steps: int = 200
    """Steps between two writes of the resume file, which is written every two minutes, too."""
    patience: int | None = None
    """Stop after so many evaluations without a better score."""
    freeze_encoder: bool = False
    """Teach the heads only."""
    power: float = 0.5
    """Of several tasks, each is seen in proportion to its windows to this power: 1 all alike, 0 all as often."""


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(OptimiserSettings):
    """How an encoder learns from running text."""

    objectives: Mapping[Objective, float]
    """Weights of the losses."""
    steps: int
    max_length: int = 128
    """Tokens in a window, at most."""
    long_steps: int = 0
    """Steps after these, on longer windows; the learning rate goes down over all."""
    long_length: int = 512
    whole_words: bool = False
    """Hide all the pieces of a word, or none."""
    dropout: float = 0.0
    held_out_share: float = 0.03
    """Of the documents."""
    save_steps: int = 200
    """Steps between two writes of the resume file (which is written every two minutes, too) and two looks at the
    held-out text."""

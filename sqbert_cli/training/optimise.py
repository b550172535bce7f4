"""The one training loop: warm-up then linear decay, clipping, one process or several.

Every random number of a step comes from a seed made of the run's seed and the step's index, and so does the choice of
its examples. A resumed run needs the weights, the optimizer and the step's index, and goes on to the same bits.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from sqbert_cli.errors import SqbertError, is_out_of_memory
from sqbert_cli.model.device import keep_freed_memory
from sqbert_cli.training.lamb import Lamb
from sqbert_cli.training.processes import ALONE, Processes
from sqbert_cli.training.settings import OptimiserSettings


@dataclass(frozen=True)
class Step:
    """One update of the weights."""

    index: int
    """Counted from 1."""
    steps: int
    loss: float
    learning_rate: float
    tokens: int
    """Tokens of this step, padding not counted."""
    seconds: float


@dataclass(frozen=True)
class Finished:
    """The run is over."""

    seconds: float
    """Spent on steps, those before a resume too."""
    history: list[dict[str, float]]
    hashes: Mapping[str, Any] = field(default_factory=dict)
    """SHA-256 of what was learnt from and begun with, and how it was used."""


@dataclass
class Progress:
    """What a resume file holds beside the weights and the optimizer."""

    step: int = 0
    seconds: float = 0.0
    """Spent on steps."""
    history: list[dict[str, float]] = field(default_factory=list)
    """Each evaluation: its step and its scores."""
    best_score: float | None = None
    stale: int = 0
    """Evaluations since the best."""


@dataclass(frozen=True)
class MicroBatch:
    """A part of a step: its share of the step's loss, and how many tokens it had."""

    loss: Tensor
    tokens: int


@dataclass(frozen=True)
class Trainer:
    """A network, its optimizer and where the run stands."""

    network: nn.Module
    settings: OptimiserSettings
    steps: int
    optimiser: torch.optim.Optimizer
    progress: Progress
    processes: Processes = ALONE

    def rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0."""
        warmup = max(1, round(self.steps * self.settings.warmup_fraction))
        rising, falling = (step + 1) / warmup, (self.steps - step) / max(1, self.steps - warmup)
        return self.settings.learning_rate * min(1.0, rising, falling)


def make_trainer(
    network: nn.Module,
    settings: OptimiserSettings,
    steps: int,
    frozen: tuple[str, ...] = (),
    processes: Processes = ALONE,
) -> Trainer:
    """`frozen` are prefixes of the names of parameters that stay as they are."""
    groups = _parameter_groups(network, settings, frozen)
    if settings.optimiser == "lamb":
        return Trainer(network, settings, steps, Lamb(groups, lr=settings.learning_rate), Progress(), processes)
    adamw = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
    return Trainer(network, settings, steps, adamw, Progress(), processes)


def optimise(trainer: Trainer, losses: Callable[[int], Iterable[MicroBatch]]) -> Iterator[Step]:
    """Run the steps that are left. `losses(step)` yields this process's parts of a step; the losses of all add up."""
    parameters = [parameter for group in trainer.optimiser.param_groups for parameter in group["params"]]
    keep_freed_memory()
    for step in range(trainer.progress.step, trainer.steps):
        started = time.perf_counter()
        torch.manual_seed((trainer.settings.seed * 1_000 + trainer.processes.rank) * 1_000_003 + step)
        rate = trainer.rate(step)
        for group in trainer.optimiser.param_groups:
            group["lr"] = rate * group["rate_scale"]
        of_parts, tokens = list[Tensor](), 0
        with _memory_told(step):
            for part in losses(step):
                part.loss.backward()
                of_parts.append(part.loss.detach())
                tokens += part.tokens
            loss = sum(one.item() for one in of_parts)  # a GPU may have gone on until here
        loss, all_tokens = trainer.processes.totals(loss, tokens, device=parameters[0].device)
        trainer.processes.add_up_gradients(parameters)
        norm = float(nn.utils.clip_grad_norm_(parameters, trainer.settings.max_grad_norm))
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise SqbertError(
                f"step {step + 1}: the loss is {loss}, its gradient's length {norm}",
                hint="try a lower `--learning-rate`, or `--dtype float32` where it is not that",
            )
        trainer.optimiser.step()
        trainer.optimiser.zero_grad()
        seconds = time.perf_counter() - started
        trainer.progress.step, trainer.progress.seconds = step + 1, trainer.progress.seconds + seconds
        yield Step(step + 1, trainer.steps, loss, rate, int(all_tokens), seconds)


@contextmanager
def _memory_told(step: int) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise SqbertError(
            f"step {step + 1} does not fit into the memory of the device",
            hint="a smaller `--batch-size` with a larger `--accumulation` is the same step",
        ) from error


def _parameter_groups(network: nn.Module, settings: OptimiserSettings, frozen: tuple[str, ...]) -> list[dict[str, Any]]:
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, parameter in network.named_parameters():
        is_embedding = name.startswith("transformer.embeddings.")
        scale = 0.0 if name.startswith(frozen) else settings.embedding_rate if is_embedding else 1.0
        parameter.requires_grad_(scale > 0)
        decays = not name.endswith("bias") and "layernorm" not in name.lower()
        if scale > 0:
            groups.setdefault((scale, decays), []).append(parameter)
    return [
        {"params": params, "rate_scale": scale, "weight_decay": settings.weight_decay * decays, "adapted": decays}
        for (scale, decays), params in groups.items()
    ]

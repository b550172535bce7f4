"""The resume file: all that a run needs to go on to the same bits, believed only where it is whole and of that run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sqbert_cli.errors import SqbertError
from sqbert_cli.files import whole_file
from sqbert_cli.tensors import is_damage
from sqbert_cli.training.optimise import Progress, Trainer

SHARED_OUT = ("processes", "threads", "batch_size", "accumulation")
"""How the work of a step is shared; with others the curve is the same, to rounding, and the bits are not."""


def write_state(path: Path, values: Mapping[str, Any]) -> None:
    """Write what `torch.load` reads; whole or not at all."""
    content = BytesIO()  # a file that cannot be written would make torch hide the reason
    torch.save(dict(values), content)
    with whole_file(path) as file:
        file.write(content.getbuffer())


def load_state(trainer: Trainer, file: Path, identity: Mapping[str, Any]) -> tuple[str, ...]:
    """Take up a state; return what is shared out otherwise than before. `SqbertError` if it is damaged or another's."""
    with damage_told(file):
        with file.open("rb") as opened:
            saved = torch.load(opened, map_location="cpu", weights_only=True)
        was = dict(saved["identity"])
    changes = {
        name: f"{name}: was {was.get(name)}, now {value}" for name, value in identity.items() if was.get(name) != value
    }
    if different := [change for name, change in changes.items() if name not in SHARED_OUT]:
        raise SqbertError(
            f"`{file}` belongs to another run:\n  " + "\n  ".join(different),
            hint=f"resume with the same settings and data, or remove `{file.parent}` to start anew",
        )
    with damage_told(file):
        _restore(trainer, saved)
    return tuple(changes.values())


def _restore(trainer: Trainer, saved: Mapping[str, Any]) -> None:
    options = [_options(group) for group in trainer.optimiser.param_groups]
    progress = Progress(**saved["progress"])
    with torch.no_grad():
        for name, parameter in trainer.network.named_parameters():
            parameter.copy_(saved["network"][name])
    trainer.optimiser.load_state_dict(saved["optimiser"])
    if (
        not _is_of(trainer, progress)
        or [_options(group) for group in trainer.optimiser.param_groups] != options
        or any(not _is_state_of(parameter, state) for parameter, state in trainer.optimiser.state.items())
    ):
        raise ValueError("the state is of another run")
    for name, value in vars(progress).items():
        setattr(trainer.progress, name, value)


def _options(group: Mapping[str, Any]) -> dict[str, Any]:
    """What a run does not change."""
    return {name: value for name, value in group.items() if name not in ("params", "lr")}


def _is_of(trainer: Trainer, progress: Progress) -> bool:
    """Whether what is read is what a run of so many steps would have written."""
    numbers = (progress.seconds, progress.stale, 0 if progress.best_score is None else progress.best_score)
    return (
        type(progress.step) is int
        and 0 <= progress.step <= trainer.steps
        and all(isinstance(number, (int, float)) for number in numbers)
        and isinstance(progress.history, list)
        and all(isinstance(row, dict) for row in progress.history)
    )


def _is_state_of(parameter: Tensor, state: Mapping[str, Any]) -> bool:
    """Of AdamW's or LAMB's."""
    shapes = {"step": (), "exp_avg": parameter.shape, "exp_avg_sq": parameter.shape}
    return set(state) == set(shapes) and all(
        isinstance(state[name], Tensor) and state[name].shape == shape for name, shape in shapes.items()
    )


@contextmanager
def damage_told(path: Path) -> Iterator[None]:
    """Of a file of ours; what it makes torch raise when it is no longer as we wrote it may be anything."""
    try:
        yield
    except Exception as error:
        if not is_damage(error):
            raise
        raise SqbertError(
            f"`{path}` is damaged: {type(error).__name__}", hint=f"remove `{path.parent}` to start anew"
        ) from error

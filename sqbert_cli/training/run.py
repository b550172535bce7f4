"""Where a run computes, and the resume file from which it goes on to the same bits."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

import tokenizers
import torch
from torch import Tensor, nn

from sqbert_cli import __version__
from sqbert_cli.checkpoint import Checkpoint, write_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import sweep, whole_file
from sqbert_cli.tensors import is_damage, load_safetensors
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.card import model_card
from sqbert_cli.training.optimise import OptimiserSettings, Progress, Trainer
from sqbert_cli.training.processes import ALONE, Processes, leave_processes

SHARED_OUT = ("processes", "threads")
"""How the work of a step is shared; with others the curve is the same, to rounding, and the bits are not."""


@dataclass(frozen=True)
class Resumed:
    """A run has gone on from its resume file."""

    step: int
    changes: tuple[str, ...]
    """What is shared out otherwise than before."""


@dataclass(frozen=True)
class Run:
    """Device, precision of the products, and the folder of what is only needed to resume."""

    folder: Path
    device: torch.device
    dtype: torch.dtype
    resume: bool = False
    processes: Processes = ALONE

    @property
    def file(self) -> Path:
        return self.folder / "progress.pt"

    @property
    def best_file(self) -> Path:
        return self.folder / "best.safetensors"

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def identity(self, settings: OptimiserSettings, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the bits of a run depend on; a run goes on only with the same, `SHARED_OUT` aside."""
        chosen = {name: value for name, value in asdict(settings).items() if name != "save_steps"}
        computing = {
            "device": self.device.type,
            "dtype": str(self.dtype),
            "processes": self.processes.count,
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
        }
        return {**chosen, **values, **computing}

    def start(self, trainer: Trainer, identity: Mapping[str, Any]) -> Iterator[Resumed]:
        """Begin at step 0, or where the resume file left off."""
        if self.resume and self.file.is_file():
            changes = _load(trainer, self.file, identity)
            yield Resumed(trainer.progress.step, changes)

    def save(self, trainer: Trainer, identity: Mapping[str, Any]) -> None:
        """By the first process only."""
        if not self.processes.is_first:
            return
        state = {
            "identity": dict(identity),
            "progress": asdict(trainer.progress),
            "network": {name: parameter.detach() for name, parameter in trainer.network.named_parameters()},
            "optimiser": trainer.optimiser.state_dict(),
        }
        write_tensors(self.file, state)


def open_run(
    output: Path, device: torch.device, dtype: torch.dtype, processes: Processes = ALONE, *, resume: bool
) -> Run:
    """Claim the folder of a new model; refuse one that holds something already. The first process does it for all."""
    run = Run(output / ".resume", device, dtype, resume, processes)
    if processes.is_first:
        _claim(run, output)
    processes.wait()
    return run


def _claim(run: Run, output: Path) -> None:
    is_interrupted = run.file.exists()
    if (output / "config.json").exists() and not (is_interrupted and run.resume):  # else it was killed at the very end
        raise SqbertError(f"`{output}` already holds a model", hint="name another folder with `--output`")
    if is_interrupted and not run.resume:
        raise SqbertError(
            f"`{output}` holds an interrupted run",
            hint=f"go on with `--resume`, or remove `{run.folder}` to start anew",
        )
    output.mkdir(parents=True, exist_ok=True)
    others = [path.name for path in output.iterdir() if path != run.folder]
    if others and not is_interrupted:
        raise SqbertError(
            f"`{output}` is not empty: it holds `{others[0]}`", hint="name another folder with `--output`"
        )
    run.folder.mkdir(exist_ok=True)
    for folder in (output, run.folder):
        sweep(folder)


def round_weights(checkpoint: Checkpoint, save_dtype: str) -> None:
    """Give the weights the precision that they will have on disk, so that what is measured is what is kept."""
    checkpoint.network.to(getattr(torch, save_dtype)).float()


def finish_run(run: Run, checkpoint: Checkpoint, save_dtype: str, training: Mapping[str, Any]) -> None:
    """Write the model folder, then drop what was only needed to resume; by the first process only."""
    leave_processes()
    checkpoint.network.cpu()
    if not run.processes.is_first:
        return
    versions = {
        "sqbert": __version__,
        "torch": torch.__version__,
        "tokenizers": tokenizers.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "processes": run.processes.count,
    }
    values = {**training, "precision": str(run.dtype), "device": str(run.device), "versions": versions}
    output = run.folder.parent
    with whole_file(output / "README.md") as file:
        file.write(model_card(output.name, values).encode("utf-8", "backslashreplace"))
    write_checkpoint(checkpoint, output, getattr(torch, save_dtype), values)
    run.file.unlink(missing_ok=True)  # first, so that there is all that is needed to go on, or nothing
    shutil.rmtree(run.folder, ignore_errors=True)


def write_tensors(path: Path, values: Mapping[str, Any]) -> None:
    """Write what `torch.load` reads; whole or not at all."""
    content = BytesIO()  # a file that cannot be written would make torch hide the reason
    torch.save(dict(values), content)
    with whole_file(path) as file:
        file.write(content.getbuffer())


def take_best(run: Run, network: nn.Module) -> None:
    """Give a network the weights that were the best on dev."""
    with _damage_told(run.best_file):
        network.load_state_dict(load_safetensors(run.best_file))


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    """Of a file of ours; what it makes torch raise when it is no longer as we wrote it may be anything."""
    try:
        yield
    except Exception as error:
        if not is_damage(error):
            raise
        raise SqbertError(
            f"`{path}` is damaged: {type(error).__name__}", hint=f"remove `{path.parent}` to start anew"
        ) from error


def windows_hash(windows: Sequence[Window], *more: object) -> str:
    """SHA-256 of what is learnt from."""
    digest = sha256(repr(more).encode())
    for window in windows:
        digest.update(repr(window.input_ids).encode())
    return digest.hexdigest()


def _load(trainer: Trainer, file: Path, identity: Mapping[str, Any]) -> tuple[str, ...]:
    with _damage_told(file):
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
    with _damage_told(file):
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

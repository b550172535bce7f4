"""Where a run computes, and the folder that it claims, fills, and leaves as a model."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

import tokenizers
import torch
from filelock import BaseFileLock, FileLock, Timeout
from torch import nn

from sqbert_cli import __version__
from sqbert_cli.checkpoint import Checkpoint, write_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import sweep, whole_file
from sqbert_cli.tensors import load_safetensors
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.card import model_card
from sqbert_cli.training.optimise import Trainer
from sqbert_cli.training.processes import ALONE, Processes, leave_processes
from sqbert_cli.training.resume import SHARED_OUT, damage_told, load_state, write_state
from sqbert_cli.training.settings import OptimiserSettings

SEEN_SECONDS = 60.0
"""A folder of another machine may come into sight so late (NFS remembers that there was none)."""

ORDER = 2
"""Of how texts are divided into passages and examples into steps; raised where the same would give other bits."""


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
    lock: BaseFileLock | None = field(default=None, repr=False)
    """Of the folder, held by the first process for as long as it lives."""
    stop: Event = field(default_factory=Event, repr=False)
    """Set where the run is to end after the step that it is at."""

    @property
    def file(self) -> Path:
        return self.folder / "progress.pt"

    @property
    def best_file(self) -> Path:
        return self.folder / "best.safetensors"

    def autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def identity(self, settings: OptimiserSettings, values: Mapping[str, Any]) -> dict[str, Any]:
        """What the bits of a run depend on; a run goes on only with the same, how its steps are shared out aside."""
        chosen = {name: value for name, value in asdict(settings).items() if name != "save_steps"}
        computing = {
            "windows in a step": settings.step_windows,
            "order of examples": ORDER,
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
            changes = load_state(trainer, self.file, identity)
            yield Resumed(trainer.progress.step, changes)
        told = {name: value for name, value in identity.items() if name not in SHARED_OUT}
        self.processes.check_same((told, trainer.progress.step), self.device)

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
        write_state(self.file, state)


def open_run(
    output: Path, device: torch.device, dtype: torch.dtype, processes: Processes = ALONE, *, resume: bool
) -> Run:
    """Claim the folder of a new model; refuse one that holds something already. The first process does it for all."""
    run = Run(output / ".resume", device, dtype, resume, processes)
    if processes.is_first:
        run = replace(run, lock=_claim(run, output))
    processes.wait()
    waited = 0.0
    while not run.folder.is_dir() and waited < SEEN_SECONDS:
        time.sleep(0.5)
        waited += 0.5
    if not run.folder.is_dir():
        raise SqbertError(
            f"process {processes.rank} does not see `{run.folder}`, which the first has made",
            hint="name an `--output` that all machines share",
        )
    return run


def _claim(run: Run, output: Path) -> BaseFileLock:
    if run.folder.is_dir():
        _lock(run.folder).release()  # asked first: what another process fills just now looks like an interrupted run
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
    lock = _lock(run.folder)
    for folder in (output, run.folder):
        sweep(folder)
    return lock


def _lock(folder: Path) -> BaseFileLock:
    lock = FileLock(folder / "lock", is_singleton=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise SqbertError(
            f"another process is at work in `{folder.parent}`", hint="wait for it, end it, or name another `--output`"
        ) from None
    except NotImplementedError:
        pass  # a file system without locks
    return lock


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
    if run.lock:
        run.lock.release()
    shutil.rmtree(run.folder, ignore_errors=True)


def take_best(run: Run, network: nn.Module) -> None:
    """Give a network the weights that were the best on dev."""
    with damage_told(run.best_file):
        network.load_state_dict(load_safetensors(run.best_file))


def windows_hash(windows: Sequence[Window], *more: object) -> str:
    """SHA-256 of what is learnt from."""
    digest = sha256(repr(more).encode())
    for window in windows:
        digest.update(repr(window.input_ids).encode())
        if any(window.token_type_ids):
            digest.update(repr(window.token_type_ids).encode())
    return digest.hexdigest()

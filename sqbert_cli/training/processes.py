"""Several processes that train one model, started by `torchrun`: each computes a part of every step."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256

import torch
from torch import Tensor, distributed

from sqbert_cli.errors import SqbertError

PATIENCE = timedelta(days=1)
"""One may have to tokenize a large text while the others wait."""


@dataclass(frozen=True)
class Processes:
    """Which of how many this process is."""

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    """The same on its machine."""

    @property
    def is_first(self) -> bool:
        """The one that writes files and shows the run."""
        return self.rank == 0

    @property
    def is_first_here(self) -> bool:
        """The one that fills the cache of its machine."""
        return self.local_rank == 0

    def share(self, rows: Sequence[int]) -> Sequence[int]:
        """The rows of a step that are this process's to compute."""
        return rows[self.rank :: self.count]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Give every process the sums of all, in place."""
        if self.count > 1 and tensors:
            flat = torch.cat([tensor.flatten() for tensor in tensors])
            distributed.all_reduce(flat)
            for tensor, total in zip(tensors, flat.split([tensor.numel() for tensor in tensors]), strict=True):
                tensor.copy_(total.view_as(tensor))

    def add_up_gradients(self, parameters: Sequence[Tensor]) -> None:
        """A gradient that only some processes have is 0 in the others; one that nobody has stays absent."""
        if self.count == 1:
            return
        has = torch.tensor([float(parameter.grad is not None) for parameter in parameters], device=parameters[0].device)
        self.add_up([has])
        for parameter, somebody in zip(parameters, has.tolist(), strict=True):
            if somebody and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self.add_up([parameter.grad for parameter in parameters if parameter.grad is not None])

    def totals(self, *numbers: float, device: torch.device) -> tuple[float, ...]:
        """Each summed over all processes."""
        if self.count == 1:
            return numbers
        sums = torch.tensor(numbers, dtype=torch.float32, device=device)
        self.add_up([sums])
        return tuple(sums.tolist())

    def check_same(self, what: object, device: torch.device) -> None:
        """Raise `SqbertError` in all processes where one is about to do something else than the first."""
        mark = int(sha256(repr(what).encode()).hexdigest()[:6], 16)  # of 24 bits, which a float32 holds
        (first,) = self.totals(mark if self.is_first else 0, device=device)
        (others,) = self.totals(mark != first, device=device)
        if others:
            raise SqbertError(
                f"{others:.0f} of {self.count} processes would not do what the first does",
                hint="give all the same command, `--resume` too, the same files and the same `--output`",
            )

    def wait(self) -> None:
        """Until all are here."""
        if self.count > 1:
            distributed.barrier()


ALONE = Processes()


def join_processes(device: torch.device) -> tuple[Processes, torch.device]:
    """Join those that `torchrun` started, where it did; return also this process's own device."""
    count = _number("WORLD_SIZE", 1)
    if count == 1:
        return Processes(), device
    local_rank = _number("LOCAL_RANK")
    if device.type == "mps":
        raise SqbertError("several processes cannot share Apple's GPU", hint="`--device cpu`, or one process")
    if device.type == "cuda":
        if local_rank >= torch.cuda.device_count():
            raise SqbertError(
                f"process {local_rank} of this machine has no GPU: there are {torch.cuda.device_count()}",
                hint="as many processes as GPUs (`--nproc-per-node`), or `--device cpu`",
            )
        device = torch.device("cuda", local_rank)
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=PATIENCE)
    return Processes(distributed.get_rank(), count, local_rank), device


def _number(variable: str, default: int | None = None) -> int:
    """Read what `torchrun` sets."""
    value = os.environ.get(variable) or default
    try:
        return int(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise SqbertError(
            f"{variable} is {value!r} where `torchrun` puts a number",
            hint="start several processes with `torchrun`; for one alone unset WORLD_SIZE",
        ) from None


def leave_processes() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()

"""What a command asks of a model: answered here, or sent to workers that answer with the same functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqbert_cli import api
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.model.config import DeviceName, DtypeName


@dataclass(frozen=True)
class ModelChoice:
    """Which model, and how it computes."""

    name: str | None = None
    device: DeviceName = "auto"
    dtype: DtypeName = "auto"
    threads: int | None = None
    offline: bool = False

    def load(self) -> Checkpoint:
        return api.load(**asdict(self))


@dataclass(frozen=True)
class Job:
    """From records to results, and from a result to fields. To be pickled: functions, their options in a `partial`."""

    model: ModelChoice
    answer: Callable[..., Iterator[Any]]
    """Of `predict/`: checkpoint and records, and `live`, are still to come."""
    to_fields: Callable[[Any], Mapping[str, Any]]

"""How a phone is to be measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

LIMIT = 1_800
"""Seconds after which the phone itself ends a run."""

RuntimeChoice = Literal["auto", "termux", "native", "both"]


@dataclass(frozen=True)
class Course:
    runtime: RuntimeChoice
    threads: Sequence[int]
    """Of one run after another."""
    length: int
    warmup: int
    runs: int
    """Timed, of each model; 0: all but the measurement."""
    cooldown_seconds: float
    force: bool
    purge: bool

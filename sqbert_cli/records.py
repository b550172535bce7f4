"""The nouns that travel between the stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Gold: TypeAlias = str | tuple[str, ...] | float
"""A single label, several labels, or a number."""


def labels_of(gold: Gold | None) -> tuple[str, ...]:
    return gold if isinstance(gold, tuple) else (str(gold),)


@dataclass(frozen=True, slots=True)
class Record:
    """One text, or a pair of texts, with all the fields that it came with."""

    text: str
    pair: str | None = None
    gold: Gold | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    """Where it came from, as `reviews.jsonl:12`."""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """A line that could not be used, and why."""

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class Classification:
    """What a model says of one record."""

    record: Record
    scores: Mapping[str, float]
    """Every label with its score, best first; a regression has one."""
    labels: tuple[str, ...]
    """The labels that hold: one, or for multi-label those above the threshold; none for a regression."""
    windows: int = 1
    """How many windows the text needed."""

    @property
    def label(self) -> str:
        """The best label."""
        return next(iter(self.scores))

    @property
    def score(self) -> float:
        """That of the best label; the number of a regression."""
        return self.scores[self.label]

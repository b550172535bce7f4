"""The nouns that travel between the stages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Gold: TypeAlias = str | tuple[str, ...] | float
"""A single label, several labels, or a number."""


def labels_of(gold: Gold | None) -> tuple[str, ...]:
    return gold if isinstance(gold, tuple) else (str(gold),)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A part of a text, `[start, end)` in characters of the original, and what it is called."""

    start: int
    end: int
    label: str = ""


@dataclass(frozen=True, slots=True)
class Word:
    """A word: where it lies in the text, and its line of columns where a file gives it as such."""

    start: int
    end: int
    line: str = ""


@dataclass(frozen=True, slots=True)
class Record:
    """One text, or a pair of texts, with all the fields that it came with. A context's pair is its question."""

    text: str
    pair: str | None = None
    gold: Gold | None = None
    spans: tuple[Span, ...] | None = None
    """Gold entities; or gold answers, any of which is right (none: the question has no answer)."""
    words: tuple[Word, ...] | None = None
    """Where the file says what the words are; else the tokenizer does."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    """Where it came from, as `reviews.jsonl:12`."""
    problem: str = ""
    """What is wrong with its gold, for those who want that."""


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


@dataclass(frozen=True, slots=True)
class Found:
    """A span that a model found."""

    text: str
    """`record.text[start:end]`."""
    start: int
    end: int
    score: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Entities:
    """The entities of one text, in the order of the text; they do not overlap."""

    record: Record
    entities: tuple[Found, ...]
    words: tuple[Word, ...] = ()
    """The words that were judged; an entity is some of them in a row."""
    tags: tuple[str, ...] = ()
    """What each word was judged to be, before anything was left out."""
    windows: int = 1


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers that one context has for a question, best first; none where it says nothing."""

    record: Record
    answers: tuple[Found, ...]
    no_answer: float
    """How likely it is that the context has no answer, beside the best one: 0 to 1."""
    windows: int = 1


@dataclass(frozen=True, slots=True)
class Filled:
    """What may stand at each mask of a text."""

    record: Record
    masks: tuple[tuple[Found, ...], ...]
    """For each mask the best words, whose `start` and `end` are those of the mask."""


@dataclass(frozen=True, slots=True)
class Embedded:
    """A text as a vector of length 1."""

    record: Record
    vector: tuple[float, ...]

"""Which lesson each step is of, and which windows."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from sqbert_cli.training.sampler import Sampler


class Plan:
    """Batches of several lessons for any step, told by seed and step alone."""

    def __init__(
        self, lengths: Sequence[Sequence[int]], batch_size: int, epochs: float, power: float, seed: int
    ) -> None:
        self.samplers = [Sampler(of_lesson, batch_size, seed) for of_lesson in lengths]
        self.steps_per_epoch = sum(sampler.steps_per_epoch for sampler in self.samplers)
        self.steps = max(1, round(self.steps_per_epoch * epochs))
        order = _shares([len(of_lesson) ** power for of_lesson in lengths], self.steps)
        random.Random(seed).shuffle(order)
        self._places: list[tuple[int, int]] = []
        seen = [0] * len(lengths)
        for lesson in order:
            self._places.append((lesson, seen[lesson]))
            seen[lesson] += 1
        self.steps_of = tuple(seen)
        """How many of the steps are of each lesson."""

    @property
    def shares(self) -> list[tuple[int, float]]:
        """Of each lesson, its steps, and how often its windows are seen."""
        pairs = zip(self.steps_of, self.samplers, strict=True)
        return [(steps, steps / sampler.steps_per_epoch) for steps, sampler in pairs]

    def batch(self, step: int) -> tuple[int, Sequence[int]]:
        """Return the lesson of a step, counted from 0, and which of its windows are seen."""
        lesson, index = self._places[step]
        return lesson, self.samplers[lesson].batch(index)


def _shares(weights: Sequence[float], steps: int) -> list[int]:
    """Each lesson as often as its weight has it."""
    edges = [round(steps * sum(weights[:index]) / sum(weights)) for index in range(len(weights) + 1)]
    return [lesson for lesson, (start, end) in enumerate(pairwise(edges)) for _ in range(end - start)]

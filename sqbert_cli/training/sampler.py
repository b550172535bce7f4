"""Which examples make up a step: shuffled, but with texts of about equal length together."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

POOL_BATCHES = 50
BLUR = 0.1
"""Of a length, so that texts meet others in each epoch."""


class Sampler:
    """Batches of `batch_size` examples for any step, told by seed and step alone."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths, self.batch_size, self.seed = lengths, batch_size, seed
        self._epoch, self._batches = -1, list[list[int]]()

    @property
    def steps_per_epoch(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def batch(self, step: int) -> Sequence[int]:
        """Indices of the examples of a step, counted from 0 over all epochs."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffled(epoch)
        return self._batches[index]

    def _shuffled(self, epoch: int) -> list[list[int]]:
        draw = random.Random(f"{self.seed}/{epoch}")
        about = [length * draw.uniform(1 - BLUR, 1 + BLUR) for length in self.lengths]
        order = draw.sample(range(len(about)), len(about))
        steps = self.steps_per_epoch
        edges = [len(order) * step // steps for step in range(steps + 1)]  # of one size: each step weighs the same
        batches: list[list[int]] = []
        for first in range(0, steps, POOL_BATCHES):
            pool = edges[first : first + POOL_BATCHES + 1]
            order[pool[0] : pool[-1]] = sorted(order[pool[0] : pool[-1]], key=about.__getitem__)
            batches += [order[start:end] for start, end in pairwise(pool)]
        draw.shuffle(batches)
        return batches

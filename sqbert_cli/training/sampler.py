"""Which examples make up a step: shuffled, but with texts of about equal length together."""

from __future__ import annotations

import random
from collections.abc import Sequence

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
        pool = POOL_BATCHES * self.batch_size
        batches: list[list[int]] = []
        for start in range(0, len(order), pool):
            part = sorted(order[start : start + pool], key=about.__getitem__)
            count = -(-len(part) // self.batch_size)  # of about equal size: each weighs the same in what is learnt
            batches += [part[len(part) * n // count : len(part) * (n + 1) // count] for n in range(count)]
        draw.shuffle(batches)
        return batches

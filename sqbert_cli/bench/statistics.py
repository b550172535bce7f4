"""From raw times to what can be said of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Summary:
    """Milliseconds."""

    median: float
    p90: float
    p95: float
    min: float


@dataclass(frozen=True)
class Ratio:
    """How many times as fast, with the interval that holds it at 95 %."""

    value: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        if self.low > 1:
            return "faster"
        return "slower" if self.high < 1 else "no difference shown"


def summarise(times: Sequence[float]) -> Summary:
    median, p90, p95 = np.percentile(times, [50, 90, 95])
    return Summary(float(median), float(p90), float(p95), float(min(times)))


def speed_ratio(baseline: Sequence[float], times: Sequence[float], *, same_rounds: bool) -> Ratio:
    """Return the baseline's median time over ours, with its bootstrap interval.

    With `same_rounds` whole rounds are drawn, so that what slowed a round slows both; else each side by itself.
    """
    from scipy.stats import bootstrap

    if same_rounds:
        count = min(len(baseline), len(times))
        baseline, times = baseline[:count], times[:count]
    value = float(np.median(baseline) / np.median(times))
    if min(len(baseline), len(times)) < 2:
        return Ratio(value, value, value)
    interval = bootstrap(
        (np.asarray(baseline), np.asarray(times)),
        lambda theirs, ours, axis: np.median(theirs, axis=axis) / np.median(ours, axis=axis),
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        paired=same_rounds,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Ratio(value, float(interval.low), float(interval.high))

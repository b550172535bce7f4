"""From raw times to what can be said of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import numpy as np

RESAMPLES = 2_000
CONFIDENCE = 0.95
MIN_ROUNDS = 6
"""With fewer not even the smallest and the largest time hold the median at 95 %."""


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

    @property
    def is_sure(self) -> bool:
        """Whether there were enough times for an interval."""
        return isfinite(self.high)


def summarise(times: Sequence[float]) -> Summary:
    median, p90, p95 = np.percentile(times, [50, 90, 95])
    return Summary(float(median), float(p90), float(p95), float(min(times)))


def speed_ratio(baseline: Sequence[float], times: Sequence[float], *, same_rounds: bool) -> Ratio:
    """Return the baseline's median time over ours, with its bootstrap interval.

    With `same_rounds` whole rounds are drawn, so that what slowed a round slows both; else each side by itself.
    """
    if same_rounds:
        count = min(len(baseline), len(times))
        baseline, times = baseline[:count], times[:count]
    value = float(np.median(baseline) / np.median(times))
    return _interval(value, _quotient, (baseline, times), paired=same_rounds)


def change(
    old: Sequence[float], new: Sequence[float], old_control: Sequence[float], new_control: Sequence[float]
) -> Ratio:
    """Return how many times as fast something has become beside a control that both runs timed: drift is no change."""
    value = float(np.median(old) / np.median(new) * np.median(new_control) / np.median(old_control))
    return _interval(value, _change, (old, new, old_control, new_control), paired=False)


def _interval(value: float, statistic: Callable[..., Any], samples: Sequence[Sequence[float]], paired: bool) -> Ratio:
    from scipy.stats import bootstrap

    if min(map(len, samples)) < MIN_ROUNDS:
        return Ratio(value, 0.0, inf)
    interval = bootstrap(
        tuple(map(np.asarray, samples)),
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        paired=paired,
        vectorized=True,
        method="percentile",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return Ratio(value, float(interval.low), float(interval.high))


def _quotient(theirs: Any, ours: Any, axis: int) -> Any:
    return np.median(theirs, axis=axis) / np.median(ours, axis=axis)


def _change(old: Any, new: Any, old_control: Any, new_control: Any, axis: int) -> Any:
    return _quotient(old, new, axis) * _quotient(new_control, old_control, axis)

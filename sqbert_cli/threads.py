"""How threads wait for one another, which is settled before torch is loaded."""

from __future__ import annotations

import os

SPIN_COUNT = "GOMP_SPINCOUNT"
SPINS = 5_000
"""How often a waiting thread looks before it sleeps. GNU's OpenMP has 300,000: milliseconds that a neighbour needs."""


def wait_briefly() -> None:
    """Where nobody has said how threads wait, they soon sleep."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(SPIN_COUNT, str(SPINS))


def environment_of_others() -> dict[str, str]:
    """Of programs that are not ours: without what `wait_briefly` has set."""
    return {name: value for name, value in os.environ.items() if (name, value) != (SPIN_COUNT, str(SPINS))}

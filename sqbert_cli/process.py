"""What is settled for a whole process: how its threads wait for one another, and how much oneDNN keeps."""

from __future__ import annotations

import os

SPIN_COUNT = "GOMP_SPINCOUNT"
SPINS = 5_000
"""How often a waiting thread looks before it sleeps. GNU's OpenMP has 300,000: milliseconds that a neighbour needs."""
CACHES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")  # oneDNN's own, and torch's above it
KEPT_KERNELS = 64
"""oneDNN makes a kernel for each number of rows, and two caches keep 1,024 of them: 400 MB. Fewer are as fast."""
SETTINGS = {SPIN_COUNT: str(SPINS), **dict.fromkeys(CACHES, str(KEPT_KERNELS))}


def wait_briefly() -> None:
    """Where nobody has said how threads wait, they soon sleep. For before torch is loaded."""
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault(SPIN_COUNT, str(SPINS))


def keep_few_kernels() -> None:
    """Where nobody has said how many are kept. For before the first is made."""
    for cache in CACHES:
        os.environ.setdefault(cache, str(KEPT_KERNELS))


def environment_of_others() -> dict[str, str]:
    """Of programs that are not ours: without what we have set."""
    return {name: value for name, value in os.environ.items() if SETTINGS.get(name) != value}

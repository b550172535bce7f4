"""What a fresh process pays: importing, loading, the first answer, and memory.

`python -m sqbert_cli.bench.cold MODEL ENGINE DTYPE BATCH LENGTH THREADS` is such a process.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sqbert_cli.bench.cases import Case, Shape
from sqbert_cli.errors import SqbertError

RUNS = 5


@dataclass(frozen=True)
class Start:
    """One engine in a process of its own; seconds, medians of `RUNS`."""

    case: Case
    import_s: float
    """Until torch and the engine's library are there."""
    load_s: float
    """Reading or making the weights, and turning them into the engine."""
    first_s: float
    """The first run."""
    wall_s: float
    """The whole process."""
    peak_bytes: int


@dataclass(frozen=True)
class Command:
    """A whole command, beside importing torch."""

    name: str
    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]


def cold_starts(cases: Sequence[Case]) -> Iterator[Start]:
    """Yield the start of each case's engine."""
    for case in cases:
        shape = case.shape
        words = [case.model, case.engine, case.dtype, *map(str, (shape.batch_size, shape.length, shape.threads))]
        tries = [_in_a_process(words) for _ in range(RUNS)]
        middle = {name: statistics.median(one[name] for one in tries) for name in tries[0]}
        yield Start(case, **middle | {"peak_bytes": int(middle["peak_bytes"])})  # type: ignore[arg-type]


def _in_a_process(words: Sequence[str]) -> dict[str, float]:
    began = time.perf_counter()
    ran = subprocess.run([sys.executable, "-m", __name__, *words], capture_output=True, text=True, env=os.environ)
    wall = time.perf_counter() - began
    if ran.returncode:
        raise SqbertError(f"the process for {' '.join(words[:3])} ended with {ran.returncode}: {ran.stderr[-500:]}")
    return {"wall_s": wall, **json.loads(ran.stdout.splitlines()[-1])}


COMMANDS = {
    'python -c "import torch"': ["-c", "import torch"],
    'sqbert classify "text"': ["-m", "sqbert_cli", "classify", "I loved every minute of it"],
    "sqbert --help": ["-m", "sqbert_cli", "--help"],
}


def time_commands(runs: int = RUNS) -> Iterator[Command]:
    """Yield whole commands, run in turn, start and end included."""
    wall: dict[str, list[float]] = {name: [] for name in COMMANDS}
    cpu: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs + 1):
        for name, words in COMMANDS.items():
            began, used = time.perf_counter(), _children_cpu()
            subprocess.run([sys.executable, *words], capture_output=True, check=True)
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(_children_cpu() - used)
    for name in COMMANDS:  # the first round filled the caches
        yield Command(name, tuple(wall[name][1:]), tuple(cpu[name][1:]))


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def main(words: Sequence[str]) -> None:
    """Be the fresh process; print what it paid."""
    began = time.perf_counter()
    import torch

    from sqbert_cli.bench.engines import ENGINES
    from sqbert_cli.bench.measure import random_batch
    from sqbert_cli.bench.subjects import load_subject

    imported = time.perf_counter()
    model, engine, dtype, *sizes = words
    shape = Shape(*map(int, sizes))
    torch.set_num_threads(shape.threads)
    subject = load_subject(model)
    batch = random_batch(subject, shape)
    forward = ENGINES[engine].prepare(subject.network, dtype, batch, shape.threads)  # type: ignore[index, arg-type]
    loaded = time.perf_counter()
    with torch.inference_mode():
        forward(batch)
    paid = {"import_s": imported - began, "load_s": loaded - imported, "first_s": time.perf_counter() - loaded}
    print(json.dumps(paid | {"peak_bytes": peak_bytes()}))


def peak_bytes() -> int:
    """The most memory that this process has had at once."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main(sys.argv[1:])

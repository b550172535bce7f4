"""What a fresh process pays: importing, loading, the first answer, and memory.

`python -m sqbert_cli.bench.cold MODEL ENGINE DTYPE BATCH LENGTH THREADS` is such a process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO

from sqbert_cli.bench.cases import Case, Doing, Shape, then
from sqbert_cli.errors import SqbertError
from sqbert_cli.process import environment_of_others, wait_briefly

RUNS = 5


@dataclass(frozen=True)
class Start:
    """One engine in processes of its own; seconds, and bytes, of each."""

    case: Case
    import_s: tuple[float, ...]
    """Until torch and the engine's library are there."""
    load_s: tuple[float, ...]
    """Reading or drawing the weights of our network, and turning it into the engine, whosever that is."""
    first_s: tuple[float, ...]
    """The first run."""
    wall_s: tuple[float, ...]
    """The whole process."""
    peak_bytes: tuple[float, ...]


@dataclass(frozen=True)
class Command:
    """A whole command, beside importing torch."""

    name: str
    wall_s: tuple[float, ...]
    cpu_s: tuple[float, ...]


def cold_starts(cases: Sequence[Case], runs: int = RUNS) -> Iterator[Start | Doing]:
    """Yield the start of each case's engine, the processes in turn."""
    tries: list[list[dict[str, float]]] = [[] for _ in cases]

    def starting() -> Iterator[Doing]:
        for turn in range(runs):
            for number, (case, own) in enumerate(zip(cases, tries, strict=True)):
                yield Doing(f"starting {case.name}", turn * len(cases) + number, runs * len(cases))
                own.append(_in_a_process(case))

    def paid() -> Iterator[Start]:
        for case, own in zip(cases, tries, strict=True):
            if own:
                yield Start(case, **{name: tuple(one[name] for one in own) for name in own[0]})

    return then(starting(), paid())


def _in_a_process(case: Case) -> dict[str, float]:
    shape = case.shape
    words = [case.model, case.engine, case.dtype, *map(str, (shape.batch_size, shape.length, shape.threads))]
    began = time.perf_counter()
    printed = run_python(["-m", __name__, *words])
    return {"wall_s": time.perf_counter() - began, **json.loads(printed.splitlines()[-1])}


def run_python(words: Sequence[str], stdout: int | IO[bytes] = subprocess.PIPE) -> str:
    """Return what a process of its own prints, unless that goes elsewhere. Raises `SqbertError` where it fails.

    Its threads wait as they do by themselves; what is ours sets that anew.
    """
    ran = subprocess.run(
        [sys.executable, *words], stdout=stdout, stderr=subprocess.PIPE, text=True, env=environment_of_others()
    )
    if ran.returncode:
        raise SqbertError(f"`python {' '.join(words)}` ended with {ran.returncode}: {ran.stderr.strip()[-500:]}")
    return ran.stdout


COMMANDS = {
    'python -c "import torch"': ["-c", "import torch"],
    'sqbert classify "text"': ["-m", "sqbert_cli", "classify", "I loved every minute of it"],
    "sqbert --help": ["-m", "sqbert_cli", "--help"],
}


def time_commands() -> Iterator[Command]:
    """Yield whole commands, run in turn, start and end included."""
    wall: dict[str, list[float]] = {name: [] for name in COMMANDS}
    cpu: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(RUNS + 1):
        for name, words in COMMANDS.items():
            began, used = time.perf_counter(), _children_cpu()
            run_python(words)
            wall[name].append(time.perf_counter() - began)
            cpu[name].append(_children_cpu() - used)
    for name in COMMANDS:  # the first round filled the caches
        yield Command(name, tuple(wall[name][1:]), tuple(cpu[name][1:]))


def _children_cpu() -> float:
    times = os.times()
    return times.children_user + times.children_system


def main(words: Sequence[str]) -> None:
    """Be the fresh process; print what it paid."""
    model, engine, dtype, *sizes = words
    if engine.startswith("sqbert"):
        wait_briefly()
    began = time.perf_counter()
    import torch

    from sqbert_cli.bench.engines import ENGINES
    from sqbert_cli.bench.measure import random_batch
    from sqbert_cli.bench.subjects import load_subject

    for package in ENGINES[engine].needs:  # type: ignore[index]
        import_module(package)
    imported = time.perf_counter()
    shape = Shape(*map(int, sizes))
    torch.set_num_threads(shape.threads)
    subject = load_subject(model, offline=True)  # who started this has fetched it
    batch = random_batch(subject, shape)
    forward = ENGINES[engine].prepare(subject.network, dtype, batch, shape.threads)  # type: ignore[index, arg-type]
    loaded = time.perf_counter()
    with torch.inference_mode():
        forward(batch)
    paid = {"import_s": imported - began, "load_s": loaded - imported, "first_s": time.perf_counter() - loaded}
    print(json.dumps(paid | {"peak_bytes": peak_bytes()}))


def peak_bytes() -> int:
    """The most memory that this process has had at once."""
    status = Path("/proc/self/status")
    if status.is_file():  # here `getrusage` tells of the process before `exec` too
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main(sys.argv[1:])

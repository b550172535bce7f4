"""What a busy neighbour on the same processor costs, by how long waiting threads spin before they sleep.

    python -m tests.bench.neighbour --rounds 3 --spins 300000 20000 5000 1000

300000 is what GNU's OpenMP does unless told otherwise. Milliseconds: a text of 128 tokens through the shipped encoder,
a training step of 8 such texts; alone, and beside a process that uses one core.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable

BUSY = "while True: pass"


def measure(seconds: float) -> dict[str, float]:
    """Median milliseconds of each kind of work."""
    import torch
    from torch.utils.benchmark import Timer

    from sqbert_cli.models import load_checkpoint

    encoder = load_checkpoint(offline=True).network.transformer
    ids = torch.randint(1_000, 30_000, (8, 128))

    def states(count: int) -> torch.Tensor:
        some = ids[:count]
        return encoder(some, torch.ones_like(some), torch.zeros_like(some))

    def step() -> None:
        states(8).square().mean().backward()
        encoder.zero_grad()

    def median(work: Callable[[], object]) -> float:
        timer = Timer("work()", globals={"work": work}, num_threads=torch.get_num_threads())
        return timer.blocked_autorange(min_run_time=seconds).median * 1000

    with torch.inference_mode():
        text = median(lambda: states(1))
    encoder.train().requires_grad_()
    return {"text": text, "step": median(step)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--spins", type=int, nargs="+", default=[300_000, 20_000, 5_000, 1_000])
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.child:
        print(json.dumps(measure(wanted.seconds)))
        return
    found = defaultdict[tuple[int, str], list[float]](list)
    again = [sys.executable, "-m", "tests.bench.neighbour", "--child", "--seconds", str(wanted.seconds)]
    for _ in range(wanted.rounds):
        for where in ("alone", "beside"):
            neighbour = subprocess.Popen([sys.executable, "-c", BUSY]) if where == "beside" else None
            for spin in wanted.spins:
                child = subprocess.run(again, env={**os.environ, "GOMP_SPINCOUNT": str(spin)}, stdout=-1, check=True)
                for work, value in json.loads(child.stdout).items():
                    found[spin, f"{work} {where}"].append(value)
            if neighbour:
                neighbour.kill()
    for (spin, name), values in sorted(found.items()):
        print(f"{spin:>8,}  {name:12} {statistics.median(values):9,.1f} ms")


if __name__ == "__main__":
    main()

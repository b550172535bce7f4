"""What a training process holds in memory, step by step, with windows of any length and of lengths that repeat.

    python -m tests.bench.memory --windows 32 --tokens 256 --layers 3 --steps 200

*Any* is training before 2026-11-27; *next size* is what it does now. Each is a process of its own, on Linux.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import time
from multiprocessing import get_context
from unittest.mock import patch

import torch

from sqbert_cli.batch import Batch
from sqbert_cli.model.device import keep_freed_memory
from sqbert_cli.models import load_checkpoint
from sqbert_cli.training import sizes


def train(name: str, wanted: argparse.Namespace) -> None:
    keep_freed_memory()
    encoder = load_checkpoint(offline=True).network.transformer.train()
    encoder.encoder.layers = encoder.encoder.layers[: wanted.layers]
    lengths, seconds = random.Random(1), list[float]()
    with patch.object(sizes, "next_size", sizes.next_size if name == "next size" else int):
        for step in range(1, wanted.steps + 1):
            length = lengths.randint(wanted.tokens // 3, wanted.tokens)
            ids = torch.randint(1_000, 30_000, (wanted.windows, length))
            started = time.perf_counter()
            states = sizes.read_states(encoder, Batch(ids, torch.ones_like(ids), torch.zeros_like(ids)))
            states[-1].square().mean().backward()
            encoder.zero_grad()
            seconds.append((time.perf_counter() - started) / ids.numel())
            if step % 50 == 0:
                held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
                speed = 1 / statistics.mean(seconds[-50:])
                print(f"{name}: {step} steps, at most {held:.2f} GB, {speed:,.0f} tokens a second", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("windows", 32), ("tokens", 256), ("layers", 3), ("steps", 200)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wanted = parser.parse_args()
    for name in ("any length", "next size"):
        process = get_context("spawn").Process(target=train, args=(name, wanted))
        process.start()
        process.join()


if __name__ == "__main__":
    main()

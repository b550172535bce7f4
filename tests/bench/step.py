"""A training step's products, ways in turn: forward and backward of the shipped network in bfloat16.

    python -m tests.bench.step --rounds 5 --windows 32 --tokens 128
    python -m tests.bench.step --windows 256 --device cuda

*batched* is the product of before 2026-11-26, with attention's mask in float32; *as it is* is what training does.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from unittest.mock import patch

import torch
from torch import Tensor

from sqbert_cli.model import layers
from sqbert_cli.model.device import keep_freed_memory
from sqbert_cli.model.encoder import Encoder
from sqbert_cli.model.grouped import batched
from sqbert_cli.models import load_checkpoint


def wide_mask(self: layers.Attention, hidden: Tensor, mask_bias: Tensor) -> Tensor:
    query, key, value = self.project(hidden)
    scores = (query * self.scale) @ key.transpose(2, 3) + mask_bias.float()
    return (self.dropout(scores.softmax(-1)) @ value).transpose(1, 2).flatten(2)


def seconds(encoder: Encoder, ids: Tensor) -> float:
    started = time.perf_counter()
    with torch.autocast(ids.device.type, torch.bfloat16):
        loss = encoder(ids, torch.ones_like(ids), torch.zeros_like(ids)).float().square().mean()
    loss.backward()
    encoder.zero_grad()
    if ids.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("rounds", 5), ("windows", 32), ("tokens", 128)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--device", default="cpu")
    wanted = parser.parse_args()
    encoder = load_checkpoint(offline=True).network.transformer.train().to(wanted.device)
    ids = torch.randint(1_000, 30_000, (wanted.windows, wanted.tokens), device=wanted.device)

    def before() -> float:
        with patch.object(layers, "grouped_linear", batched), patch.object(layers.Attention, "forward", wide_mask):
            return seconds(encoder, ids)

    ways: dict[str, Callable[[], float]] = {"batched": before, "as it is": lambda: seconds(encoder, ids)}
    for memory in ("memory given back", "memory kept"):
        if memory == "memory kept":
            keep_freed_memory()
        rounds = [{name: run() for name, run in ways.items()} for _ in range(wanted.rounds + 1)][1:]
        for name in ways:
            median = statistics.median(one[name] for one in rounds)
            print(f"{memory}, {name}: {median * 1e3:,.1f} ms, {ids.numel() / median:,.0f} tokens a second", flush=True)


if __name__ == "__main__":
    main()

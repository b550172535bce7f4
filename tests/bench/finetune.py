"""`sqbert finetune` beside the Trainer of transformers: examples a second with the same model, texts and batches.

    python -m tests.bench.finetune texts.jsonl --examples 3200 --rounds 3

`texts.jsonl` has `text` and `label`. Whole processes are timed, in turn, on few examples and on many: the difference is
what the examples cost, without start, loading and saving. The Trainer (with `accelerate`) pads each batch to its
longest text, as we do, but draws them at random; `grouped by length` they pad as little as ours. It runs in float32,
its default, and again in bfloat16 autocast.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory

BATCH_SIZE, FEW = 32, 320
ORDERS = {"random": "random", "grouped by length": "group_by_length"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--examples", type=int, default=3_200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtypes", default="float32,bfloat16")
    wanted = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        _write_parts(wanted.file, folder, wanted.examples)
        model = _one_head(folder, {json.loads(line)["label"] for line in (folder / "many.jsonl").open()})
        commands: dict[str, Callable[[str], list[str]]] = {"sqbert finetune": partial(_ours, folder)}
        for dtype, order in product(wanted.dtypes.split(","), ORDERS):
            commands[f"Trainer, {dtype}, {order}"] = partial(_trainer, folder, model, dtype=dtype, order=ORDERS[order])
        rates: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(wanted.rounds):
            for name, command in commands.items():
                few, many = (_seconds(command(part)) for part in ("few", "many"))
                rates[name].append(wanted.examples / (many - few))
        first = statistics.median(rates["sqbert finetune"])
        for name, all_rounds in rates.items():
            rate = statistics.median(all_rounds)
            print(f"{name:40}{rate:8.0f} examples/s, ours {first / rate:.2f} times as fast; rounds {all_rounds}")


def _write_parts(file: Path, folder: Path, examples: int) -> None:
    with file.open(encoding="utf-8") as lines:
        some = list(islice(lines, FEW + examples + BATCH_SIZE))
    (folder / "dev.jsonl").write_text("".join(some[:BATCH_SIZE]))
    (folder / "few.jsonl").write_text("".join(some[BATCH_SIZE : BATCH_SIZE + FEW]))
    (folder / "many.jsonl").write_text("".join(some[BATCH_SIZE:]))


def _one_head(folder: Path, labels: set[str]) -> Path:
    """The shipped encoder with a new head, which both open; ours makes its own from the shipped model."""
    import torch

    from sqbert_cli.checkpoint import Checkpoint, write_checkpoint
    from sqbert_cli.model.config import HeadConfig
    from sqbert_cli.model.network import Network, initialise
    from sqbert_cli.models import load_checkpoint

    shipped = load_checkpoint()
    head = HeadConfig(name="labels", kind="sequence", labels=tuple(sorted(labels)))
    network = Network(shipped.config, [head])
    initialise(network, 0.02, torch.Generator().manual_seed(0))
    network.transformer = shipped.network.transformer
    write_checkpoint(Checkpoint("labels", network, (head,), shipped.tokenizer), folder / "model")
    return folder / "model"


def _ours(folder: Path, part: str) -> list[str]:
    return [
        "-m", "sqbert_cli", "finetune", "--train", str(folder / f"{part}.jsonl"), "--dev", str(folder / "dev.jsonl"),
        "--epochs", "1", "--batch-size", str(BATCH_SIZE), "--output", str(folder / f"ours-{part}-{time.time_ns()}"),
    ]  # fmt: skip


def _trainer(folder: Path, model: Path, part: str, *, dtype: str, order: str) -> list[str]:
    return ["-m", "tests.bench.trainer", str(model), str(folder / f"{part}.jsonl"), str(BATCH_SIZE), dtype, order]


def _seconds(words: Sequence[str]) -> float:
    began = time.perf_counter()
    ran = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"{' '.join(words)}\n{ran.stderr[-2000:]}")
    return time.perf_counter() - began


if __name__ == "__main__":
    main()

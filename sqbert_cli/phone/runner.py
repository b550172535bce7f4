"""What runs in Termux: our network on the phone's own PyTorch. Needs torch and the standard library only.

    python runner.pyz --inputs inputs.txt --threads 4 --warmup 10 --runs 50 a.safetensors b.safetensors

The options and the result, one JSON object on stdout, are those of the native program (`native/`).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import struct
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import fields
from mmap import ACCESS_COPY, mmap
from pathlib import Path
from typing import Any

VERSION = "1"
FEWEST_ROUNDS = 10


def main() -> None:
    options = parse()
    if options.lifeline:
        threading.Thread(target=end_with_stdin, daemon=True).start()
    before = pin([int(cpu) for cpu in options.cpus.split(",") if cpu])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # which torch does not tell, read when it is loaded
        os.environ[name] = str(options.threads)
    try:
        import torch
    except Exception as error:  # a broken build raises more than ImportError
        sys.exit(f"sqbert-phone: torch cannot be imported: {error}")
    torch.set_num_threads(options.threads)
    with torch.inference_mode():
        result = measure(options)
    json.dump(result | {"affinity": sorted({*before, *affinity()})}, sys.stdout)
    print()


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--inputs", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--warmup", type=int, required=True)
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--cpus", default="")
    parser.add_argument("--watch", default="")
    parser.add_argument("--max-seconds", type=float, default=float("inf"))
    parser.add_argument("--lifeline", action="store_true")
    parser.add_argument("models", nargs="+")
    return parser.parse_args()


def end_with_stdin() -> None:
    """When the computer's side is gone, nothing may stay running."""
    while os.read(0, 1):  # not through sys.stdin, whose lock the interpreter wants when it ends
        pass
    os._exit(3)


def pin(cpus: Sequence[int]) -> list[int]:
    """Stay on those of `cpus` that are allowed, if any; return where we are."""
    if wanted := set(affinity()) & set(cpus):
        os.sched_setaffinity(0, wanted)
    return affinity()


def affinity() -> list[int]:
    """The cores that are ours; the phone may move a process while it runs."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Load, compare and time every model, in turn by rounds."""
    from torch import __version__ as version

    prepare()
    rows = read_rows(options.inputs)
    subjects = [Subject(path, rows) for path in options.models]
    for _ in range(options.warmup if options.runs else 0):
        for subject in subjects:
            subject.run()
    watched, began = [], time.monotonic()
    for turn in range(options.runs):
        for place in range(len(subjects)):
            subject = subjects[(turn + place) % len(subjects)]
            subject.times_ms.append(milliseconds(subject.run))
        watched.append([number(path) for path in options.watch.split(",") if path])
        if turn + 1 >= FEWEST_ROUNDS and time.monotonic() - began > options.max_seconds:
            break
    return {
        "runner": "termux", "version": VERSION, "engine": f"PyTorch {version}, Python {platform.python_version()}",
        "path": "batched matrix product", "machine": platform.machine(), "release": platform.release(),
        "threads": options.threads, "length": len(rows[0][1]),
        "models": [subject.result() for subject in subjects], "watched": watched, "peak_kb": peak_kb(),
    }  # fmt: skip


def prepare() -> None:
    """Do what only the first model would pay for: our own modules are compiled, and torch makes ready."""
    import torch

    import sqbert_cli.model.network  # noqa: F401

    torch.ones(2, 8, 8).matmul(torch.ones(8, 8))


class Subject:
    """A model on the phone."""

    def __init__(self, path: str, rows: Sequence[tuple[int, list[int]]]) -> None:
        import torch

        self.times_ms: list[float] = []
        self.load_ms = milliseconds(lambda: self.load(path))
        ids = torch.tensor([row for _, row in rows])
        mask = torch.tensor([[int(place < real) for place in range(len(row))] for real, row in rows])
        self.inputs = [(ids[[row]], mask[[row]], torch.zeros_like(ids[[row]])) for row in range(len(rows))]
        self.first_ms = milliseconds(self.run)
        self.others = [self.network("logits", *one)[0] for one in self.inputs[1:]]

    def load(self, path: str) -> None:
        from sqbert_cli.model.config import HeadConfig, SqueezeBertConfig
        from sqbert_cli.model.network import Network

        tensors, said = read_safetensors(path)
        labels = tuple(map(str, range(int(said["num_labels"]))))
        kinds = {"str": str, "int": int, "float": float}
        known = {field.name: kinds.get(str(field.type), str)(said[field.name]) for field in fields(SqueezeBertConfig)}
        self.name, self.model_type = said["name"], said["model_type"]
        self.network = Network(SqueezeBertConfig(**known), [HeadConfig(name="logits", kind="sequence", labels=labels)])
        state = {name if "transformer." in name else f"heads.logits.{name}": value for name, value in tensors.items()}
        self.network.load_state_dict(state)
        self.network.eval()

    def run(self) -> None:
        self.last = self.network("logits", *self.inputs[0])[0]

    def result(self) -> dict[str, Any]:
        """The logits of the first row are those of the last run."""
        names = ("name", "model_type", "load_ms", "first_ms", "times_ms")
        logits = [row.tolist() for row in (self.last, *self.others)]
        return {"logits": logits, **{name: getattr(self, name) for name in names}}


def read_safetensors(path: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the float32 tensors of a file, as views of it, and its metadata."""
    import torch

    with open(path, "rb") as file:
        data = mmap(file.fileno(), 0, access=ACCESS_COPY)
    (size,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + size])
    said = header.pop("__metadata__")
    tensors = {}
    for name, about in header.items():
        first, last = about["data_offsets"]
        flat = torch.frombuffer(data, dtype=torch.float32, count=(last - first) // 4, offset=8 + size + first)
        tensors[name] = flat.view(about["shape"])
    return tensors, said


def read_rows(path: str) -> list[tuple[int, list[int]]]:
    rows = [[int(word) for word in line.split()] for line in Path(path).read_text().splitlines()]
    return [(row[0], row[1:]) for row in rows]


def milliseconds(run: Callable[[], object]) -> float:
    began = time.perf_counter_ns()
    run()
    return (time.perf_counter_ns() - began) / 1e6


def number(path: str) -> int | None:
    try:
        return int(Path(path).read_text())
    except (OSError, ValueError):
        return None


def peak_kb() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

"""`python -m tests.streams`: a long pipe through the command; how much memory it takes, and how long a line waits."""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Thread

from tests.conftest import ROOT
from tests.fuzz.models import tiny

WORDS = ["the", "film", "films", "a", "b", "c d", "e.", "\u00e9", "films,"]


@dataclass
class Pipe:
    """A command that reads lines and writes one for each."""

    process: subprocess.Popen[bytes]

    def write(self, count: int, first: int = 0) -> None:
        assert self.process.stdin
        draw = random.Random(first)
        for number in range(first, first + count):
            text = " ".join(draw.choices(WORDS, k=draw.randint(1, 30)))
            self.process.stdin.write(json.dumps({"id": number, "text": text}).encode() + b"\n")
        self.process.stdin.flush()

    def read(self) -> int:
        """The `id` of the next result."""
        assert self.process.stdout
        return int(json.loads(self.process.stdout.readline())["id"])

    @property
    def megabytes(self) -> float:
        """In memory now, at most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) / 1024


@contextmanager
def piped(command: str, model: Path | str) -> Iterator[Pipe]:
    arguments = [sys.executable, "-m", "sqbert_cli", command, "--model", str(model), "--threads", "1"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as process:
        try:
            yield Pipe(process)
        finally:
            process.kill()


def many(pipe: Pipe, records: int, marks: tuple[int, ...] = (10_000, 100_000, 1_000_000)) -> dict[int, float]:
    """Send so many as fast as they are taken; each comes back once, in order. Returns the peaks at the marks."""
    writer = Thread(target=pipe.write, args=(records,), daemon=True)
    writer.start()
    peaks: dict[int, float] = {}
    for number in range(records):
        assert pipe.read() == number
        if number + 1 in (*marks, records):
            peaks[number + 1] = pipe.megabytes
    writer.join()
    return peaks


def waits(pipe: Pipe, lines: int, pause: float) -> list[float]:
    """Send a line now and then. Returns how many seconds each result took."""
    found = []
    for number in range(lines):
        pipe.write(1, number)
        began = time.monotonic()
        assert pipe.read() == number
        found.append(time.monotonic() - began)
        time.sleep(pause)
    return found


def held_up(pipe: Pipe, records: int, seconds: float) -> tuple[float, float]:
    """Read a few results, then none for a while, however many lines wait. Returns the peaks before and after."""
    Thread(target=pipe.write, args=(records,), daemon=True).start()
    for number in range(5_000):
        assert pipe.read() == number
    before = pipe.megabytes
    time.sleep(seconds)
    for number in range(5_000, records):
        assert pipe.read() == number
    return before, pipe.megabytes


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.streams", description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--command", default="classify", choices=["classify", "ner", "embed"])
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder:
        model = tiny(Path(folder))
        with piped(arguments.command, model) as pipe:
            seconds = waits(pipe, 50, 0.1)
        print(f"{arguments.command}: a line now and then comes back in {median(seconds[1:]) * 1e3:.0f} ms (median), "
              f"{max(seconds[1:]) * 1e3:.0f} ms at most", flush=True)  # fmt: skip
        with piped(arguments.command, model) as pipe:
            before, after = held_up(pipe, 50_000, 20)
        print(f"a reader that stops for 20 s: peak {before:.0f} MiB before, {after:.0f} MiB after", flush=True)
        with piped(arguments.command, model) as pipe:
            began = time.monotonic()
            for count, peak in many(pipe, arguments.records).items():
                print(f"{count:,} records: peak {peak:.0f} MiB", flush=True)
            print(f"{arguments.records / (time.monotonic() - began):,.0f} records/s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What a billion documents cost, computed from what a few thousand cost here: `docs/a-billion-documents.md`.

    python -m tests.bench.billion texts.jsonl --workers 2

`texts.jsonl` has `text`. Each command runs as a job of `--ray local` on few records and on many: the difference is what
records cost, without the start of Ray and of the workers. What is printed beside a billion is computed, not measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from sqbert_cli.bulk.plan import Reading, cut

BILLION = 10**9
FEW, SHARD = 512, 256
COMMANDS = ("classify", "ner", "embed")
COLUMNS = ("command", "workers", "records/s", "core-hours", "hours of 96 cores", "input, GB", "results, GB")


@dataclass(frozen=True)
class Rate:
    """What was measured of one command."""

    command: str
    workers: int
    records_per_second: float
    bytes_per_result: float

    @property
    def core_hours(self) -> float:
        return BILLION / self.records_per_second * self.workers / 3600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--records", type=int, default=4_096, help="of each job, beside the first few")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    wanted = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        size = _write(wanted.file, folder / "many.jsonl", FEW + wanted.records) / (FEW + wanted.records)
        _write(wanted.file, folder / "few.jsonl", FEW)
        show(size, list(_rates(folder, wanted.records, sorted({1, wanted.workers}))))
        tell("planning reads {:,.0f} MB a second", _planning(folder / "many.jsonl") / 1e6)
        tell("a shard costs {:.3f} s beside its records", _shard_seconds(folder))


def show(size: float, rates: list[Rate]) -> None:
    table = Table(title=f"records of {size:,.0f} bytes, workers of one thread; of a billion records: computed")
    for name in COLUMNS:
        table.add_column(name, justify="left" if name == "command" else "right")
    for rate in rates:
        figures = (rate.workers, rate.records_per_second, rate.core_hours, rate.core_hours / 96)
        gigabytes = (size, rate.bytes_per_result)  # of a billion records
        table.add_row(rate.command, *(f"{figure:,.0f}" for figure in (*figures, *gigabytes)))
    Console(width=120).print(table)


def tell(what: str, figure: float) -> None:
    print(what.format(figure))


def _rates(folder: Path, records: int, workers: list[int]) -> Iterator[Rate]:
    for command in COMMANDS:
        for count in workers:
            few, many = (_job(command, folder / f"{name}.jsonl", count, SHARD) for name in ("few", "many"))
            yield Rate(command, count, records / (many[0] - few[0]), many[1] / (records + FEW))


def _job(command: str, file: Path, workers: int, shard_records: int) -> tuple[float, int]:
    """Seconds of a whole job, and bytes of its results."""
    with TemporaryDirectory() as output:
        arguments = ["--ray", "local", "--workers", str(workers), "--shard-records", str(shard_records)]
        arguments += ["--input", str(file), "--output", output]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "sqbert_cli", command, *arguments], check=True, capture_output=True)
        return time.perf_counter() - start, sum(part.stat().st_size for part in Path(output).glob("part-*"))


def _planning(file: Path) -> float:
    """Bytes that are read in a second before the first shard is given to a worker."""
    start = time.perf_counter()
    assert list(cut(str(file), Reading(), SHARD))
    return file.stat().st_size / (time.perf_counter() - start)


def _shard_seconds(folder: Path) -> float:
    """A thousand shards of one short record each, beside one shard of them all."""
    short, count = folder / "short.jsonl", 1_000
    short.write_text('{"text": "a"}\n' * count)
    one, many = (_job("classify", short, 1, size)[0] for size in (count, 1))
    return (many - one) / count


def _write(source: Path, file: Path, records: int) -> int:
    with source.open(encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    rows = ({"id": number, "text": text} for number, text in enumerate(islice(cycle(texts), records)))
    return file.write_bytes("".join(json.dumps(row) + "\n" for row in rows).encode())


if __name__ == "__main__":
    main()

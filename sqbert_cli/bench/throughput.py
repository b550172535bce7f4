"""Whole commands on a real file: ours beside the pipeline of transformers at its best batch size, with equal weights.

`python -m sqbert_cli.bench.throughput TASK FOLDER FILE BATCH` is the pipeline, reading JSONL and writing JSONL.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, product
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Literal

from sqbert_cli.bench.cases import Doing, DtypeName, then
from sqbert_cli.bench.cold import run_python
from sqbert_cli.errors import SqbertError
from sqbert_cli.records import BadRecord
from sqbert_cli.text.files import COMPRESSED
from sqbert_cli.text.readers import read_records

TaskName = Literal["classify", "ner"]
PIPELINES = {"classify": "text-classification", "ner": "token-classification"}
BATCH_SIZES = (1, 8, 32)
TRIED_LINES = 500
"""On so many the pipeline's best batch size is found."""


@dataclass(frozen=True)
class Throughput:
    """A whole command on a file; seconds of each round."""

    name: str
    seconds: tuple[float, ...]
    records: int

    @property
    def per_second(self) -> float:
        return self.records / median(self.seconds)


@dataclass(frozen=True)
class Agreement:
    """How many records got the pipeline's answer from a command of ours."""

    name: str
    same: int
    records: int


def throughput(
    task: TaskName, folder: Path, file: Path, dtypes: Sequence[DtypeName], rounds: int
) -> Iterator[Throughput | Agreement | Doing]:
    """Yield ours in each precision and the pipeline, then how far they agree; of a run that is stopped, whole rounds.

    `folder` has one head, so that both can open it.
    """
    records = _count(file)
    with TemporaryDirectory() as scratch:
        part, tried = Path(scratch) / "part.jsonl", dict[int, float]()
        with file.open("rb") as lines:
            part.write_bytes(b"".join(islice(lines, TRIED_LINES)))
        sizes = [size for size, smaller in zip(BATCH_SIZES, (0, *BATCH_SIZES), strict=False) if smaller < records]
        for size in sizes:  # those whose batches are others
            yield Doing(f"the pipeline with batches of {size}", len(tried), len(sizes))
            tried[size] = _seconds(_pipeline(task, folder, part, size), Path(scratch) / "tried")
        commands = dict(_commands(task, folder, file, dtypes, min(tried, key=tried.__getitem__)))
        outputs = {name: Path(scratch) / str(number) for number, name in enumerate(commands)}
        times: dict[str, list[float]] = {name: [] for name in commands}

        def running() -> Iterator[Doing]:
            for turn, (name, command) in product(range(rounds), commands.items()):
                yield Doing(f"{name}: round {turn + 1}", sum(map(len, times.values())), rounds * len(commands))
                times[name].append(_seconds(command, outputs[name]))

        def found() -> Iterator[Throughput | Agreement]:
            whole = min(map(len, times.values()))
            if whole:
                yield from (Throughput(name, tuple(seconds[:whole]), records) for name, seconds in times.items())
            if whole == rounds:
                yield from _agreements(task, outputs, records)

        yield from then(running(), found())


def _count(file: Path) -> int:
    """How many records there are; each line that is not blank must be one, so that both give as many answers."""
    records, hint = 0, "expected JSONL with a `text` in each line"
    if file.suffix.lower() in COMPRESSED:
        raise SqbertError(f"`{file}` is compressed, which the pipeline does not read", hint="unpack it first")
    for record in read_records(file, "jsonl"):
        if isinstance(record, BadRecord):
            raise SqbertError(f"{record.source}: {record.reason}", hint=hint)
        records += 1
    if not records:
        raise SqbertError(f"`{file}` is empty", hint=hint)
    return records


def _commands(
    task: TaskName, folder: Path, file: Path, dtypes: Sequence[DtypeName], batch_size: int
) -> Iterator[tuple[str, list[str]]]:
    """Ours, on the same kind of processor as the pipeline, which is the last."""
    ours = ["-m", "sqbert_cli", task, "--input", str(file), "--input-format", "jsonl", "--model", str(folder)]
    yield from ((f"sqbert {task}, {dtype}", [*ours, "--device", "cpu", "--dtype", dtype]) for dtype in dtypes)
    yield f"pipeline, float32, batches of {batch_size}", _pipeline(task, folder, file, batch_size)


def _agreements(task: TaskName, outputs: Mapping[str, Path], records: int) -> Iterator[Agreement]:
    *own, last = outputs
    for name in own:
        pairs = zip(_answers(task, outputs[name]), _answers(task, outputs[last]), strict=True)
        yield Agreement(name, sum(one == other for one, other in pairs), records)


def _pipeline(task: TaskName, folder: Path, file: Path, batch_size: int) -> list[str]:
    return ["-m", __name__, task, str(folder), str(file), str(batch_size)]


def _seconds(command: Sequence[str], output: Path) -> float:
    with output.open("wb") as out:
        began = time.perf_counter()
        run_python(command, out)
    return time.perf_counter() - began


def _answers(task: TaskName, output: Path) -> Iterator[object]:
    """What was found in each record, without scores: a label, or entities by place and label."""
    with output.open(encoding="utf-8") as lines:
        for values in map(json.loads, lines):
            if task == "classify":
                yield values["label"]
            else:
                yield [(one["start"], one["end"], one["label"]) for one in values["entities"]]


def main(task: TaskName, folder: str, file: str, batch_size: str) -> None:
    """Be the pipeline, as its documentation has it for a stream."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    settings = {"aggregation_strategy": "first"} if task == "ner" else {}
    pipe = transformers.pipeline(PIPELINES[task], model=folder, dtype=torch.float32, device="cpu", **settings)  # type: ignore[call-overload]
    with open(file, encoding="utf-8-sig") as lines:
        texts = (json.loads(line)["text"] for line in lines if line.strip())
        for found in pipe(texts, batch_size=int(batch_size), **({} if task == "ner" else {"truncation": True})):
            print(json.dumps(_fields(found)))


def _fields(found: object) -> dict[str, object]:
    if isinstance(found, dict):
        return {"label": found["label"], "score": found["score"]}
    assert isinstance(found, list)
    entities = [{"start": one["start"], "end": one["end"], "label": one["entity_group"]} for one in found]
    return {"entities": entities}


if __name__ == "__main__":
    main(*sys.argv[1:])  # type: ignore[arg-type]

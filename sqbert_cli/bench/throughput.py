"""Whole commands on a real file: ours beside the pipeline of transformers at its best batch size, with equal weights.

`python -m sqbert_cli.bench.throughput TASK FOLDER FILE BATCH` is the pipeline, reading JSONL and writing JSONL.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Literal

from sqbert_cli.bench.cases import DtypeName
from sqbert_cli.bench.cold import run_python
from sqbert_cli.errors import SqbertError

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
) -> Iterator[Throughput | Agreement]:
    """Yield ours in each precision and the pipeline, then how far they agree.

    `folder` has one head, so that both can open it.
    """
    records = _count(file)
    with TemporaryDirectory() as scratch:
        part, theirs = Path(scratch) / "part.jsonl", Path(scratch) / "theirs"
        with file.open("rb") as lines:
            part.write_bytes(b"".join(islice(lines, TRIED_LINES)))
        tried = {size: _seconds(_pipeline(task, folder, part, size), theirs) for size in BATCH_SIZES}
        best = min(tried, key=tried.__getitem__)
        ours = ["-m", "sqbert_cli", task, "--input", str(file), "--input-format", "jsonl", "--model", str(folder)]
        ours += ["--device", "cpu"]  # as the pipeline
        commands = {f"sqbert {task}, {dtype}": [*ours, "--dtype", dtype] for dtype in dtypes}
        commands[f"pipeline, float32, batches of {best}"] = _pipeline(task, folder, file, best)
        outputs = {name: Path(scratch) / str(number) for number, name in enumerate(commands)}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(_seconds(command, outputs[name]))
        for name, seconds in times.items():
            yield Throughput(name, tuple(seconds), records)
        *own, last = outputs
        for name in own:
            pairs = zip(_answers(task, outputs[name]), _answers(task, outputs[last]), strict=True)
            yield Agreement(name, sum(one == other for one, other in pairs), records)


def _count(file: Path) -> int:
    """How many records there are; each must have a text, so that both give as many answers."""
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                is_text = bool(json.loads(line)["text"].strip())
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                is_text = False
            if not is_text:
                raise SqbertError(f"`{file}` line {number}: no text", hint="expected JSONL with a `text` in each line")
    if not file.stat().st_size:
        raise SqbertError(f"`{file}` is empty", hint="expected JSONL with a `text` in each line")
    return number


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
    with open(file, encoding="utf-8") as lines:
        texts = (json.loads(line)["text"] for line in lines)
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

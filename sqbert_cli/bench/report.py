"""A run of the benchmark as one value: what was measured, on what, and what was left out."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqbert_cli.bench.cases import Case, Event, Floor, Measurement, Memory, Shape, Skipped
from sqbert_cli.bench.cold import Start
from sqbert_cli.bench.statistics import Ratio, speed_ratio, summarise
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import write_json

VERSION = 1


@dataclass
class Report:
    machine: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]
    """Of each model: parameters, weights, FLOPs by stage, score."""
    baseline: str
    measurements: list[Measurement] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    floors: list[Floor] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)

    def add(self, event: Event | Start) -> None:
        match event:
            case Measurement():
                self.measurements.append(event)
            case Skipped():
                self.skipped.append(event)
            case Floor():
                self.floors.append(event)
            case Memory():
                self.memory.append(event)
            case Start():
                self.starts.append(event)

    def find(self, model: str, engine: str, dtype: str, shape: Shape) -> Measurement | None:
        wanted = Case(model, engine, dtype, shape)  # type: ignore[arg-type]
        return next((one for one in self.measurements if one.case == wanted), None)

    def ratio(self, one: Measurement, model: str | None = None) -> Ratio | None:
        """How many times as fast as the baseline's engine in float32 with the same model, or another."""
        case = one.case
        theirs = self.find(model or case.model, self.baseline, "float32", case.shape)
        return speed_ratio(theirs.times_ms, one.times_ms, same_rounds=True) if theirs else None

    def floor_share(self, one: Measurement) -> float | None:
        """Share of the machine's rate of products, in the precision of the case, that an engine reaches."""
        case = one.case
        same = (floor for floor in self.floors if (floor.shape, floor.dtype) == (case.shape, case.dtype))
        rate = one.gflop / summarise(one.times_ms).median  # GFLOP / ms is TFLOP / s
        return next((rate / floor.tflops for floor in same), None)


def write_report(report: Report, path: Path) -> None:
    write_json(path, {"sqbert_bench": VERSION} | asdict(report))


def read_report(path: Path) -> Report:
    """Read what `write_report` wrote. Raises `SqbertError` where it is something else."""
    try:
        values = json.loads(path.read_bytes())
        if values.pop("sqbert_bench") != VERSION:
            raise SqbertError(f"`{path}` was written by another version of `sqbert bench`")
        return Report(
            machine=values["machine"],
            models=values["models"],
            baseline=values["baseline"],
            measurements=[
                Measurement(**one | {"case": _case(one["case"]), "times_ms": tuple(map(float, one["times_ms"]))})
                for one in values["measurements"]
            ],
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SqbertError(
            f"`{path}` is no report of `sqbert bench`: {error}", hint="write one with `sqbert bench --json FILE`"
        ) from error


def _case(values: Mapping[str, Any]) -> Case:
    return Case(**{**values, "shape": Shape(**values["shape"])})


def compare(old: Report, new: Report) -> Iterable[tuple[Measurement, Ratio]]:
    """Yield each case that both have, with how many times as fast it has become."""
    before = {one.case: one for one in old.measurements}
    for one in new.measurements:
        if theirs := before.get(one.case):
            yield one, speed_ratio(theirs.times_ms, one.times_ms, same_rounds=False)

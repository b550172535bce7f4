"""A run of the benchmark as one value: what was measured, on what, and what was left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from sqbert_cli.bench.cases import Case, Event, Floor, Measurement, Memory, Shape, Skipped
from sqbert_cli.bench.cold import Command, Start
from sqbert_cli.bench.statistics import Ratio, change, speed_ratio, summarise
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import write_json

VERSION = 1
REFERENCE = "bert-base"
"""The model that others are told beside."""


@dataclass
class Report:
    machine: Mapping[str, Any]
    models: dict[str, Mapping[str, Any]]
    """Of each model: parameters, weights, FLOPs by stage, score."""
    baseline: str
    """Engine whose float32 is 1. Empty, of a phone: of each engine the `REFERENCE` model is."""
    measurements: list[Measurement] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    floors: list[Floor] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    commands: list[Command] = field(default_factory=list)

    def add(self, event: Event | Start | Command) -> None:
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
            case Command():
                self.commands.append(event)

    def control(self, case: Case, model: str | None = None) -> Measurement | None:
        """The baseline's engine in float32 with the same model, or another, on the same shape."""
        same = case.model if self.baseline else REFERENCE
        wanted = Case(model or same, self.baseline or case.engine, "float32", case.shape)  # type: ignore[arg-type]
        return next((one for one in self.measurements if one.case == wanted), None)

    def ratio(self, one: Measurement, model: str | None = None) -> Ratio | None:
        """How many times as fast as its control."""
        theirs = self.control(one.case, model)
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
    """Read what was measured, of a file that `write_report` wrote. Raises `SqbertError` where it is something else."""
    try:
        values = json.loads(path.read_bytes())
        if values.pop("sqbert_bench") != VERSION:
            raise SqbertError(
                f"`{path}` was written by another version of `sqbert bench`", hint="measure again, with `--json FILE`"
            )
        return Report(
            machine=dict(values["machine"]),
            models=dict(values["models"]),
            baseline=str(values["baseline"]),
            measurements=[_measurement(one) for one in values["measurements"]],
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise SqbertError(
            f"`{path}` is no report of `sqbert bench`: {error}", hint="write one with `sqbert bench --json FILE`"
        ) from error


def _measurement(values: Mapping[str, Any]) -> Measurement:
    case, times = values["case"], tuple(map(float, values["times_ms"]))
    names, sizes = ("model", "engine", "dtype"), ("batch_size", "length", "threads")
    if not all(isinstance(case[name], str) for name in names):
        raise ValueError("a case without a name")
    if not times or not all(isfinite(time) and time > 0 for time in times):
        raise ValueError(f"times that are none: {case}")
    shape = Shape(**{name: int(case["shape"][name]) for name in sizes})
    return Measurement(
        Case(**{name: case[name] for name in names}, shape=shape),
        times,
        float(values["difference"]),
        float(values["gflop"]),
        str(values["weights"]),
    )


@dataclass(frozen=True)
class Change:
    """A case of two reports."""

    old: Measurement
    new: Measurement
    ratio: Ratio | None
    """How many times as fast it has become, beside the control of both; None where there is none, or this is it."""


def read_comparable(path: Path, baseline: str, is_ours: Callable[[Case], bool]) -> Report:
    """Read an earlier run; raise `SqbertError` where nothing that is to be measured could be compared with it."""
    old = read_report(path)
    theirs, ours = old.baseline or REFERENCE, baseline or REFERENCE
    if old.baseline != baseline:
        raise SqbertError(
            f"`{path}` was measured beside {theirs}, this run would be beside {ours}",
            hint=f"`--baseline {old.baseline}`" if old.baseline and baseline else "a phone goes beside a phone",
        )
    if not any(is_ours(one.case) for one in old.measurements):
        raise SqbertError(
            f"`{path}` has none of these cases", hint="name the same models, engines, dtypes, lengths and threads"
        )
    return old


def compare(old: Report, new: Report) -> Iterator[Change]:
    """Yield each case that both have. Machines drift: only beside a control that both timed is a change one."""
    before = {one.case: one for one in old.measurements}
    for one in new.measurements:
        if theirs := before.get(one.case):
            controls = old.control(one.case), new.control(one.case)
            is_beside = old.baseline == new.baseline and all(controls) and one is not controls[1]
            times = (some.times_ms for some in (theirs, one, *controls) if some)
            yield Change(theirs, one, change(*times) if is_beside else None)

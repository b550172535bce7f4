"""A benchmark for a person: a table for each shape, with what was skipped and what it was measured on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from rich.table import Table
from rich.text import Text

from sqbert_cli.bench.cases import Measurement, Shape
from sqbert_cli.bench.cold import Command, Start
from sqbert_cli.bench.report import Report
from sqbert_cli.bench.statistics import Ratio, summarise
from sqbert_cli.bench.throughput import Agreement, Throughput
from sqbert_cli.console import data, printable, talk

REFERENCE = "bert-base"
WIDTH = 110
"""Of what is no terminal: a table in a file is not squeezed."""


def show_report(report: Report) -> None:
    for (shape, model), some in groupby(report.measurements, lambda one: (one.case.shape, one.case.model)):
        place = f"{shape.batch_size} x {shape.length} tokens, {shape.threads} threads"
        data.print(Text.assemble(("\n" + printable(model), "bold"), f"  {place}"))
        _print(_latencies(report, list(some)))
    for shape in dict.fromkeys(one.case.shape for one in report.measurements):
        data.print(Text(_rates(report, shape), "dim"))
    if report.starts:
        data.print(Text("\nfresh processes", "bold"))
        _print(_starts(report.starts))
    for name, about in report.models.items():
        data.print(Text(f"\n{printable(name)}: {_about(about)}", "dim"))
    facts = report.machine
    data.print(Text(f"\n{facts['processor']}, {facts['cores']} cores; {_versions(facts)}", "dim"))
    for reason, skipped in groupby(sorted(report.skipped, key=lambda one: one.reason), lambda one: one.reason):
        names = dict.fromkeys(f"{one.case.engine} {one.case.dtype}" for one in skipped)
        talk.print(f"skipped: {', '.join(names)}: {reason}")


def _print(table: Table) -> None:
    if not data.is_terminal:
        data.width = max(data.width, WIDTH)
    data.print(table)


def show_comparison(pairs: Iterable[tuple[Measurement, Ratio]]) -> None:
    table = Table("case", "shape", "now, ms", "times as fast", "", box=None, pad_edge=False, header_style="dim")
    for one, ratio in pairs:
        shape = one.case.shape
        place = f"{shape.batch_size} x {shape.length}, {shape.threads} threads"
        median = f"{summarise(one.times_ms).median:.1f}"
        table.add_row(printable(one.case.name), place, median, _told(ratio), ratio.verdict)
    if table.row_count:
        _print(table)
    else:
        data.print("the two have no case in common")


def show_commands(commands: Iterable[Command]) -> None:
    table = Table("command", box=None, pad_edge=False, header_style="dim")
    for name in ("wall, s", "processor, s", "of importing torch"):
        table.add_column(name, justify="right")
    first: float | None = None
    for command in commands:
        wall, cpu = summarise(command.wall_s).median, summarise(command.cpu_s).median
        first = first or wall
        table.add_row(command.name, f"{wall:.2f}", f"{cpu:.2f}", f"{wall / first:.2f}")
    _print(table)


def show_throughput(events: Iterable[Throughput | Agreement]) -> None:
    table = Table("command", box=None, pad_edge=False, header_style="dim")
    for name in ("seconds", "records a second", "times as fast", "the pipeline's answers"):
        table.add_column(name, justify="right")
    some = list(events)
    same = {event.name: f"{event.same / event.records:.1%}" for event in some if isinstance(event, Agreement)}
    rates = [event for event in some if isinstance(event, Throughput)]
    for one in rates:
        middle, faster = summarise(one.seconds).median, one.per_second / rates[-1].per_second
        table.add_row(one.name, f"{middle:.1f}", f"{one.per_second:,.0f}", f"{faster:.2f}", same.get(one.name, ""))
    _print(table)


def _latencies(report: Report, measurements: list[Measurement]) -> Table:
    table = Table("engine", "dtype", box=None, pad_edge=False, header_style="dim")
    for name in ("median, ms", "p90", "p95", "min", "times as fast", f"as {REFERENCE}", "of floor"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in measurements:
        of, share, reference = summarise(one.times_ms), report.floor_share(one), report.ratio(one, REFERENCE)
        numbers = (f"{value:.1f}" for value in (of.median, of.p90, of.p95, of.min))
        table.add_row(
            one.case.engine, one.case.dtype, *numbers, _told(report.ratio(one)),
            f"{reference.value:.2f}" if reference else "", f"{share:.0%}" if share else "",
        )  # fmt: skip
    return table


def _starts(starts: Iterable[Start]) -> Table:
    table = Table("model", "engine", "dtype", box=None, pad_edge=False, header_style="dim")
    for name in ("import, s", "load", "first run", "whole process", "peak, MB"):
        table.add_column(name, justify="right")
    for one in starts:
        seconds = (f"{value:.2f}" for value in (one.import_s, one.load_s, one.first_s, one.wall_s))
        case = one.case
        table.add_row(Text(printable(case.model)), case.engine, case.dtype, *seconds, f"{one.peak_bytes / 1e6:,.0f}")
    return table


def _told(ratio: Ratio | None) -> str:
    return f"{ratio.value:.2f} ({ratio.low:.2f}-{ratio.high:.2f})" if ratio else ""


def _rates(report: Report, shape: Shape) -> str:
    rates = [f"{floor.dtype} {floor.tflops:.2f} TFLOP/s" for floor in report.floors if floor.shape == shape]
    copied = [f"copying {one.gigabytes_per_second:.0f} GB/s" for one in report.memory if one.threads == shape.threads]
    told = f"times as fast: as {report.baseline} in float32, the same model, or {REFERENCE}; floor: large products "
    return told + ", ".join(rates + copied[:1])


def _about(about: Mapping[str, Any]) -> str:
    total = sum(about["flops"].values())
    stages = ", ".join(f"{stage} {flops / total:.0%}" for stage, flops in about["flops"].items())
    size = f"{about['parameters'] / 1e6:.1f} M parameters, weights {about['weights']}"
    return f"{size}; {total / 1e9:.2f} GFLOP: {stages}"


def _versions(facts: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    commit = f" ({facts['commit']})" if facts["commit"] else ""
    return f"{', '.join(facts['features'])}; Python {facts['python']}, sqbert {facts['sqbert']}{commit}, {packages}"

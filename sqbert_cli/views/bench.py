"""A benchmark for a person: a table for each shape, with what was skipped and what it was measured on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from statistics import median
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from sqbert_cli.bench.cases import Measurement, Shape
from sqbert_cli.bench.cold import Command, Start
from sqbert_cli.bench.report import REFERENCE, Change, Report
from sqbert_cli.bench.statistics import Ratio, summarise
from sqbert_cli.bench.throughput import Agreement, Throughput
from sqbert_cli.console import data, printable, talk
from sqbert_cli.views.tables import plain_table

COLD = "  load: our network is read, or drawn, and handed to the engine; the peak holds both"
WIDTH = 110
"""Of what is no terminal: a table in a file is not squeezed."""


def show_report(report: Report, *, markdown: bool = False) -> None:
    for (shape, model), some in groupby(report.measurements, lambda one: (one.case.shape, one.case.model)):
        data.print(Text.assemble(("\n" + printable(model), "bold"), f"  {shape.name}"))
        print_table(_latencies(report, list(some)), markdown=markdown)
    for shape in dict.fromkeys(one.case.shape for one in report.measurements):
        data.print(Text(_rates(report, shape), "dim"))
    if report.starts:
        data.print(Text.assemble(("\nfresh processes, medians", "bold"), (COLD, "dim")), soft_wrap=True)
        print_table(_starts(report.starts), markdown=markdown)
        print_table(_commands(report.commands), markdown=markdown)
    for name, about in report.models.items():
        data.print(Text(f"\n{printable(name)}: {_about(about)}", "dim"))
    facts = report.machine
    data.print(Text(f"\n{facts['processor']}, {facts['cores']} cores; {_versions(facts)}", "dim"))
    for reason, skipped in groupby(sorted(report.skipped, key=lambda one: one.reason), lambda one: one.reason):
        names = dict.fromkeys(f"{one.case.engine} {one.case.dtype}" for one in skipped)
        talk.print(f"skipped: {', '.join(names)}: {reason}")


def print_table(table: Table, *, markdown: bool = False) -> None:
    if markdown:
        table.box, table.pad_edge = box.MARKDOWN, True
    if not data.is_terminal:
        data.width = max(data.width, WIDTH)
    data.print(table)


def show_comparison(changes: Iterable[Change], baseline: str, *, markdown: bool = False) -> None:
    columns = ("shape", "before, ms", "now, ms", f"beside {baseline or REFERENCE}")
    table = plain_table("model", "engine", "dtype", right=columns, no_wrap=True)
    table.add_column("", no_wrap=True)
    for one in changes:
        case, ratio = one.new.case, one.ratio
        medians = (f"{summarise(some.times_ms).median:.1f}" for some in (one.old, one.new))
        verdict = "" if ratio is None else ratio.verdict if ratio.is_sure else "too few runs"
        table.add_row(
            Text(printable(case.model)), case.engine, case.dtype, case.shape.name, *medians, told_ratio(ratio), verdict
        )
    if table.row_count:
        print_table(table, markdown=markdown)
    else:
        data.print("the two have no case in common")


def show_throughput(some: Sequence[Throughput | Agreement]) -> None:
    columns = ("seconds", "records a second", "times as fast", "the pipeline's answers")
    table = plain_table("command", right=columns)
    same = {event.name: f"{event.same / event.records:.1%}" for event in some if isinstance(event, Agreement)}
    rates = [event for event in some if isinstance(event, Throughput)]
    for one in rates:
        rate, faster = f"{one.per_second:,.0f}", f"{one.per_second / rates[-1].per_second:.2f}"
        table.add_row(one.name, f"{median(one.seconds):.1f}", rate, faster, same.get(one.name, ""))
    print_table(table)


def _latencies(report: Report, measurements: list[Measurement]) -> Table:
    beside = [f"of {REFERENCE}"] if any(report.ratio(one, REFERENCE) for one in measurements) else []
    columns = ("median, ms", "p90", "p95", "min", f"of {report.baseline}", *beside, "of floor")
    table = plain_table("engine", "dtype", right=columns, no_wrap=True)
    for one in measurements:
        of, share, reference = summarise(one.times_ms), report.floor_share(one), report.ratio(one, REFERENCE)
        numbers = (f"{value:.1f}" for value in (of.median, of.p90, of.p95, of.min))
        table.add_row(
            one.case.engine, one.case.dtype, *numbers, told_ratio(report.ratio(one)),
            *[f"{reference.value:.2f}" if reference else "" for _ in beside], f"{share:.0%}" if share else "",
        )  # fmt: skip
    return table


def _starts(starts: Iterable[Start]) -> Table:
    columns = ("import, s", "load", "first run", "whole process", "peak, MB")
    table = plain_table("model", "engine", "dtype", right=columns)
    for one in starts:
        seconds = (f"{median(times):.2f}" for times in (one.import_s, one.load_s, one.first_s, one.wall_s))
        peak = f"{median(one.peak_bytes) / 1e6:,.0f}"
        table.add_row(Text(printable(one.case.model)), one.case.engine, one.case.dtype, *seconds, peak)
    return table


def _commands(commands: Sequence[Command]) -> Table:
    table = plain_table("command", right=("wall, s", "processor, s", "of importing torch"))
    for command in commands:
        wall, cpu = median(command.wall_s), median(command.cpu_s)
        table.add_row(command.name, f"{wall:.2f}", f"{cpu:.2f}", f"{wall / median(commands[0].wall_s):.2f}")
    return table


def told_ratio(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    return f"{ratio.value:.2f} ({ratio.low:.2f}-{ratio.high:.2f})" if ratio.is_sure else f"{ratio.value:.2f}"


def _rates(report: Report, shape: Shape) -> str:
    rates = [f"{floor.dtype} {floor.tflops:.2f} TFLOP/s" for floor in report.floors if floor.shape == shape]
    copied = [f"copying {one.gigabytes_per_second:.0f} GB/s" for one in report.memory if one.threads == shape.threads]
    return f"{shape.name}: large products {', '.join(rates + copied[:1])}"


def _about(about: Mapping[str, Any]) -> str:
    total = sum(about["flops"].values())
    stages = ", ".join(f"{stage} {flops / total:.0%}" for stage, flops in about["flops"].items())
    size = f"{about['parameters'] / 1e6:.1f} M parameters, weights {about['weights']}"
    return f"{size}; {total / 1e9:.2f} GFLOP for {about['flops_of']}: {stages}"


def _versions(facts: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    commit = f" ({facts['commit']})" if facts["commit"] else ""
    return f"{', '.join(facts['features'])}; Python {facts['python']}, sqbert {facts['sqbert']}{commit}, {packages}"

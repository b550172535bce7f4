"""A phone's benchmark for a person: what was found, then a table, then how steady it was."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from sqbert_cli.bench.report import REFERENCE
from sqbert_cli.bench.statistics import summarise
from sqbert_cli.console import data, printable, talk
from sqbert_cli.phone.measure import counted
from sqbert_cli.phone.result import FEWEST_FOR_DRIFT
from sqbert_cli.phone.session import Found, PhoneReport, PhoneRun, told
from sqbert_cli.views.bench import print_table, told_ratio
from sqbert_cli.views.tables import plain_table

PAPER = (
    "For context, not for comparison: the paper (2020) tells of 1.7 s for BERT-base on a Pixel 3 and of a SqueezeBERT "
    "4.3 times as fast, in the PyTorch Mobile of its time, another engine."
)


def show_found(found: Found) -> None:
    mark, style = ("ok", "green") if found.is_fine else ("--", "yellow")
    talk.print(Text.assemble((mark, style), f"  {found.what}: {printable(found.detail)}"))
    if found.hint:
        talk.print(Text(f"    {printable(found.hint)}", "dim"))


def show_phone(report: PhoneReport, *, markdown: bool) -> None:
    facts = report.machine
    processor, about = printable(facts["processor"]), f"{printable(facts['system'])}; sqbert {facts['sqbert']}"
    is_other = report.phone is not None and report.phone.device and not report.is_pixel_3
    label = "  (not a Pixel 3)" if is_other else ""
    data.print(Text.assemble(("\n" + processor, "bold"), f"{label}  {about}\n"), soft_wrap=True)
    print_table(_latencies(report), markdown=markdown)
    for line in map(printable, _below(report)):
        data.print(Text(f"- {line}" if markdown else line, "dim"), soft_wrap=True)
    data.print(Text(f"\n{PAPER}", "dim"), soft_wrap=True)


def _below(report: PhoneReport) -> Iterator[str]:
    """How steady it was, and what it ran on: without these the table says too much."""
    yield from map(_verdict, report.runs)
    conditions = report.conditions[:1] + report.conditions[1:][-1:]
    yield from (f"{when}: {told(one)}" for when, one in zip(("at first", "at last"), conditions, strict=False))
    if report.forced:
        yield f"measured all the same (--force): {'; '.join(report.forced)}"


def _latencies(report: PhoneReport) -> Table:
    columns = ("threads", "runs", "median, ms", "p90", "p95", "min", "first run", "load", f"of {REFERENCE}")
    table = plain_table("model", "engine", right=columns, no_wrap=True)
    rest = {(run.result.runner, run.result.threads, one.name): one for run in report.runs for one in run.result.models}
    for measured in report.measurements:
        case, of = measured.case, summarise(measured.times_ms)
        timed = rest[case.engine, case.shape.threads, case.model]
        times = (of.median, of.p90, of.p95, of.min, timed.first_ms, timed.load_ms)
        table.add_row(
            Text(printable(case.model)),
            case.engine,
            str(case.shape.threads),
            str(len(measured.times_ms)),
            *(f"{time:.1f}" for time in times),
            told_ratio(report.ratio(measured, REFERENCE)),
        )
    return table


def _verdict(run: PhoneRun) -> str:
    result = run.result
    cores = f"on cores {', '.join(map(str, result.affinity))}" if result.affinity else ""
    pinned = "" if run.is_pinned else "not pinned to the big cores"
    few = "fewer than threads" if 0 < len(result.affinity) < result.threads else ""
    where = ", ".join(filter(None, (cores, pinned, few)))
    ran = f"{result.runner}, {counted(result.threads)}, on {result.machine}"
    cut = "" if len(result.watched) == run.wanted else f"{run.counted}; "
    return f"{ran}: {cut}{_state(run)}; {where}; {result.engine}, {result.path}"


def _state(run: PhoneRun) -> str:
    watched = run.result.watched
    if run.signs:
        return f"throttled: {'; '.join(run.signs)}"
    if len(watched) < FEWEST_FOR_DRIFT:
        return "too few runs to tell whether it was steady"
    is_known = run.is_pinned and any(one is not None for row in watched for one in row)
    return "steady" if is_known else "steady, clock unknown"

"""Latency against length and batch, and accuracy against latency, as one figure (matplotlib, an extra)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqbert_cli.bench.cases import Measurement
from sqbert_cli.bench.report import Report
from sqbert_cli.bench.statistics import summarise
from sqbert_cli.files import whole_file

WORDS = {"length": "length", "batch_size": "batch size"}


def plot(report: Report, path: Path) -> None:
    """Write the figure; its format is by the file's ending (svg, png, pdf)."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["text.parse_math"] = False  # a name may have a dollar
    from matplotlib import pyplot

    figure, (by_length, by_batch, by_score) = pyplot.subplots(1, 3, figsize=(18, 6), layout="constrained")
    _lines(by_length, report.measurements, "length", "batch_size")
    _lines(by_batch, report.measurements, "batch_size", "length")
    _scores(by_score, report)
    handles, labels = by_length.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    figure.suptitle(f"{report.machine['processor']}, median of each case", fontsize="medium")
    with whole_file(path) as file:
        figure.savefig(file, format=path.suffix[1:])
    pyplot.close(figure)


def _lines(axes: Any, measurements: Sequence[Measurement], along: str, fixed: str) -> None:
    """A line for each engine, at the smallest of what the axis does not show, on the most threads."""
    threads = max(one.case.shape.threads for one in measurements)
    lowest = min(getattr(one.case.shape, fixed) for one in measurements)
    lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for one in measurements:
        shape = one.case.shape
        if (getattr(shape, fixed), shape.threads) == (lowest, threads):
            lines[one.case.name].append((getattr(shape, along), summarise(one.times_ms).median))
    for name, points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", markersize=4, label=f" {name}")
    said = f"Latency by {WORDS[along]} ({WORDS[fixed]} {lowest}, threads {threads})"
    axes.set(xlabel=WORDS[along], ylabel="ms", title=said, xscale="log", yscale="log")
    _number(axes.yaxis)
    ticks = sorted({place for points in lines.values() for place, _ in points})
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def _number(axis: Any) -> None:
    """Plain numbers, where a logarithmic axis would write powers in mathematics."""
    from matplotlib.ticker import LogLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")


def _scores(axes: Any, report: Report) -> None:
    """Models whose score is known, each in its fastest engine, on the first shape."""
    shape = report.measurements[0].case.shape
    axes.set(xlabel="ms", title=f"Accuracy by latency ({shape.name})", xscale="log")
    axes.margins(x=0.4, y=0.1)  # for the names
    _number(axes.xaxis)
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    for name, about in report.models.items():
        score = about["score"]
        own = [one for one in report.measurements if (one.case.model, one.case.shape) == (name, shape)]
        own = [one for one in own if one.case.dtype != "int8"]  # whose score would be another
        if score is None or not own:
            continue
        fastest = min(own, key=lambda one: summarise(one.times_ms).median)
        place = (summarise(fastest.times_ms).median, score["value"])
        axes.plot(*place, "o")
        quoted = " (quoted)" if score["is_quoted"] else ""
        axes.annotate(
            f"{name}{quoted}, {fastest.case.engine}", place, xytext=(6, 6), textcoords="offset points", fontsize=8
        )
        axes.set_ylabel(score["of"])

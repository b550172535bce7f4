"""Latency against length and batch, and accuracy against latency, as one figure (matplotlib, an extra)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqbert_cli.bench.cases import Measurement
from sqbert_cli.bench.report import Report
from sqbert_cli.bench.statistics import summarise
from sqbert_cli.files import whole_file


def plot(report: Report, path: Path) -> None:
    """Write the figure; its format is by the file's ending (svg, png, pdf)."""
    import matplotlib

    matplotlib.use("agg")
    matplotlib.rcParams["text.parse_math"] = False  # a name may have a dollar
    from matplotlib import pyplot

    figure, (by_length, by_batch, by_score) = pyplot.subplots(1, 3, figsize=(18, 6), layout="constrained")
    _lines(by_length, report.measurements, lambda one: one.case.shape.length, lambda one: one.case.shape.batch_size)
    by_length.set(xlabel="tokens of a row", title="Latency and length")
    _lines(by_batch, report.measurements, lambda one: one.case.shape.batch_size, lambda one: one.case.shape.length)
    by_batch.set(xlabel="rows of a batch", title="Latency and batch")
    _scores(by_score, report)
    handles, labels = by_length.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize="small")
    figure.suptitle(f"{report.machine['processor']}, median of each case", fontsize="medium")
    with whole_file(path) as file:
        figure.savefig(file, format=path.suffix[1:])
    pyplot.close(figure)


def _lines(
    axes: Any, measurements: Sequence[Measurement], x: Callable[[Measurement], int], fixed: Callable[[Measurement], int]
) -> None:
    """A line for each engine, at the smallest of what the axis does not show, on the most threads."""
    threads = max(one.case.shape.threads for one in measurements)
    lowest = min(map(fixed, measurements))
    lines: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for one in measurements:
        if fixed(one) == lowest and one.case.shape.threads == threads:
            lines[one.case.name].append((x(one), summarise(one.times_ms).median))
    for name, points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", markersize=4, label=f" {name}")
    axes.set(ylabel="ms", xscale="log", yscale="log")
    ticks = sorted({place for points in lines.values() for place, _ in points})
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    axes.grid(alpha=0.3)


def _scores(axes: Any, report: Report) -> None:
    """Models whose score is known, each in its fastest engine, on the first shape."""
    axes.set(xlabel="ms", title="Accuracy and latency", xscale="log")
    axes.grid(alpha=0.3)
    for name, about in report.models.items():
        score, shape = about["score"], report.measurements[0].case.shape
        own = [one for one in report.measurements if (one.case.model, one.case.shape) == (name, shape)]
        own = [one for one in own if one.case.dtype != "int8"]  # whose score would be another
        if score is None or not own:
            continue
        fastest = min(own, key=lambda one: summarise(one.times_ms).median)
        place = (summarise(fastest.times_ms).median, score["value"])
        axes.plot(*place, "o")
        axes.annotate(f"{name}, {fastest.case.engine}", place, xytext=(6, 6), textcoords="offset points", fontsize=8)
        axes.set_ylabel(score["of"])

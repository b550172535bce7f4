"""A benchmark from its options to what is shown and written."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import chain, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqbert_cli.bench.cases import Case, Doing, Shape, all_cases, with_control
from sqbert_cli.bench.cold import cold_starts, time_commands
from sqbert_cli.bench.engines import ENGINES
from sqbert_cli.bench.machine import default_threads, machine_facts
from sqbert_cli.bench.measure import measure
from sqbert_cli.bench.report import Report, compare, read_comparable, write_report
from sqbert_cli.bench.subjects import SUBJECTS, load_subject
from sqbert_cli.bench.throughput import Agreement, TaskName, Throughput, throughput
from sqbert_cli.checkpoint import write_checkpoint
from sqbert_cli.console import show_warning
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadKind
from sqbert_cli.models import load_checkpoint
from sqbert_cli.views.bench import show_comparison, show_report, show_throughput
from sqbert_cli.views.doing import shown

KINDS: dict[TaskName, HeadKind] = {"classify": "sequence", "ner": "token"}
EXTRA = "pip install 'sqbert[bench]'"


@dataclass(frozen=True)
class Wish:
    """What is to be timed; None: what there is."""

    models: Sequence[str] | None
    engines: Sequence[str]
    dtypes: Sequence[str] | None
    lengths: Sequence[int]
    batch_sizes: Sequence[int]
    threads: Sequence[int] | None
    baseline: str | None
    runs: int
    seconds: float
    cold: bool

    @property
    def control(self) -> str:
        """The engine whose float32 is 1."""
        return self.baseline or ("transformers" if find_spec("transformers") else "sqbert-plain")

    def cases(self) -> list[Case]:
        """Every combination, and of each model and shape the control; raises `SqbertError` where there is none."""
        engines = [(engine.name, engine.dtypes) for engine in ENGINES.values() if engine.name in self.engines]
        threads = self.threads or [default_threads()]
        shapes = [Shape(*of) for of in product(self.batch_sizes, self.lengths, threads)]
        offered = {dtype for _, dtypes in engines for dtype in dtypes}
        if lacking := [dtype for dtype in self.dtypes or () if dtype not in offered]:
            raise SqbertError(
                f"none of these engines computes in {', '.join(lacking)}", hint="leave it out of `--dtypes`"
            )
        cases = all_cases(self.models or SUBJECTS, engines, self.dtypes or offered, shapes)  # type: ignore[arg-type]
        return with_control(list(cases), self.control)  # type: ignore[arg-type]


def run_bench(
    wish: Wish, json: Path | None, plot: Path | None, old: Path | None, offline: bool, *, markdown: bool
) -> None:
    cases = wish.cases()
    before = read_comparable(old, wish.control, cases.__contains__) if old else None
    subjects = {name: load_subject(name, offline=offline) for name in dict.fromkeys(case.model for case in cases)}
    about: dict[str, Mapping[str, Any]] = {name: subject.about(cases[0].shape) for name, subject in subjects.items()}
    report = Report(machine_facts(), about, wish.control)
    try:
        for event in shown(measure(cases, subjects, runs=wish.runs, seconds=wish.seconds)):
            report.add(event)
        if wish.cold:
            first = [one.case for one in report.measurements if one.case.shape == cases[0].shape]
            for paid in chain(shown(cold_starts(first)), time_commands()):
                report.add(paid)
    finally:  # of a run that was stopped, what there is
        keep(report, json, lambda: show_report(report, markdown=markdown))
    if not report.measurements:
        raise SqbertError("nothing was measured", hint="what was skipped is told above, and why")
    if plot is not None:
        draw(report, plot)
    if before is not None:
        show_changes(before, report, markdown=markdown)


def show_changes(before: Report, report: Report, *, markdown: bool) -> None:
    then, now = (one.machine.get("processor") for one in (before, report))
    if then != now:
        show_warning(f"the earlier run was on {then}, this one on {now}: a change may be that of the machine")
    show_comparison(compare(before, report), report.baseline, markdown=markdown)


def keep(report: Report, path: Path | None, show: Callable[[], None]) -> None:
    """Write what was measured, if anything was, and show it, though one of the two should fail."""
    try:
        if path is not None and report.measurements:
            write_report(report, path)
    finally:
        show()


def draw(report: Report, path: Path) -> None:
    from sqbert_cli.bench.plot import plot

    if not report.measurements:
        raise SqbertError(f"nothing was measured to be drawn in `{path}`", hint="see what was skipped, and why")
    plot(report, path)


def run_throughput(
    file: Path, task: TaskName, models: Sequence[str] | None, dtypes: Sequence[str] | None, runs: int, offline: bool
) -> None:
    if find_spec("transformers") is None:
        raise SqbertError("`--throughput` needs transformers, to be compared with its pipeline", hint=EXTRA)
    own_dtypes = ENGINES["sqbert"].here(dtypes)
    if lacking := [dtype for dtype in dtypes or () if dtype not in own_dtypes]:
        raise SqbertError(f"here sqbert does not compute in {', '.join(lacking)}", hint="leave it out of `--dtypes`")
    if models is not None and len(models) > 1:
        raise SqbertError("`--throughput` takes one model", hint="name one with `--models`")
    checkpoint = load_checkpoint(models[0] if models else None, offline=offline)
    head = checkpoint.head(KINDS[task])
    if head.problem_type != "single_label_classification":
        raise SqbertError(
            f"`{checkpoint.name}` gives no text one label, as the pipeline does", hint="name another model"
        )
    for other in checkpoint.heads:
        if other != head:
            del checkpoint.network.heads[other.name]
    as_theirs = replace(head, scheme=None)  # the pipeline takes each word's own best tag
    found: list[Throughput | Agreement] = []
    with TemporaryDirectory() as folder:  # with one head both can open it
        write_checkpoint(replace(checkpoint, heads=(as_theirs,)), Path(folder))
        try:
            for event in shown(throughput(task, Path(folder), file, own_dtypes, runs)):
                if not isinstance(event, Doing):
                    found.append(event)
        finally:  # of a run that was stopped, what there is
            if found:
                show_throughput(found)

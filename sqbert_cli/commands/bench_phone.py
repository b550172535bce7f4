"""`sqbert bench --device`: from its options to what is shown and written."""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sqbert_cli.phone.course import Course
from sqbert_cli.phone.problems import PhoneError
from sqbert_cli.phone.target import Target, find_target, public_key, setup_lines, ssh_files

if TYPE_CHECKING:
    from sqbert_cli.phone.session import PhoneReport

DEFAULT_MODELS = ("squeezebert-base", "bert-base")


@dataclass(frozen=True)
class PhoneWish:
    """Which phone, and what is to become of the result."""

    device: str
    serial: str | None
    any_device: bool
    models: Sequence[str] | None
    json: Path | None
    plot: Path | None
    compare: Path | None
    markdown: bool
    offline: bool


def show_setup() -> None:
    """Say what is typed in Termux once; the key is made here."""
    from sqbert_cli.console import data, talk

    talk.print("In Termux (from its GitHub releases or F-Droid), once:")
    for line in setup_lines(public_key(ssh_files())):
        data.print(line, soft_wrap=True)


def run_phone(wish: PhoneWish, course: Course) -> None:
    """Find the phone first: nothing heavy is imported while there is none."""
    with signals_interrupt():
        _measured(wish, course, find_target(wish.device, wish.serial, wish.any_device))


def _measured(wish: PhoneWish, course: Course, target: Target) -> None:
    from sqbert_cli.bench.cases import Case
    from sqbert_cli.bench.report import REFERENCE, read_comparable
    from sqbert_cli.commands.bench_runs import draw, keep, show_changes
    from sqbert_cli.console import show_warning
    from sqbert_cli.phone.measure import measure
    from sqbert_cli.phone.session import Found, new_report
    from sqbert_cli.views.doing import shown
    from sqbert_cli.views.phone import show_found, show_phone

    report, models = new_report(target), wish.models or DEFAULT_MODELS

    def is_ours(case: Case) -> bool:
        given = course.runtime in ("auto", "both", case.engine)
        same = case.shape.length == course.length and case.shape.threads in course.threads
        return given and same and case.model in models

    before = read_comparable(wish.compare, report.baseline, is_ours) if wish.compare else None
    if before is not None and REFERENCE not in models:
        show_warning(f"without `{REFERENCE}` among `--models` no change can be told: a phone is compared beside it")
    with purging(target, course, report) if course.purge else nullcontext():
        try:
            with (
                TemporaryDirectory() as folder,
                closing(measure(target, models, course, report, Path(folder), offline=wish.offline)) as events,
            ):
                for event in shown(events):
                    if isinstance(event, Found):
                        show_found(event)
        finally:  # of a run that was stopped, what there is
            if report.measurements:
                keep(report, wish.json, lambda: show_phone(report, markdown=wish.markdown))
        if wish.plot is not None:
            draw(report, wish.plot)
        if before is not None:
            show_changes(before, report, markdown=wish.markdown)


@contextmanager
def purging(target: Target, course: Course, report: PhoneReport) -> Iterator[None]:
    """Leave nothing of ours there. Where that fails it is told, and how the command ends if all else went well."""
    from sqbert_cli.phone.session import Found, purged
    from sqbert_cli.views.phone import show_found

    def purge() -> None:
        used = course.runtime in ("termux", "both") or any(run.result.runner == "termux" for run in report.runs)
        show_found(purged(target, termux_used=used))

    try:
        yield
    except BaseException:
        try:
            purge()
        except PhoneError as error:
            show_found(Found("purge", error.message, False, error.hint))
        raise
    purge()


@contextmanager
def signals_interrupt() -> Iterator[None]:
    """Let what would end us at once end us as Ctrl-C does: nothing of ours stays on the phone or here."""
    names = ("SIGTERM", "SIGHUP")  # the second is not everywhere, and `nohup` wants it ignored
    some = [one for name in names if (one := getattr(signal, name, None)) and signal.getsignal(one) == signal.SIG_DFL]
    for one in some:
        signal.signal(one, signal.default_int_handler)
    try:
        yield
    finally:
        for one in some:
            signal.signal(one, signal.SIG_DFL)

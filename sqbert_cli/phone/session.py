"""A measurement on a phone, from its conditions to its clean-up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from sqbert_cli.bench.cases import Doing
from sqbert_cli.bench.machine import machine_facts
from sqbert_cli.bench.report import Report
from sqbert_cli.phone.cargo import write_runner
from sqbert_cli.phone.course import Course, RuntimeChoice
from sqbert_cli.phone.deploy import purge
from sqbert_cli.phone.facts import Conditions, Facts, ask_conditions
from sqbert_cli.phone.problems import PhoneError, Status
from sqbert_cli.phone.result import Result
from sqbert_cli.phone.runtimes import SECONDS, Runtime, native, termux
from sqbert_cli.phone.target import Target, check_torch, enter_termux, has_termux

POLL_SECONDS = 10.0


@dataclass(frozen=True)
class Found:
    """A step that went well, or a problem that does not end the run."""

    what: str
    detail: str
    is_fine: bool = True
    hint: str | None = None


@dataclass(frozen=True)
class PhoneRun:
    """What the phone said of one run, beside the times."""

    result: Result
    wanted: int
    """Runs of each model, if the time is enough for them."""
    signs: list[str]
    """Of throttling; none: steady."""
    is_pinned: bool
    differences: dict[str, float]
    """Of the logits from the computer's, for each model."""

    @property
    def counted(self) -> str:
        done = len(self.result.watched)
        return f"{done} runs" if done == self.wanted else f"{done} of {self.wanted} runs: {SECONDS:.0f} s were over"


@dataclass
class PhoneReport(Report):
    phone: Facts | None = None
    is_pixel_3: bool = False
    forced: list[str] = field(default_factory=list)
    """Conditions that `--force` passed over."""
    conditions: list[Conditions] = field(default_factory=list)
    """At the start, then before and after each run."""
    runs: list[PhoneRun] = field(default_factory=list)


Event = Found | Doing
Step = TypeVar("Step")
ENDS = {Status.LOST, Status.OFFLINE, Status.UNAUTHORIZED, Status.NO_PERMISSION, Status.SEVERAL, Status.TOO_LONG}
"""Nothing more can be asked of the phone."""


@dataclass
class Checks:
    """Of `--check`: a problem is told, and the next thing is looked at. Else the first one ends the run."""

    go_on: bool
    problems: list[PhoneError] = field(default_factory=list)

    def tried(self, what: str, steps: Iterator[Step]) -> Iterator[Step | Found]:
        try:
            yield from steps
        except PhoneError as error:
            if not self.go_on or error.status in ENDS:
                raise
            self.problems.append(error)
            yield Found(what, error.message, False, error.hint)

    def end(self) -> None:
        """Raise `PhoneError` with the status of the first problem, if there was any."""
        if self.problems:
            said = f"not ready to be measured; problems: {len(self.problems)}, told above"
            raise PhoneError(Status(self.problems[0].status), said)


def new_report(target: Target) -> PhoneReport:
    own = machine_facts()
    about: dict[str, Any] = {
        "processor": f"{target.facts.name} ({', '.join(filter(None, (target.facts.platform, target.facts.machine)))})",
        "system": f"{target.facts.system}, {target.facts.kernel}",
        **{name: own[name] for name in ("sqbert", "commit")},
        "computer": own,
    }
    return PhoneReport(machine=about, models={}, baseline="", phone=target.facts, is_pixel_3=target.is_pixel_3)


def await_conditions(target: Target, course: Course, report: PhoneReport) -> Iterator[Event]:
    """Wait until the phone is cool. Raises `PhoneError` where it stays unfit, unless that is to be passed over."""
    began, conditions = time.monotonic(), ask_conditions(target.link)
    while list(conditions.too_warm()) and not course.force and time.monotonic() - began < course.cooldown_seconds:
        waited = time.monotonic() - began
        yield Doing(
            f"waiting until it is cooler: {next(conditions.too_warm())}", int(waited), int(course.cooldown_seconds)
        )
        time.sleep(min(POLL_SECONDS, max(0.1, course.cooldown_seconds - waited)))
        conditions = ask_conditions(target.link)
    report.conditions.append(conditions)
    problems = list(conditions.problems())
    if problems and not course.force:
        raise PhoneError(
            Status.CONDITIONS,
            f"the phone is not fit to be measured: {'; '.join(problems)}",
            "charge it, let it cool (`--cooldown SECONDS` waits longer), wake it (*Stay awake* of the developer "
            "options keeps it so), or use `--force`, which the result will say",
        )
    report.forced += [problem for problem in problems if problem not in report.forced]
    yield Found("conditions", "; ".join(problems) or told(conditions), not problems)


def told(conditions: Conditions) -> str:
    """In a line."""
    parts = [
        conditions.battery_percent is not None and f"battery {conditions.battery_percent:.0f} %",
        conditions.battery_celsius is not None and f"{conditions.battery_celsius:.1f} °C",
        conditions.thermal_status is not None and f"thermal status {conditions.thermal_status}",
        conditions.big_cores and f"big cores {', '.join(map(str, conditions.big_cores))}",
        conditions.cpus and f"governor {conditions.cpus[-1].governor or 'unknown'}",
    ]
    return ", ".join(part for part in parts if part) or "the machine says nothing of itself"


def runtimes(
    target: Target, choice: RuntimeChoice, folder: Path, stack: ExitStack, checks: Checks
) -> Iterator[Runtime | Found]:
    """Yield what can run there. Raises `PhoneError` where what was asked for cannot."""
    if choice in ("termux", "both"):
        yield from checks.tried("termux", _in_termux(target, folder, stack))
    elif choice == "auto" and target.adb:
        try:
            yield from _in_termux(target, folder, stack)
            return
        except PhoneError as error:
            yield Found("termux", f"{error.message} (so the native program is used)", False, error.hint)
    if choice != "termux":
        yield from checks.tried("native", _by_our_program(target))


def _in_termux(target: Target, folder: Path, stack: ExitStack) -> Iterator[Runtime | Found]:
    link = enter_termux(target, stack)
    yield Found("termux", f"PyTorch {check_torch(link)}, through {link.name}")
    write_runner(folder / "runner.pyz")
    yield termux(link, folder / "runner.pyz")


def _by_our_program(target: Target) -> Iterator[Runtime | Found]:
    yield native(target.link, target.facts.machine)
    yield Found("native", f"our own program for {target.facts.machine}, through {target.link.name}")


def purged(target: Target, *, termux_used: bool) -> Found:
    """Take away all that is ours, from both places. Raises `PhoneError` where that fails.

    A Termux that cannot be entered is told, but no failure where it was not used.
    """
    try:
        purge(target.link)
        with ExitStack() as stack:
            if has_termux(target):
                purge(enter_termux(target, stack))
    except PhoneError as error:
        if error.status in (Status.NO_TERMUX, Status.HOST_KEY) and not termux_used:
            return Found("purge", f"Termux cannot be looked into: {error.message}", False, error.hint)
        said = f"weights may still be there: {error.message}"
        raise PhoneError(Status(error.status), said, error.hint) from error
    return Found("purge", "nothing of ours is left there")

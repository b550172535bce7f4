"""A measurement on a phone, from its conditions to its clean-up."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqbert_cli.bench.cases import Progress
from sqbert_cli.bench.machine import machine_facts
from sqbert_cli.bench.report import Report
from sqbert_cli.phone.cargo import write_runner
from sqbert_cli.phone.course import Course, RuntimeChoice
from sqbert_cli.phone.facts import Conditions, Facts, ask_conditions
from sqbert_cli.phone.problems import PhoneError, Status
from sqbert_cli.phone.result import Result
from sqbert_cli.phone.runtimes import Runtime, native, termux
from sqbert_cli.phone.target import Target, check_torch, enter_termux

POLL_SECONDS = 10.0


@dataclass(frozen=True)
class Found:
    """A step that went well, or a problem that does not end the run."""

    what: str
    detail: str
    is_fine: bool = True


@dataclass(frozen=True)
class PhoneRun:
    """What the phone said of one run, beside the times."""

    result: Result
    signs: list[str]
    """Of throttling; none: steady."""
    is_pinned: bool
    differences: dict[str, float]
    """Of the logits from the computer's, for each model."""


@dataclass
class PhoneReport(Report):
    phone: Facts | None = None
    is_pixel_3: bool = False
    forced: list[str] = field(default_factory=list)
    """Conditions that `--force` passed over."""
    conditions: list[Conditions] = field(default_factory=list)
    """Before, between and after the runs."""
    runs: list[PhoneRun] = field(default_factory=list)


Event = Found | Progress


def new_report(target: Target) -> PhoneReport:
    own = machine_facts()
    about: dict[str, Any] = {
        "processor": f"{target.facts.name} ({target.facts.platform or target.facts.machine})",
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
        yield Progress(
            f"waiting until it is cooler: {next(conditions.too_warm())}", int(waited), int(course.cooldown_seconds)
        )
        time.sleep(min(POLL_SECONDS, max(0.1, course.cooldown_seconds - waited)))
        conditions = ask_conditions(target.link)
    report.conditions.append(conditions)
    report.forced = problems = list(conditions.problems())
    if problems and not course.force:
        raise PhoneError(
            Status.CONDITIONS,
            f"the phone is not fit to be measured: {'; '.join(problems)}",
            "charge it, let it cool (`--cooldown SECONDS` waits longer), or use `--force`, which the result will say",
        )
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


def runtimes(target: Target, choice: RuntimeChoice, folder: Path, stack: ExitStack) -> Iterator[Runtime | Found]:
    """Yield what can run there. Raises `PhoneError` where what was asked for cannot."""
    problem: PhoneError | None = None
    if choice != "native" and (target.adb or choice == "termux"):
        try:
            link = enter_termux(target, stack)
            yield Found("termux", f"PyTorch {check_torch(link)}, through {link.name}")
            write_runner(folder / "runner.pyz")
            yield termux(link, folder / "runner.pyz")
        except PhoneError as error:
            if choice != "auto":
                raise
            problem = error
            yield Found("termux", f"{error.message} (so the native program is used)", is_fine=False)
    if choice in ("native", "both") or problem or not target.adb:
        yield native(target.link, target.facts.machine)
        yield Found("native", f"our own program for {target.facts.machine}, through {target.link.name}")

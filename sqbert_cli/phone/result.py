"""What comes back from the phone: one JSON object, behind it a line with its checksum and size.

adb's exit status is not to be trusted: of version 29 it is 0 where the phone vanished.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from math import isfinite
from statistics import median
from typing import Any

from sqbert_cli.bench.cases import PhoneEngineName
from sqbert_cli.phone.course import LIMIT
from sqbert_cli.phone.links import Ran
from sqbert_cli.phone.problems import PhoneError, Status

MARK = "SQBERT-RESULT v1"
MARKED = re.compile(rf"(?s)(.*)\n{MARK} ([0-9a-f]{{64}}) {{1,9}}(?:- {{0,9}})?([0-9]{{1,15}})\s*")
DRIFT = 1.05
FEWEST_FOR_DRIFT = 15
"""Of fewer times the thirds differ by chance."""
FREQUENCY = 0.9
MOST = 10**12
"""Of threads, kilobytes and kilohertz."""


@dataclass(frozen=True)
class Timed:
    """A model as the phone ran it."""

    name: str
    load_ms: float
    first_ms: float
    logits: tuple[tuple[float, ...], ...]
    times_ms: tuple[float, ...]


@dataclass(frozen=True)
class Result:
    runner: str
    engine: str
    path: str
    machine: str
    threads: int
    affinity: tuple[int, ...]
    """The cores it ran on; empty where the phone does not say."""
    models: tuple[Timed, ...]
    watched: tuple[tuple[int | None, ...], ...]
    """Of each round, the frequencies in kHz of the watched cores."""
    peak_kb: int


def read_result(ran: Ran, runtime: PhoneEngineName, remedy: str) -> Result:
    """Check and parse a run's output. Raises `PhoneError` where it is not whole, whatever the status.

    `remedy` is the link's.
    """
    match = MARKED.fullmatch(ran.out)
    if match is None:
        raise _no_mark(ran, runtime, remedy)
    body, digest, size = match[1].encode() + b"\n", match[2], int(match[3])
    if len(body) != size or sha256(body).hexdigest() != digest:
        raise PhoneError(
            Status.BAD_RESULT, f"the result came back damaged: {len(body)} of {size} bytes", "run it again"
        )
    try:
        return parse_result(json.loads(body))
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise PhoneError(Status.BAD_RESULT, f"the result is none of ours: {error!r}") from error


def _no_mark(ran: Ran, runtime: PhoneEngineName, remedy: str) -> PhoneError:
    lines = [line for line in ran.err.splitlines() if line.strip()]
    own = [line for line in lines if line.startswith("sqbert-phone:")]
    said = (own or lines or [""])[-1]
    if "torch cannot be imported" in said:
        return PhoneError(
            Status.NO_TORCH,
            f"Termux has no PyTorch that works: {said.split('imported: ')[-1]}",
            "in Termux: `pkg upgrade && pkg install python-torch`; or measure with `--runtime native`",
        )
    if ran.status in (124, 137):
        return _killed(ran.seconds, runtime)
    if "xec format error" in said or "not executable" in said:
        return PhoneError(Status.WRONG_ARCHITECTURE, f"the device cannot run the native program: {said}")
    if "No space left" in ran.err:
        return PhoneError(Status.NO_SPACE, "the device's storage is full", "make room, or use `--purge`")
    if said:
        return PhoneError(Status.RUNNER_FAILED, f"the run failed on the device: {said}")
    return PhoneError(
        Status.LOST,
        "the result did not come back whole: the way there broke, or something ended the run",
        remedy,
    )


def _killed(seconds: float, runtime: PhoneEngineName) -> PhoneError:
    """By its own limit of time, or by someone else."""
    if seconds > 0.98 * LIMIT:
        return PhoneError(Status.TOO_LONG, "the run took too long and was ended", "fewer `--runs`, or a smaller model")
    if runtime == "termux":
        cause = "its memory was short, or Android ended what it takes for Termux's phantom processes"
        hint = "close other apps and keep Termux in front, with `termux-wake-lock`; or use `--runtime native`"
    else:
        cause, hint = "its memory was short", "close other programs there, or take a smaller model"
    return PhoneError(Status.RUNNER_FAILED, f"the system killed the run after {seconds:.0f} seconds: {cause}", hint)


def parse_result(values: dict[str, Any]) -> Result:
    return Result(
        **{name: str(values[name]) for name in ("runner", "engine", "path", "machine")},
        threads=_whole(values["threads"]),
        affinity=tuple(map(_whole, values["affinity"])),
        models=tuple(map(_timed, values["models"])),
        watched=tuple(tuple(None if one is None else _whole(one) for one in row) for row in values["watched"]),
        peak_kb=_whole(values["peak_kb"]),
    )


def _timed(values: dict[str, Any]) -> Timed:
    timed = Timed(
        name=str(values["name"]),
        load_ms=float(values["load_ms"]),
        first_ms=float(values["first_ms"]),
        logits=tuple(tuple(map(float, row)) for row in values["logits"]),
        times_ms=tuple(map(float, values["times_ms"])),
    )
    if not all(isfinite(time) and time > 0 for time in (timed.load_ms, timed.first_ms, *timed.times_ms)):
        raise ValueError(f"times that are none, of {timed.name}")
    if len({len(row) for row in timed.logits}) > 1:
        raise ValueError(f"logits in rows of several lengths, of {timed.name}")
    return timed


def _whole(value: Any) -> int:
    number = int(value)
    if not 0 <= number <= MOST:
        raise ValueError(f"a number that measures nothing: {value}")
    return number


def drift(times: Sequence[float]) -> float:
    """The last third's median over the first third's."""
    third = max(1, len(times) // 3)
    return median(times[-third:]) / median(times[:third])


def throttling(result: Result, max_khz: int | None, heat: Iterable[str]) -> list[str]:
    """Return what says that the phone did not keep its speed, with how warm it was; nothing: it was steady.

    `max_khz` is that of the cores that were watched; None where the run was not on these.
    """
    signs = [
        f"{timed.name} took {drift(timed.times_ms):.2f} times as long at the end"
        for timed in result.models
        if len(timed.times_ms) >= FEWEST_FOR_DRIFT and drift(timed.times_ms) > DRIFT
    ]
    rounds = [max(known) for row in result.watched if (known := [one for one in row if one is not None])]
    if rounds and max_khz and median(rounds) < FREQUENCY * max_khz:
        signs.append(f"its cores ran at {median(rounds) / 1e6:.2f} of {max_khz / 1e6:.2f} GHz")
    return [*signs, *heat]

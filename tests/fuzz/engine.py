"""Runs one target on many inputs, and keeps what no user should ever see."""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import resource
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqbert_cli.errors import MOST, SqbertError
from tests.fuzz.mutate import ANYWHERE, Mutator

HANG_SECONDS = 60.0
SLOW_SECONDS = 2.0
"""Of the processor; a case that takes longer is a finding."""
LONGEST, LONGEST_KEPT = 1 << 16, 1 << 12
MESSAGE = 2 * MOST + 100
"""Characters of a message with its hint; an error that says more is a finding."""
MASKED = re.compile(r"`[^`]*`|'[^']*'|\"[^\"]*\"|\d+|<[^>]*>")


@dataclass(frozen=True)
class Fuzzed:
    """What is tried: bytes in, anything but a crash out. What it returns tells how far the bytes got."""

    name: str
    attempt: Callable[[bytes], object]
    seeds: Sequence[bytes]
    tokens: Sequence[bytes] = ()
    longest: int = LONGEST


@dataclass
class Tally:
    cases: int = 0
    seconds: float = 0.0
    worst: float = 0.0
    outcomes: set[str] = field(default_factory=set)
    findings: dict[str, Path] = field(default_factory=dict)
    """Each kind of failure, and the file that repeats it."""
    before: float = field(default_factory=lambda: peak_megabytes())

    def __str__(self) -> str:
        rate = self.cases / self.seconds if self.seconds else 0
        return (
            f"{self.cases:,} cases in {self.seconds:,.0f} s ({rate:,.0f}/s), worst case {self.worst * 1e3:,.1f} ms, "
            f"peak {peak_megabytes():,.0f} MiB, {self.before:,.0f} before, {len(self.outcomes)} outcomes, "
            f"{len(self.findings)} findings"
        )


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


class Hang(BaseException):
    """Not an `Exception`: nobody shall catch it but us."""


@dataclass
class Watch:
    """Tries one input after another."""

    target: Fuzzed
    folder: Path
    """Where findings go, and the input being tried: a crash of the whole process leaves it in `current`."""
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.target.name}.current"
        path.write_bytes(bytes(8 + self.target.longest))
        with path.open("r+b") as file:
            self._current = mmap.mmap(file.fileno(), 0)
        signal.signal(signal.SIGALRM, _hang)

    def __call__(self, data: bytes) -> bool:
        """Tell whether this input did something new."""
        data = data[: self.target.longest]
        self._current[: 8 + len(data)] = len(data).to_bytes(8, "little") + data
        signal.setitimer(signal.ITIMER_REAL, HANG_SECONDS)
        began = time.process_time()  # whatever else the machine does
        try:
            outcome = repr(self.target.attempt(data))
        except SqbertError as error:
            outcome = f"{error.message} | {error.hint}"
            if len(outcome) > MESSAGE or not error.message:
                self._find("a message of no use", data)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:
            outcome = self._failure(error, data)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return self._note(outcome, time.process_time() - began, data)

    def _note(self, outcome: str, seconds: float, data: bytes) -> bool:
        self.tally.cases += 1
        if seconds > self.tally.worst:
            self.tally.worst = seconds
            (self.folder / f"{self.target.name}.worst").write_bytes(data)
        if seconds > SLOW_SECONDS:
            self._find(f"slow: {seconds:.1f} s", data)
        outcome = MASKED.sub("#", outcome[:400])[:200]
        if outcome in self.tally.outcomes or len(self.tally.outcomes) > 10_000:
            return False
        self.tally.outcomes.add(outcome)
        return True

    def _failure(self, error: BaseException, data: bytes) -> str:
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if "sqbert_cli" in frame.filename]
        place = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
        what = f"{type(error).__name__} at {place}"
        self._find(what, data, str(error)[:300])
        return what

    def _find(self, what: str, data: bytes, detail: str = "") -> None:
        what = re.sub(r"\d+\.\d+ s", "", what)
        if what in self.tally.findings:
            return
        path = self.folder / f"{self.target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
        path.write_bytes(data)
        path.with_suffix(".txt").write_text(f"{what}\n{detail}\n", errors="backslashreplace")
        self.tally.findings[what] = path


def fuzz(target: Fuzzed, folder: Path, *, cases: int, seconds: float = 1e9, seed: int = 0) -> Tally:
    """Try the seeds, and then what comes of them."""
    watch, began = Watch(target, folder), time.monotonic()
    mutator = Mutator(target.seeds, target.tokens, seed, target.longest)
    for data in target.seeds:
        watch(data)
    while watch.tally.cases < cases and time.monotonic() - began < seconds:
        data = mutator.draw()
        if watch(data) and len(data) <= LONGEST_KEPT:
            mutator.keep(data)
    watch.tally.seconds = time.monotonic() - began
    return watch.tally


def fuzz_guided(
    target: Fuzzed, folder: Path, *, cases: int, seconds: float, seed: int, end: Callable[[Tally], Any]
) -> None:
    """The same with libFuzzer, guided by the lines of the package that are reached (atheris). Does not return."""
    import atheris

    watch, began = Watch(target, folder), time.monotonic()
    corpus = folder / f"{target.name}.corpus"
    corpus.mkdir(exist_ok=True)
    for number, data in enumerate(target.seeds):
        (corpus / f"seed{number}").write_bytes(data)
    words = folder / f"{target.name}.dict"
    words.write_text("".join(f'"{_escaped(token)}"\n' for token in (*ANYWHERE, *target.tokens)))

    def attempt(data: bytes) -> None:
        watch(data)
        watch.tally.seconds = time.monotonic() - began
        if watch.tally.cases >= cases or watch.tally.seconds > seconds:
            end(watch.tally)
            os._exit(bool(watch.tally.findings))

    options = [f"-seed={seed + 1}", f"-max_len={target.longest}", f"-dict={words}", "-rss_limit_mb=0", "-verbosity=0"]
    atheris.Setup(["fuzz", *options, str(corpus)], attempt)
    atheris.Fuzz()


def _escaped(token: bytes) -> str:
    return "".join(rf"\x{byte:02x}" for byte in token)


def _hang(*_: object) -> None:
    raise Hang(f"no end after {HANG_SECONDS:.0f} seconds")

"""Time engines in turn: each round runs every one once, so that a noisy machine hits all alike."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count, groupby

import torch

from sqbert_cli.batch import Batch
from sqbert_cli.bench.cases import Case, Doing, DtypeName, Event, Floor, Measurement, Memory, Shape, Skipped, then
from sqbert_cli.bench.engines import ENGINES
from sqbert_cli.bench.flops import gflop
from sqbert_cli.bench.peers import TORCH_DTYPES, Forward
from sqbert_cli.bench.statistics import MIN_ROUNDS, summarise
from sqbert_cli.bench.subjects import Subject
from sqbert_cli.errors import SqbertError

Clock = Callable[[], float]
WARMUP = 3
REST_SECONDS = 0.003
"""Between two runs: the threads of the library before still wait for work, and would take it from the next."""
TOLERANCES: Mapping[DtypeName, float] = {"float32": 1e-4, "bfloat16": 0.05, "int8": 0.3}
"""How far an output may be from ours in float32, as a share of its size; one of other inputs or weights is near 1."""
MATMUL_SIZE, COPIED_BYTES = 1_024, 64 * 2**20


@dataclass(kw_only=True)
class Timed:
    """What is run again and again, and its times so far."""

    run: Callable[[], object]
    times_ms: list[float] = field(default_factory=list)

    def is_done(self, runs: int, seconds: float) -> bool:
        enough = len(self.times_ms) >= MIN_ROUNDS and sum(self.times_ms) >= 1_000 * seconds
        return enough or len(self.times_ms) >= runs


@dataclass(kw_only=True)
class Contestant(Timed):
    """An engine that is ready."""

    case: Case
    difference: float


@dataclass(kw_only=True)
class Probe(Timed):
    """A single operation, as fast as the machine can do it."""

    amount: float
    """FLOPs or bytes of a run."""

    @property
    def per_second(self) -> float:
        return self.amount / (summarise(self.times_ms).median / 1_000)


def measure(
    cases: Sequence[Case],
    subjects: Mapping[str, Subject],
    *,
    runs: int = 50,
    seconds: float = 3.0,
    clock: Clock = time.perf_counter,
) -> Iterator[Event]:
    """Yield what each case came to: `runs` runs, or fewer (but six) that take `seconds` seconds; warmed up and checked.

    Raises `SqbertError` where an engine computes something else than our network.
    """
    for shape, group in groupby(cases, lambda case: case.shape):
        torch.set_num_threads(shape.threads)
        yield from _measure_shape(shape, list(group), subjects, runs, seconds, clock)


def _measure_shape(
    shape: Shape, cases: Sequence[Case], subjects: Mapping[str, Subject], runs: int, seconds: float, clock: Clock
) -> Iterator[Event]:
    contestants = []
    for number, case in enumerate(cases):
        yield Doing(f"preparing {case.name}", number, len(cases))
        ready = _prepared(case, subjects[case.model])
        if isinstance(ready, Skipped):
            yield ready
        else:
            contestants.append(ready)
    floors = _floors({one.case.dtype for one in contestants})
    racing = _race([*contestants, *floors.values()], shape, runs, seconds, clock)
    yield from then(racing, _results(contestants, floors, shape, subjects))


def _race(entrants: Sequence[Timed], shape: Shape, runs: int, seconds: float, clock: Clock) -> Iterator[Event]:
    for waiting in _turns(entrants, runs, seconds):
        yield Doing(shape.name, len(entrants) - len(waiting), len(entrants))
        for entrant in waiting:
            entrant.times_ms.append(_timed(entrant.run, clock))


def _results(
    contestants: Sequence[Contestant], floors: Mapping[str, Probe], shape: Shape, subjects: Mapping[str, Subject]
) -> Iterator[Event]:
    for one in contestants:
        if one.times_ms:
            subject = subjects[one.case.model]
            work = gflop(subject.network.config, shape.batch_size, shape.length)
            yield Measurement(one.case, tuple(one.times_ms), one.difference, work, subject.weights)
    yield from _floor_rates(shape, {name: probe for name, probe in floors.items() if probe.times_ms})


def _turns(entrants: Sequence[Timed], runs: int, seconds: float) -> Iterator[list[Timed]]:
    """Yield who has not run enough, each time in another order: nobody mostly follows the same neighbour."""
    for turn in count():
        waiting = [entrant for entrant in entrants if not entrant.is_done(runs, seconds)]
        if not waiting:
            return
        yield random.Random(turn).sample(waiting, len(waiting))


def _prepared(case: Case, subject: Subject) -> Contestant | Skipped:
    """Make an engine ready, compare its output with ours in float32, and warm it up."""
    engine = ENGINES[case.engine]  # type: ignore[index]
    if reason := engine.missing(case.dtype):
        return Skipped(case, reason)
    if case.shape.length > subject.network.config.max_position_embeddings:
        return Skipped(case, f"the model has only {subject.network.config.max_position_embeddings} positions")
    try:
        return _ready(case, subject)
    except SqbertError:
        raise
    except Exception as error:  # whatever another library raises where it cannot: no compiler, no memory, no kernel
        told = str(error).strip().partition("\n")[0]
        return Skipped(case, f"{type(error).__name__}: {told[:200]}")


def _ready(case: Case, subject: Subject) -> Contestant:
    batch = random_batch(subject, case.shape)
    forward = ENGINES[case.engine].prepare(subject.network, case.dtype, batch, case.shape.threads)  # type: ignore[index]
    difference = _difference(case, subject, forward)

    @torch.inference_mode()
    def run() -> object:
        return forward(batch)

    for _ in range(WARMUP):
        run()
    return Contestant(run=run, case=case, difference=difference)


def random_batch(subject: Subject, shape: Shape, padding: int = 0) -> Batch:
    """Rows of random ids, the same for all; the last `padding` tokens of each are padding."""
    size = (shape.batch_size, shape.length)
    ids = torch.randint(1, subject.network.config.vocab_size, size, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(size, dtype=torch.long)
    if padding:
        mask[:, -padding:] = 0
    return Batch(ids * mask, mask, torch.zeros(size, dtype=torch.long))


@torch.inference_mode()
def _difference(case: Case, subject: Subject, forward: Forward) -> float:
    """Of the worst row, with a quarter of each padded; it must also be nearer than what ignores the padding."""
    batch = random_batch(subject, case.shape, max(1, case.shape.length // 4))
    ids, mask, types = batch.inputs()
    real = mask[..., None]
    wanted = subject.network.transformer(ids, mask, types) * real
    unmasked = subject.network.transformer(ids, torch.ones_like(mask), types) * real
    given = forward(batch).float() * real
    errors = (given - wanted).flatten(1).norm(dim=1) / wanted.flatten(1).norm(dim=1)
    far = errors.max().item()
    if not far <= TOLERANCES[case.dtype] or (given - unmasked).norm() < (given - wanted).norm():
        raise SqbertError(
            f"{case.name}: its output differs by {far:.2%} of its size from our network in float32",
            hint=f"up to {TOLERANCES[case.dtype]:.2%} may be rounding; more, or without a look at the padding, is "
            "something else, whose time would say nothing: leave it out with `--engines`",
        )
    return far


def _timed(run: Callable[[], object], clock: Clock) -> float:
    time.sleep(REST_SECONDS)
    began = clock()
    run()
    return (clock() - began) * 1_000


def _floors(dtypes: set[DtypeName]) -> dict[str, Probe]:
    source = torch.zeros(COPIED_BYTES // 4)
    target = torch.empty_like(source)
    probes = {"copy": Probe(run=partial(target.copy_, source), amount=2 * COPIED_BYTES)}
    for dtype in sorted(dtypes & set(TORCH_DTYPES)):
        left, right = torch.randn(2, MATMUL_SIZE, MATMUL_SIZE).to(TORCH_DTYPES[dtype])
        probes[dtype] = Probe(run=partial(torch.matmul, left, right), amount=2 * MATMUL_SIZE**3)
    return probes


def _floor_rates(shape: Shape, probes: Mapping[str, Probe]) -> Iterator[Event]:
    for name, probe in probes.items():
        if name == "copy":
            yield Memory(shape.threads, probe.per_second / 1e9)
        else:
            yield Floor(shape, name, probe.per_second / 1e12)  # type: ignore[arg-type]

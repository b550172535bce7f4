"""What is timed: a model in an engine, on rows of some length; and what came of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

from sqbert_cli.errors import SqbertError

DtypeName = Literal["float32", "bfloat16", "int8"]
EngineName = Literal[
    "sqbert", "sqbert-plain", "sqbert-openvino", "transformers", "transformers-compile", "onnxruntime", "openvino"
]

PhoneEngineName = Literal["termux", "native"]


@dataclass(frozen=True)
class Shape:
    """Of the ids, and how many threads share the work."""

    batch_size: int
    length: int
    """Tokens of each row."""
    threads: int

    @property
    def name(self) -> str:
        return f"{self.batch_size} x {self.length} tokens, {self.threads} threads"


@dataclass(frozen=True)
class Case:
    model: str
    engine: EngineName | PhoneEngineName
    dtype: DtypeName
    shape: Shape

    @property
    def name(self) -> str:
        return f"{self.model}, {self.engine}, {self.dtype}"


@dataclass(frozen=True)
class Measurement:
    case: Case
    times_ms: tuple[float, ...]
    """Of each timed run, in the order of the rounds."""
    difference: float
    """Size of the error against our own network in float32, as a share of the output's size."""
    gflop: float
    """Of one run, two for each multiplication with addition."""
    weights: str
    """`random`, or where they come from."""


@dataclass(frozen=True)
class Skipped:
    case: Case
    reason: str


@dataclass(frozen=True)
class Floor:
    """What the machine can do at best, timed between the engines' runs."""

    shape: Shape
    dtype: DtypeName
    tflops: float
    """Of one large product."""


@dataclass(frozen=True)
class Memory:
    """How fast a large tensor is copied."""

    threads: int
    gigabytes_per_second: float
    """Read and written."""


@dataclass(frozen=True)
class Doing:
    """What is going on."""

    doing: str
    done: int
    total: int


Event = Measurement | Skipped | Floor | Memory | Doing
T = TypeVar("T")


def then(work: Iterable[T], results: Iterable[T]) -> Iterator[T]:
    """Yield what comes of `work`, then its `results`: those that there are, where it was stopped."""
    try:
        yield from work
    except (KeyboardInterrupt, SqbertError):
        yield from results
        raise
    yield from results


def with_control(cases: Sequence[Case], engine: EngineName) -> list[Case]:
    """Put before the cases of each model and shape that engine in float32, where they have it not."""
    found: list[Case] = []
    for case in cases:
        control = Case(case.model, engine, "float32", case.shape)
        found += [one for one in (control, case) if one not in found]
    return found


def all_cases(
    models: Sequence[str],
    engines: Sequence[tuple[EngineName, Sequence[DtypeName]]],
    dtypes: Collection[DtypeName],
    shapes: Sequence[Shape],
) -> Iterator[Case]:
    """Every combination that an engine offers."""
    for shape in shapes:
        for model in models:
            for engine, offered in engines:
                for dtype in offered:
                    if dtype in dtypes:
                        yield Case(model, engine, dtype, shape)

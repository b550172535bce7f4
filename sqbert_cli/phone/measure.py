"""The runs on a phone: what they need is sent, they are carried out, and what comes back is compared and judged."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path

from sqbert_cli.bench.cases import Case, Doing, Measurement, Shape
from sqbert_cli.phone.cargo import Cargo, far_from, pack, token_rows, write_rows
from sqbert_cli.phone.course import Course
from sqbert_cli.phone.deploy import Job, has, make_folder, remove, send, sweep
from sqbert_cli.phone.facts import Conditions, ask_conditions
from sqbert_cli.phone.problems import PhoneError, Status
from sqbert_cli.phone.result import Result, read_result, throttling
from sqbert_cli.phone.runtimes import Plan, Runtime, carry_out, place
from sqbert_cli.phone.session import Checks, Event, Found, PhoneReport, PhoneRun, await_conditions, runtimes
from sqbert_cli.phone.target import Target

TOLERANCE = 1e-4


@dataclass(frozen=True)
class Errand:
    """What all runs have in common."""

    target: Target
    course: Course
    report: PhoneReport
    inputs: Path
    cargos: list[Cargo] = field(default_factory=list)


def measure(
    target: Target, models: Sequence[str], course: Course, report: PhoneReport, folder: Path, *, offline: bool
) -> Generator[Event]:
    """Do the whole course, adding to the report; with no runs, all but the measurement."""
    checks, errand = Checks(go_on=not course.runs), Errand(target, course, report, folder / "inputs.txt")
    yield Found("phone", f"{target.facts.name}, {target.facts.system}, {target.facts.machine}, {target.facts.build}")
    with ExitStack() as stack:
        yield from checks.tried("conditions", await_conditions(target, course, report))
        some: list[Runtime] = []
        for one in runtimes(target, course.runtime, folder, stack, checks):
            if isinstance(one, Found):
                yield one
            else:
                some.append(one)
        if some:
            yield from _pack(errand, models, offline)
        for runtime in some:
            yield from checks.tried(runtime.name, _prepare(errand, runtime))
        for runtime, threads in product(some, course.threads if course.runs else ()):
            yield from await_conditions(target, course, report)
            yield from _time(errand, runtime, threads)
    checks.end()


def _pack(errand: Errand, models: Sequence[str], offline: bool) -> Iterator[Event]:
    for done, name in enumerate(models):
        yield Doing(f"packing {name}", done, len(models))
        errand.cargos.append(pack(name, errand.course.length, errand.inputs.parent, offline=offline))
        errand.report.models[name] = errand.cargos[-1].about
    write_rows(errand.inputs, *token_rows(errand.course.length))


@contextmanager
def job_on(runtime: Runtime) -> Iterator[Job]:
    """A name for a folder on the phone, which is taken away whatever happens, with what runs in it."""
    job = Job.new(runtime.link)
    try:
        yield job
    finally:
        with suppress(PhoneError):  # a phone that is gone cleans itself; what it was is told already, or not of weight
            remove(runtime.link, job)


def _prepare(errand: Errand, runtime: Runtime) -> Iterator[Event]:
    """Send the weights, and compare before anything is timed."""
    sweep(runtime.link)
    yield from _send_weights(runtime, errand.cargos)
    for threads in errand.course.threads:
        yield Doing(f"{runtime.name}, {counted(threads)}: comparing", 0, 1)
        result, differences = _carried_out(errand, runtime, threads, runs=0)
        said = f"logits as on this computer (differences up to {max(differences.values()):.1e}); {result.engine}"
        yield Found(f"{runtime.name}, {counted(threads)}", said)


def _send_weights(runtime: Runtime, cargos: Sequence[Cargo]) -> Iterator[Event]:
    job = Job.new(runtime.link)
    make_folder(runtime.link, job.weights)
    for done, cargo in enumerate(cargos):
        path = job.weights_file(cargo.sha256)
        if not has(runtime.link, path, cargo.sha256):
            size = cargo.file.stat().st_size / 1e6
            yield Doing(f"sending {cargo.name}, {size:,.0f} MB, through {runtime.link.name}", done, len(cargos))
            send(runtime.link, cargo.file, path, cargo.sha256)
    yield Found("weights", f"{', '.join(cargo.name for cargo in cargos)}: on the phone, whole")


def _time(errand: Errand, runtime: Runtime, threads: int) -> Iterator[Event]:
    report, before, runs = errand.report, errand.report.conditions[-1], errand.course.runs
    yield Doing(f"{runtime.name}, {counted(threads)}: {runs} runs of each model", 0, 1)
    result, differences = _carried_out(errand, runtime, threads, runs)
    report.measurements += _measurements(runtime, errand, result, differences)
    pinned = is_pinned(result, before.cores_for(threads))
    signs = throttling(result, _highest(before) if pinned else None, before.too_warm())
    run = PhoneRun(result, runs, signs, pinned, differences)
    report.runs.append(run)
    report.conditions.append(ask_conditions(errand.target.link))  # after what is to be kept is kept
    run.signs.extend(sign for sign in report.conditions[-1].too_warm() if sign not in signs)
    yield Found(f"{runtime.name}, {counted(threads)}", f"timed, of each model {run.counted}")


def _carried_out(errand: Errand, runtime: Runtime, threads: int, runs: int) -> tuple[Result, dict[str, float]]:
    """Return what the phone says, and how far its logits are from ours."""
    conditions = errand.report.conditions[-1]
    plan = Plan(
        weights=[cargo.sha256 for cargo in errand.cargos],
        threads=threads,
        warmup=errand.course.warmup,
        runs=runs,
        cpus=conditions.cores_for(threads),
        watched=[f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq" for core in conditions.big_cores],
    )
    with job_on(runtime) as job:
        place(runtime, job, errand.inputs)
        ran = carry_out(runtime, job, plan)
    result = _named(errand.cargos, read_result(ran, runtime.name, runtime.link.remedy))
    return result, compare(errand.cargos, result)


def _named(cargos: Sequence[Cargo], result: Result) -> Result:
    """Call the models as they are called here; there they are files."""
    names = {cargo.file.stem: cargo.name for cargo in cargos}
    return replace(result, models=tuple(replace(one, name=names.get(one.name, one.name)) for one in result.models))


def counted(threads: int) -> str:
    return f"{threads} thread{'s' * (threads != 1)}"


def compare(cargos: Sequence[Cargo], result: Result) -> dict[str, float]:
    """Return how far each model's logits are from the computer's. Raises `PhoneError` for another network."""
    found = {timed.name: timed.logits for timed in result.models}
    differences = {cargo.name: far_from(cargo, found.get(cargo.name, ())) for cargo in cargos}
    for name, far in differences.items():
        if not far <= TOLERANCE:
            raise PhoneError(
                Status.OTHER_LOGITS,
                f"`{name}` says something else on the phone: its logits differ by {far:.2g}, over {TOLERANCE}",
                "its time would say nothing; please tell us of the phone and of Termux's version",
            )
    return differences


def _measurements(
    runtime: Runtime, errand: Errand, result: Result, differences: dict[str, float]
) -> Iterator[Measurement]:
    by_name = {cargo.name: cargo for cargo in errand.cargos}
    for timed in result.models:
        if timed.times_ms:
            case = Case(timed.name, runtime.name, "float32", Shape(1, errand.course.length, result.threads))
            cargo = by_name[timed.name]
            yield Measurement(case, timed.times_ms, differences[timed.name], cargo.gflop, cargo.about["weights"])


def _highest(conditions: Conditions) -> int | None:
    return max((cpu.max_khz for cpu in conditions.cpus if cpu.max_khz), default=None)


def is_pinned(result: Result, cores: Sequence[int]) -> bool:
    return bool(cores) and bool(result.affinity) and set(result.affinity) <= set(cores)

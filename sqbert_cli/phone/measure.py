"""The runs on a phone: what they need is sent, they are carried out, and what comes back is compared and judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from sqbert_cli.bench.cases import Case, Measurement, Progress, Shape
from sqbert_cli.phone.cargo import Cargo, far_from, pack, token_rows, write_rows
from sqbert_cli.phone.course import Course
from sqbert_cli.phone.deploy import Job, has, make_folders, purge, remove, send
from sqbert_cli.phone.facts import Conditions, ask_conditions
from sqbert_cli.phone.problems import PhoneError, Status
from sqbert_cli.phone.result import Result, read_result, throttling
from sqbert_cli.phone.runtimes import Plan, Runtime, carry_out, place
from sqbert_cli.phone.session import Event, Found, PhoneReport, PhoneRun, await_conditions, runtimes
from sqbert_cli.phone.target import Target, enter_termux

TOLERANCE = 1e-4


def measure(
    target: Target, models: Sequence[str], course: Course, report: PhoneReport, folder: Path, *, offline: bool
) -> Iterator[Event]:
    """Do the whole course, adding to the report; with no runs, all but the measurement."""
    yield Found("phone", f"{target.facts.name}, {target.facts.system}, {target.facts.machine}, {target.facts.build}")
    with ExitStack() as stack:
        if course.purge:
            stack.callback(_purge, target)
        yield from await_conditions(target, course, report)
        some: list[Runtime] = []
        for one in runtimes(target, course.runtime, folder, stack):
            if isinstance(one, Found):
                yield one
            else:
                some.append(one)
        cargos = []
        for place_, name in enumerate(models):
            yield Progress(f"packing {name}", place_, len(models))
            cargos.append(pack(name, course.length, folder, offline=offline))
            report.models[name] = cargos[-1].about
        write_rows(folder / "inputs.txt", *token_rows(course.length))
        for runtime in some:
            yield from _send_weights(runtime, cargos)
            for threads in course.threads:
                if report.runs:  # which have warmed it
                    yield from await_conditions(target, course, report)
                yield from _one_run(target, runtime, cargos, threads, course, report, folder / "inputs.txt")


def _purge(target: Target) -> None:
    """Of both places, if they can be entered."""
    purge(target.link)
    with suppress(PhoneError), ExitStack() as stack:
        purge(enter_termux(target, stack))


@contextmanager
def job_on(runtime: Runtime) -> Iterator[Job]:
    """A folder on the phone, which is taken away whatever happens, with what runs in it."""
    job = Job.new(runtime.link)
    try:
        make_folders(runtime.link, job)
        yield job
    finally:
        with suppress(PhoneError):  # a phone that is gone cleans itself; what it was is told already, or not of weight
            remove(runtime.link, job)


def _send_weights(runtime: Runtime, cargos: Sequence[Cargo]) -> Iterator[Event]:
    with job_on(runtime) as job:
        for done, cargo in enumerate(cargos):
            path = job.weights_file(cargo.sha256)
            if not has(runtime.link, path, cargo.sha256):
                size = cargo.file.stat().st_size / 1e6
                yield Progress(f"sending {cargo.name}, {size:,.0f} MB, through {runtime.link.name}", done, len(cargos))
                send(runtime.link, cargo.file, path, cargo.sha256)
    yield Found("weights", f"{', '.join(cargo.name for cargo in cargos)}: on the phone, whole")


def _one_run(
    target: Target, runtime: Runtime, cargos: Sequence[Cargo], threads: int, course: Course, report: PhoneReport,
    inputs: Path,
) -> Iterator[Event]:  # fmt: skip
    before = report.conditions[-1]
    cores = before.big_cores
    plan = Plan(
        weights=[cargo.sha256 for cargo in cargos],
        threads=threads,
        warmup=course.warmup,
        runs=course.runs,
        cpus=cores,
        watched=[f"/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq" for core in cores],
    )
    yield Progress(f"{runtime.name}, {counted(threads)}: {course.runs} runs of each model", 0, 1)
    with job_on(runtime) as job:
        place(runtime, job, inputs)
        result = read_result(carry_out(runtime, job, plan))
    differences = compare(cargos, result)
    report.measurements += _measurements(runtime, cargos, result, course.length, differences)
    signs = throttling(result, _highest(before), before.too_warm())
    report.runs.append(PhoneRun(result, signs, is_pinned(result, cores), differences))
    report.conditions.append(ask_conditions(target.link))  # after what is to be kept is kept
    signs += report.conditions[-1].too_warm()
    said = f"logits as on this computer (differences up to {max(differences.values()):.1e}); {result.engine}"
    yield Found(f"{runtime.name}, {counted(threads)}", said)


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
    runtime: Runtime, cargos: Sequence[Cargo], result: Result, length: int, differences: dict[str, float]
) -> Iterator[Measurement]:
    by_name = {cargo.name: cargo for cargo in cargos}
    for timed in result.models:
        if timed.times_ms:
            case = Case(timed.name, runtime.name, "float32", Shape(1, length, result.threads))
            cargo = by_name[timed.name]
            yield Measurement(case, timed.times_ms, differences[timed.name], cargo.gflop, cargo.about["weights"])


def _highest(conditions: Conditions) -> int | None:
    return max((cpu.max_khz for cpu in conditions.cpus if cpu.max_khz), default=None)


def is_pinned(result: Result, cores: Sequence[int]) -> bool:
    return bool(cores) and bool(result.affinity) and set(result.affinity) <= set(cores)

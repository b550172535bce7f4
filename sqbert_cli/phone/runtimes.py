"""What runs the network on the phone: Termux's PyTorch, or our own program."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from sqbert_cli.bench.cases import PhoneEngineName
from sqbert_cli.files import sha256_of
from sqbert_cli.phone.course import LIMIT
from sqbert_cli.phone.deploy import OWNER, Job, make_folder, send
from sqbert_cli.phone.links import AdbLink, Link, Ran, run_alive
from sqbert_cli.phone.problems import PhoneError, Status
from sqbert_cli.phone.result import MARK

NATIVE = Path(__file__).parent / "native"
PROGRAM = NATIVE / "sqbert-phone-aarch64"
ARCHITECTURE = "aarch64"
SECONDS = 300.0
"""After so many seconds of rounds a run is long enough."""

BUSY = "another run of sqbert is under way on it"
NO_OTHER = (
    f'for p in ../job-*/pid; do [ -f $p ] && kill -0 "$(cat $p)" 2>/dev/null && {{ echo "{BUSY}" >&2; exit 75; }}; done'
)
"""Two runs at once would share the cores, and each would look steady."""


@dataclass(frozen=True)
class Runtime:
    """A program in a job's folder, and how it is begun."""

    name: PhoneEngineName
    link: Link
    file: Path
    command: str
    """Before the options, in the job's folder."""


@dataclass(frozen=True)
class Plan:
    """A run: which weights, on which cores, how often."""

    weights: Sequence[str]
    threads: int
    warmup: int
    runs: int
    cpus: Sequence[int]
    watched: Sequence[str]


def native(link: Link, machine: str) -> Runtime:
    """Our program, for arm64 only. Raises `PhoneError` for another processor."""
    if machine not in (ARCHITECTURE, "arm64"):
        raise PhoneError(
            Status.WRONG_ARCHITECTURE,
            f"the native program is for arm64, and this is {machine or 'something unknown'}",
            "use `--runtime termux`" if isinstance(link, AdbLink) else "run `sqbert bench` on that machine itself",
        )
    if sha256_of(PROGRAM) != json.loads((NATIVE / "build.json").read_text())["sha256"]:
        raise PhoneError(Status.RUNNER_FAILED, f"`{PROGRAM}` is not what was built", "install sqbert anew")
    return Runtime("native", link, PROGRAM, "./sqbert-phone")


def termux(link: Link, runner: Path) -> Runtime:
    return Runtime("termux", link, runner, "python sqbert-phone")


def place(runtime: Runtime, job: Job, inputs: Path) -> None:
    """Send the program and the ids; the weights are there already."""
    make_folder(runtime.link, job.folder)
    send(runtime.link, runtime.file, f"{job.folder}/sqbert-phone", sha256_of(runtime.file))
    send(runtime.link, inputs, f"{job.folder}/inputs.txt", sha256_of(inputs))


def carry_out(runtime: Runtime, job: Job, plan: Plan) -> Ran:
    """Run it. The phone ends it by itself when this process is gone, and then removes the folder, too."""
    return run_alive(runtime.link, script(runtime, job, plan), LIMIT + 60.0)


def script(runtime: Runtime, job: Job, plan: Plan) -> str:
    options = (
        f"--inputs inputs.txt --threads {plan.threads} --warmup {plan.warmup} --runs {plan.runs} --lifeline "
        f"--max-seconds {SECONDS:.0f}"
    )
    for option, values in (("--cpus", plan.cpus), ("--watch", plan.watched)):
        options += f" {option} {','.join(map(str, values))}" if values else ""
    files = " ".join(f"../weights/{sha256}.safetensors" for sha256 in plan.weights)
    own = f"echo $$ > pid; exec {runtime.command} {options} {files}"
    return (  # the death of adb or of adbd would end this shell, which has to clean up
        f"trap '' HUP PIPE; cd {quote(job.folder)} || exit 1; echo $$ > {OWNER}; {NO_OTHER}; "
        f"timeout -s KILL {LIMIT} sh -c {quote(own)} > result.json 2> errors; status=$?; "
        f"if [ $status = 0 ]; then cat result.json; echo {MARK} $(sha256sum < result.json) $(wc -c < result.json); fi; "
        f"cat errors >&2; cd ..; rm -rf {quote(job.folder.rsplit('/', 1)[-1])}; exit $status"
    )

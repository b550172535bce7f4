"""A bulk job from its input to the last shard, as often as it has to be started."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqbert_cli import hub
from sqbert_cli.bulk import cluster, manifest
from sqbert_cli.bulk.bad import FOLDER, count_bad
from sqbert_cli.bulk.inputs import find_inputs
from sqbert_cli.bulk.plan import Request, Shard, named
from sqbert_cli.bulk.stores import InputFile, is_stored, make_folder, names_in, sweep
from sqbert_cli.bulk.worker import Outcome, Work, model_hash
from sqbert_cli.checkpoint import read_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.job import Job, ModelChoice
from sqbert_cli.models import find_model
from sqbert_cli.places import hub_name
from sqbert_cli.records import BadRecord, Record

ABANDONED_SECONDS = 3600
"""A file that nobody has written to for so long is a dead worker's, and not one of another job on the same folder."""


@dataclass(frozen=True)
class State:
    """How far a job is; `kept` of its records were done when it was started."""

    shards: int
    records: int
    shards_done: int = 0
    done: int = 0
    bad: int = 0
    kept: int = 0
    left_out: tuple[str, ...] = ()
    """Files of the folder that do not look like records."""

    def after(self, outcome: Outcome) -> State:
        return replace(
            self,
            shards_done=self.shards_done + 1,
            done=self.done + outcome.records,
            bad=self.bad + outcome.bad,
        )


def run_job(request: Request, job: Job) -> Iterator[State]:
    """Do what is not done yet; yield how far it is, at first and after each shard."""
    cluster.check_installed()
    output = request.output.rstrip("/") if is_stored(request.output) else str(Path(request.output).absolute())
    inputs, left_out = _inputs(request, output)
    work = make_work(request, job, output, inputs)
    described = manifest.describe(work, inputs, request.shard_records)
    shards = manifest.read_shards(output, described)
    make_folder(f"{output}/{FOLDER}")
    for folder in (output, f"{output}/{FOLDER}"):
        sweep(folder, ABANDONED_SECONDS)
    standing = None if shards is None else _standing(output, shards, left_out)
    if standing and not standing[1]:  # no cluster for nothing
        yield standing[0]
        return
    with cluster.cluster(request.address):
        if standing is None:
            planned = manifest.write_manifest(output, described, _planned(request, inputs))
            standing = _standing(output, planned, left_out)
        yield from _run_left(work, *standing, request.workers)


def _planned(request: Request, inputs: Sequence[InputFile]) -> list[Shard]:
    shards = cluster.plan(inputs, request.reading, request.shard_records)
    if not shards:
        raise SqbertError(f"`{request.input}` has no records", hint="its files are blank")
    return named(shards, request.format)


def _run_left(work: Work, progress: State, left: Sequence[Shard], workers: int | None) -> Iterator[State]:
    yield progress
    for outcome in cluster.run_shards(work, left, workers):
        if outcome.error:
            raise SqbertError(outcome.error, hint=outcome.hint or "finished shards are kept; start the job again")
        progress = progress.after(outcome)
        yield progress


def make_work(request: Request, job: Job, output: str, inputs: Sequence[InputFile]) -> Work:
    """What is wrong with the options is said here, before there are workers and a folder of their job."""
    folder = find_model(job.model.name, offline=job.model.offline)
    model = _for_workers(job.model, folder)
    checkpoint = read_checkpoint(folder, model.name)
    list(job.answer(checkpoint, records=[Record("a", request.reading.fields.pair and "a")]))
    columns: tuple[str, ...] = ()
    if request.format != "jsonl":  # the parts of a table are one: all have the columns of the first result
        records = (record for file in inputs for record in request.reading.records(file.name))
        results = (result for record in records for result in job.answer(checkpoint, records=[record]))
        columns = next((tuple(job.to_fields(one)) for one in results if not isinstance(one, BadRecord)), ())
    return Work(replace(job, model=model), request.reading, output, request.format, model_hash(folder), columns)


def _for_workers(model: ModelChoice, folder: Path) -> ModelChoice:
    """The same model from another folder and environment, on one thread: there are as many workers as processors."""
    return replace(
        model,
        name=_pinned(model.name, folder),
        device="cpu" if model.device == "auto" else model.device,
        threads=model.threads or 1,
        offline=model.offline or hub.is_offline(),
    )


def _pinned(name: str | None, folder: Path) -> str | None:
    """A name that means the same to every worker: a branch of the hub may move before they all have asked for it."""
    if name is not None and Path(name) == folder:
        return str(folder.absolute())
    if name is not None and (pulled := hub_name(name)) and folder.parent == pulled.folder:
        return f"{pulled.repo_id}@{folder.name}"
    return name


def _inputs(request: Request, output: str) -> tuple[list[InputFile], tuple[str, ...]]:
    """A pattern may match what an earlier start has written; a folder with its output in it would grow."""
    found, other = find_inputs(request.input, any_ending=request.reading.format != "auto")
    inputs = [file for file in found if not _is_below(file.name, output)]
    if not inputs or _is_below(output, request.input):
        raise SqbertError(f"the output `{request.output}` lies in the input", hint="choose a folder outside of it")
    return inputs, tuple(other)


def _is_below(name: str, folder: str) -> bool:
    if is_stored(folder) or is_stored(name):
        return name.startswith(folder.rstrip("/") + "/")
    return Path(name).resolve().is_relative_to(Path(folder).resolve())


def _standing(output: str, shards: Sequence[Shard], left_out: tuple[str, ...]) -> tuple[State, list[Shard]]:
    """How far a job is, and the shards that are left to do."""
    there = names_in(output)
    done = [shard for shard in shards if shard.name in there]
    left = [shard for shard in shards if shard.name not in there]
    kept, all_of_them = (sum(shard.records for shard in some) for some in (done, shards))
    return State(len(shards), all_of_them, len(done), kept, count_bad(output, done), kept, left_out), left

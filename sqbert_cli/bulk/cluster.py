"""Ray: started here or joined, one actor with a warm model for each worker, shards given to whoever is free."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict
from typing import Any

from sqbert_cli.bulk.plan import Reading, Shard, cut
from sqbert_cli.bulk.stores import InputFile
from sqbert_cli.bulk.worker import Outcome, Work, Worker
from sqbert_cli.errors import SqbertError

LOCAL = "local"
ATTEMPTS = 3
"""Passes in a row that finish no shard before the job is given up."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_BACKEND_LOG_LEVEL": "fatal", "RAY_DEDUP_LOGS": "1"}
CONNECT_SECONDS = 5
MACHINES = "is sqbert on every machine? is memory short (fewer --workers)?"
SMALL = 1 << 26
"""Bytes that are planned here: to start processes elsewhere would take longer."""


def check_installed() -> None:
    if importlib.util.find_spec("ray") is None or importlib.util.find_spec("pyarrow") is None:
        raise SqbertError("Ray Data is not installed", hint="pip install 'sqbert[ray]'")


@contextmanager
def cluster(address: str) -> Iterator[None]:
    """Be in a cluster: one of this machine, that ends with the block, or a running one, that is left."""
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    _check_address(address)
    # What Ray prints goes to stdout, which is for results; what matters of it is said by us.
    with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), warnings.catch_warnings():
        import ray
        import ray.data

        warnings.simplefilter("ignore")
        for name in ("ray", "ray.data"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            dashboard = False if address == LOCAL else None
            with _without_stderr():
                ray.init(address, include_dashboard=dashboard, log_to_driver=False, logging_level=logging.CRITICAL)
        except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
            raise _unreachable(address, " ".join(str(error).split())) from error
        try:
            ray.data.DataContext.get_current().enable_progress_bars = False
            yield
        finally:
            ray.shutdown()


@contextmanager
def _without_stderr() -> Iterator[None]:
    """For a line of Ray's core, which does not go by Python's stderr: that its log level was set."""
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def plan(files: Sequence[InputFile], reading: Reading, size: int) -> list[Shard]:
    """Cut every file into shards: where the workers are, if there is more to read than a moment's work."""
    if sum(file.size for file in files) <= SMALL:
        return [shard for file in files for shard in cut(file.name, reading, size)]
    import ray

    cut_one = ray.remote(_cut)
    try:
        found = ray.get([cut_one.remote(file.name, reading, size) for file in files])
    except ray.exceptions.RayError as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, (SqbertError, OSError)):
            raise cause from None
        reason = str(error).strip().splitlines()[-1]
        raise SqbertError(f"the files could not be cut into shards: {reason}", hint=MACHINES) from error
    return [shard for some in found for shard in some]


def run_shards(work: Work, shards: Sequence[Shard], workers: int | None) -> Iterator[Outcome]:
    """Yield the outcome of every shard, as they end. A shard whose worker died is given to another."""
    import ray

    workers = _workers(work, workers)
    left, fruitless, reason = list(shards), 0, ""
    while left and fruitless < ATTEMPTS:
        done = set()
        try:
            for outcome in _one_pass(work, left, workers):
                done.add(outcome.name)
                yield outcome
        except ray.exceptions.RayError as error:  # more deaths than workers: the next pass begins with new ones
            reason = f": {str(error).strip().splitlines()[-1]}"
        left = [shard for shard in left if shard.name not in done]
        fruitless = 0 if done else fruitless + 1
    if left:
        raise SqbertError(
            f"workers died {ATTEMPTS} times and finished nothing, last at `{left[0].name}` of `{left[0].file}`{reason}",
            hint=f"{MACHINES} finished shards are kept",
        )


def _one_pass(work: Work, shards: Sequence[Shard], workers: int) -> Iterator[Outcome]:
    import ray

    # A dead actor comes back, where its node does; its shard is lost to this pass rather than bound to it.
    ray.data.DataContext.get_current().max_errored_blocks = workers
    rows = ray.data.from_items([asdict(shard) for shard in shards], override_num_blocks=len(shards))
    actor: Any = Worker
    size = min(workers, len(shards))
    outcomes = rows.map(
        actor,
        fn_constructor_args=(work,),
        compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1),
        num_cpus=_threads(work),
        num_gpus=_gpus(work),
        max_restarts=-1,
        max_task_retries=0,
    )
    yield from (Outcome(**row) for row in outcomes.iter_rows())


def _workers(work: Work, wanted: int | None) -> int:
    """One for each processor (on GPUs: one for each), unless so many are wanted."""
    import ray

    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    room = sum(int(_room(node, work)) for node in nodes)
    if room == 0 or (wanted or 0) > room:
        each = f"{_threads(work)} CPU{' and a GPU' if _gpus(work) else ''}"
        raise SqbertError(
            f"the cluster has room for {room} workers of {each} each, not for {wanted or 1}",
            hint="fewer --workers, fewer --threads, or `--device cpu`",
        )
    return wanted or room


def _room(node: dict[str, float], work: Work) -> float:
    processors = node.get("CPU", 0) // _threads(work)
    return min(processors, node.get("GPU", 0)) if _gpus(work) else processors


def _threads(work: Work) -> int:
    return work.job.model.threads or 1


def _gpus(work: Work) -> int:
    return int(work.job.model.device == "cuda")


def _cut(file: str, reading: Reading, size: int) -> list[Shard]:
    return list(cut(file, reading, size))


def _check_address(address: str) -> None:
    """Find out in seconds that nobody is there, where Ray would take a minute."""
    if address.startswith("ray://"):
        raise SqbertError(
            f"`{address}`: Ray Data does not work through Ray Client",
            hint="run the command on a machine of the cluster, with `--ray auto`; `ray job submit` does that",
        )
    host, _, port = address.rpartition(":")
    if address in (LOCAL, "auto"):
        return
    if not host or not port.isdecimal():
        raise SqbertError(f"no address of a Ray cluster: `{address}`", hint="expected `local`, `auto` or `HOST:PORT`")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str, reason: str) -> SqbertError:
    hint = "start one with `ray start --head`, or use `--ray local`" if address != LOCAL else None
    return SqbertError(f"no Ray cluster at `{address}`: {reason}", hint=hint)

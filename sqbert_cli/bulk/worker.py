"""What a worker does: a model that stays loaded, and for each shard its files, whole or not at all."""

from __future__ import annotations

import os
import platform
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any

from sqbert_cli import __version__
from sqbert_cli.bulk.bad import bad_file, write_bad
from sqbert_cli.bulk.plan import Reading, Shard
from sqbert_cli.bulk.stores import whole
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import digest_of
from sqbert_cli.job import Job
from sqbert_cli.models import find_model
from sqbert_cli.records import BadRecord
from sqbert_cli.text.writers import OutputFormat, result_writer

SAME_MODEL = "give all machines the same folder under the same path, or name a shipped model or one of the hub"
MODEL_FILES = (
    "config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin",
)  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What all shards have in common."""

    job: Job
    reading: Reading
    output: str
    format: OutputFormat
    model_hash: str
    columns: tuple[str, ...] = ()
    """Of every table that is written; none for JSONL."""
    version: str = __version__


@dataclass(frozen=True)
class Outcome:
    """How a shard ended: its records, or what is wrong that no other shard would mend."""

    name: str
    records: int = 0
    bad: int = 0
    error: str = ""
    hint: str = ""


class Worker:
    """An actor of Ray's. Errors are values here: raised, they would come out as those of Ray, and twice."""

    def __init__(self, work: Work) -> None:
        self.work = work
        os.environ["RAYON_NUM_THREADS"] = str(work.job.model.threads or 1)  # the tokenizer's, before its first use

    def __call__(self, row: Mapping[str, Any]) -> dict[str, Any]:
        shard = Shard(**row)
        try:
            return asdict(do_shard(self.work, self.checkpoint, shard))
        except SqbertError as error:
            return asdict(Outcome(shard.name, error=error.message, hint=error.hint or ""))
        except OSError as error:  # a full disk, a folder that is not ours
            reason = error.strerror or str(error)
            return asdict(Outcome(shard.name, error=f"{reason}: `{error.filename or self.work.output}`"))
        except Exception:  # a bug: told once by the driver, not tried again
            return asdict(Outcome(shard.name, error=traceback.format_exc()))

    @cached_property
    def checkpoint(self) -> Checkpoint:
        """The model, if it is the one that was meant."""
        choice, host = self.work.job.model, platform.node()
        if self.work.version != __version__:
            raise SqbertError(f"`{host}` has sqbert {__version__}, the job is of {self.work.version}")
        try:
            here = model_hash(find_model(choice.name, offline=choice.offline))
        except SqbertError as error:
            raise SqbertError(f"on `{host}`: {error.message}", hint=SAME_MODEL) from error
        if here != self.work.model_hash:
            raise SqbertError(f"on `{host}` the model is another", hint=SAME_MODEL)
        return choice.load()


def model_hash(folder: Path) -> str:
    """SHA-256 of what answers depend on."""
    digest = sha256()
    for name in MODEL_FILES:
        if (file := folder / name).is_file():
            digest.update(name.encode())
            digest_of(file, digest)
    return digest.hexdigest()


def do_shard(work: Work, checkpoint: Checkpoint, shard: Shard) -> Outcome:
    """Write a shard's results and its bad records. Where the results are, the bad records are too."""
    records = islice(work.reading.records(shard.file, shard.start), shard.records)
    bad: list[BadRecord] = []
    with whole(f"{work.output}/{shard.name}") as file:
        write = result_writer(work.format, file, work.job.to_fields, work.columns)
        good = write_good(work.job.answer(checkpoint, records=records), write, bad)
        if good + len(bad) != shard.records:
            raise SqbertError(f"`{shard.file}` has changed since it was planned", hint="begin anew in another --output")
        if bad:
            write_bad(bad_file(work.output, shard), shard, bad)
    return Outcome(shard.name, shard.records, len(bad))


def write_good(results: Iterable[Any], write: Callable[[Any], None], bad: list[BadRecord]) -> int:
    """Write what can be written, and gather what cannot. Returns how many were written."""
    good = 0
    for result in results:
        if isinstance(result, BadRecord):
            bad.append(result)
            continue
        try:
            write(result)
            good += 1
        except SqbertError as error:  # a number that JSON cannot hold, a field that the table has no column for
            source = result.record.source
            bad.append(BadRecord(source, error.message.removeprefix(f"{source}: ")))
    return good

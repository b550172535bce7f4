"""`manifest.json` of an output folder: which job its shards are of, so that only the same one goes on there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import Any

from sqbert_cli.bulk.plan import Shard, named
from sqbert_cli.bulk.stores import InputFile, names_in, read_bytes, whole
from sqbert_cli.bulk.worker import Work
from sqbert_cli.errors import SqbertError
from sqbert_cli.text.fields import first_of

NAME = "manifest.json"
ANOTHER = "name another --output, or remove this one"
SHOWN = 4


def describe(work: Work, inputs: Sequence[InputFile], shard_records: int) -> dict[str, Any]:
    """Return all that the results depend on, as JSON has it."""
    model, answer = work.job.model, work.job.answer
    values = {
        "sqbert": work.version,
        "model": work.model_hash,
        "device": model.device,
        "dtype": model.dtype,
        "answer": _named(answer),
        "fields": _named(work.job.to_fields),
        "reading": {"format": work.reading.format, **asdict(work.reading.fields)},
        "format": work.format,
        "shard_records": shard_records,
        "inputs": {file.name: [file.size, file.modified] for file in inputs},
    }
    return json.loads(json.dumps(values))


def read_shards(output: str, job: Mapping[str, Any]) -> list[Shard] | None:
    """Return the shards of an output folder; None for a folder that is new. Raises `SqbertError` for another job's."""
    there = {name for name in names_in(output) if not name.startswith(".")}
    if not there:
        return None
    if NAME not in there:
        raise SqbertError(f"`{output}` is not empty, and has no `{NAME}` of a job to go on with", hint=ANOTHER)
    try:
        values = json.loads(read_bytes(f"{output}/{NAME}"))
        shards = _checked([Shard(**shard) for shard in values["shards"]], values["job"])
        differing = list(differences(values["job"], job))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise SqbertError(f"`{output}/{NAME}` cannot be read: {error}", hint=ANOTHER) from error
    if differing:
        told = first_of(differing, SHOWN, "; ", "; and ")
        raise SqbertError(f"`{output}` is of another job: {told}", hint=ANOTHER)
    return shards


def _checked(shards: list[Shard], job: Mapping[str, Any]) -> list[Shard]:
    """Names are those that were given: another could lead out of the folder."""
    for shard in shards:
        numbers = (shard.lines, shard.bytes, shard.records)
        if shard.file not in job["inputs"] or not all(type(number) is int and number >= 0 for number in numbers):
            raise ValueError(f"`{_short(shard.name)}` is no shard of this job")
    if shards != named(shards, job["format"]):
        raise ValueError("its shards have other names than they were given")
    return shards


def write_manifest(output: str, job: Mapping[str, Any], shards: Sequence[Shard]) -> list[Shard]:
    """Write it, unless one has come since. Returns the shards of the one that is there, as `read_shards` does."""
    values = {"job": job, "shards": [asdict(shard) for shard in shards]}
    with suppress(FileExistsError), whole(f"{output}/{NAME}", is_new=True) as file:
        file.write((json.dumps(values, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
    return read_shards(output, job) or []


def differences(there: Mapping[str, Any], now: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """Say what differs, each by its name."""
    for name in dict.fromkeys([*there, *now]):
        old, new = there.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{above}{name} ")
        elif above == "inputs " and old != new:
            yield f"input `{name}` {'is new' if old is None else 'is gone' if new is None else 'has changed'}"
        elif old != new:
            yield f"{above}{name} was {_short(old)}, now {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:12]}...{text[-4:]}"


def _named(function: Any) -> dict[str, Any]:
    if isinstance(function, partial):
        return {"function": function.func.__name__, **function.keywords}
    return {"function": function.__name__}

"""Records that could not be used: kept beside the results, with where they come from and as they stand there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqbert_cli.bulk.plan import Shard
from sqbert_cli.bulk.stores import location, names_in, read_bytes, whole
from sqbert_cli.records import BadRecord
from sqbert_cli.text.readers import numbered_lines
from sqbert_cli.text.writers import make_writer

FOLDER = "bad"


def bad_file(output: str, shard: Shard) -> str:
    stem, *_ = shard.name.split(".")
    return f"{output}/{FOLDER}/{stem}.jsonl"


def write_bad(name: str, shard: Shard, bad: Sequence[BadRecord]) -> None:
    """Write `file`, `line`, `reason` and `raw`: the line as it is, or null where the file has no lines of records.

    Bytes that are not UTF-8 are halves of surrogate pairs in it, as Python's `surrogateescape` makes them.
    """
    lines = dict(_lines(shard, {number for one in bad if (number := line_of(one, shard.file))}))
    with whole(name) as file:
        write = make_writer("jsonl", file)
        for one in bad:
            number, place = line_of(one, shard.file), one.source.removeprefix(shard.file).lstrip(": ")
            reason = one.reason if number or not place else f"{place}: {one.reason}"
            write({"file": shard.file, "line": number, "reason": reason, "raw": lines.get(number or 0)})


def count_bad(output: str, shards: Sequence[Shard]) -> int:
    """How many records of finished shards could not be used."""
    there = {f"{output}/{FOLDER}/{name}" for name in names_in(f"{output}/{FOLDER}")}
    return sum(read_bytes(name).count(b"\n") for shard in shards if (name := bad_file(output, shard)) in there)


def line_of(one: BadRecord, file: str) -> int | None:
    place = one.source.removeprefix(f"{file}:")
    return int(place) if place.isdecimal() else None


def _lines(shard: Shard, wanted: set[int]) -> Iterator[tuple[int, str]]:
    """Read once more: a shard has few bad records, and no other has to be kept for their sake."""
    if not wanted:
        return
    last = max(wanted)
    for number, line in numbered_lines(location(shard.file), start=shard.start):
        if number in wanted:
            yield number, line.rstrip("\r\n")
        if number == last:
            return

"""From files to shards: a file, or so many records of a large one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from sqbert_cli.bulk.stores import location
from sqbert_cli.errors import SqbertError
from sqbert_cli.records import BadRecord, Record
from sqbert_cli.text.fields import DEFAULT_FIELDS, Fields
from sqbert_cli.text.files import DAMAGE, START, Mark, NoText
from sqbert_cli.text.readers import Format, read_records
from sqbert_cli.text.writers import OutputFormat


@dataclass(frozen=True)
class Reading:
    """How every file is read."""

    format: Format = "auto"
    fields: Fields = DEFAULT_FIELDS

    def records(
        self, file: str, start: Mark = START, on_bytes: Callable[[int], None] | None = None
    ) -> Iterator[Record | BadRecord]:
        """Yield what `read_records` does; a damaged file ends with a bad record that says so, one of no text is one."""
        try:
            yield from read_records(location(file), self.format, self.fields, on_bytes, start)
        except SqbertError as error:
            if not (isinstance(error, NoText) or isinstance(error.__cause__, DAMAGE)):
                raise
            yield BadRecord(file, error.message)


@dataclass(frozen=True)
class Request:
    """What is to be read, where to, and by whom."""

    input: str
    output: str
    reading: Reading
    format: OutputFormat
    address: str
    workers: int | None
    shard_records: int


@dataclass(frozen=True)
class Shard:
    """Records of one file that follow one another, and the name of the file that their results go to."""

    name: str
    file: str
    lines: int
    bytes: int
    """How much of the file is before it; in bytes only where the file is not compressed."""
    records: int
    """The bad ones too."""

    @property
    def start(self) -> Mark:
        return Mark(self.lines, self.bytes)


def cut(file: str, reading: Reading, size: int) -> Iterator[Shard]:
    """Yield shards of `size` records, without names. A SQuAD file, which is one JSON value, stays whole."""
    place = start = START
    count = 0

    def heard(position: int) -> None:
        nonlocal place
        place = Mark(place.lines + 1, position)

    # The reader that the workers use: where it has given a record, it has read no line of the next.
    for _ in reading.records(file, on_bytes=heard):
        count += 1
        if count == size and place != START:  # of a SQuAD file no line is heard
            yield Shard("", file, start.lines, start.bytes, count)
            start, count = place, 0
    if count:
        yield Shard("", file, start.lines, start.bytes, count)


def named(shards: Iterable[Shard], ending: str) -> list[Shard]:
    """Name them so that they are in order when their names are."""
    some = list(shards)
    width = max(5, len(str(len(some))))
    return [
        replace(shard, name=f"part-{number:0{width}}-of-{len(some):0{width}}.{ending}")
        for number, shard in enumerate(some)
    ]

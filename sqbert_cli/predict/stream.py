"""What every kind of prediction does with a stream of records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import TypeAlias, TypeVar

from sqbert_cli.records import BadRecord, Record
from sqbert_cli.text.chunks import chunks, live_chunks
from sqbert_cli.text.fields import fault_of_record

Records: TypeAlias = Iterable[Record | BadRecord | str]
Result = TypeVar("Result")


def in_order(
    records: Records, answer: Callable[[Sequence[Record]], Iterator[Result]], live: bool
) -> Iterator[Result | BadRecord]:
    """Yield the answer to each record, in order; what could not be read passes through.

    `answer` gives one result for each record of a chunk. `live` gives results for what has arrived without waiting.
    """
    if isinstance(records, str):
        raise TypeError("records is one string; put it into a list")
    for chunk in (live_chunks if live else chunks)(map(_record, records, count(1))):
        answers = answer([record for record in chunk if isinstance(record, Record)])
        for record in chunk:
            yield next(answers) if isinstance(record, Record) else record


def _record(item: Record | BadRecord | str, number: int) -> Record | BadRecord:
    if isinstance(item, str):
        item = Record(item, fields={"text": item})
    if isinstance(item, BadRecord):
        return item
    if not isinstance(item, Record):
        kind = type(item).__name__
        raise TypeError(f"record {number}: records are texts, or of the class `Record`, not {kind}: {item!r}")
    fault = fault_of_record(item)
    return BadRecord(item.source or f"record {number}", fault) if fault else item

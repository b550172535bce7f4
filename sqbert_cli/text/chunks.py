"""A stream in pieces: large enough to sort by length, small enough for constant memory and early results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Thread
from typing import TypeVar

from sqbert_cli.records import BadRecord, Record

FIRST_CHUNK = 16
MAX_RECORDS = 1_024
MAX_CHARACTERS = 1_000_000

Item = TypeVar("Item", bound=Record | BadRecord)


def chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield lists that grow from `FIRST_CHUNK` to `MAX_RECORDS` records, but stop at `MAX_CHARACTERS`."""
    chunk: list[Item] = []
    limit, characters = FIRST_CHUNK, 0
    for item in items:
        chunk.append(item)
        characters += _characters(item)
        if len(chunk) == limit or characters >= MAX_CHARACTERS:
            yield chunk
            chunk, characters, limit = [], 0, min(2 * limit, MAX_RECORDS)
    if chunk:
        yield chunk


def live_chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield what has arrived by now, waiting only for the first item: nobody waits on a slow pipe for a full chunk."""
    arrived: Queue[Item | End] = Queue(MAX_RECORDS)
    Thread(target=_put_all, args=(items, arrived), daemon=True).start()
    end: End | None = None
    while end is None:
        chunk: list[Item] = []
        characters = 0
        while end is None and len(chunk) < MAX_RECORDS and characters < MAX_CHARACTERS:
            try:
                item = arrived.get(block=not chunk)
            except Empty:
                break
            if isinstance(item, End):
                end = item
            else:
                chunk.append(item)
                characters += _characters(item)
        if chunk:
            yield chunk
    if end.error is not None:
        raise end.error


@dataclass(frozen=True)
class End:
    """The stream is over, or broke."""

    error: BaseException | None = None


def _put_all(items: Iterable[Item], arrived: Queue[Item | End]) -> None:
    try:
        for item in items:
            arrived.put(item)
    except BaseException as error:
        arrived.put(End(error))
    else:
        arrived.put(End())


def _characters(item: Record | BadRecord) -> int:
    return len(item.text) + len(item.pair or "") if isinstance(item, Record) else 0

"""A stream in pieces: large enough to sort by length, small enough for constant memory and early results."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Condition, Thread
from typing import Any, Generic, TypeVar

from sqbert_cli.errors import SqbertError
from sqbert_cli.records import BadRecord, Record

FIRST_CHUNK = 16
MAX_RECORDS = 1_024
MAX_CHARACTERS = 1_000_000

Item = TypeVar("Item", bound=Record | BadRecord)


def chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield lists that grow from `FIRST_CHUNK` to `MAX_RECORDS` records, but end at `MAX_CHARACTERS`.

    Where reading breaks off, what was read before comes first.
    """
    chunk: list[Item] = []
    limit, characters, broken = FIRST_CHUNK, 0, None
    try:
        for item in items:
            chunk.append(item)
            characters += _characters(item)
            if len(chunk) == limit or characters >= MAX_CHARACTERS:
                yield chunk
                chunk, characters, limit = [], 0, min(2 * limit, MAX_RECORDS)
    except SqbertError as error:
        broken = error
    if chunk:
        yield chunk
    if broken:
        raise broken


def live_chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    """Yield what has arrived by now, waiting only for the first item: nobody waits on a slow pipe for a full chunk."""
    arrivals: Arrivals[Item] = Arrivals()
    Thread(target=arrivals.read, args=(items,), daemon=True).start()
    while chunk := arrivals.take():
        yield chunk


class Arrivals(Generic[Item]):
    """What a reading thread has brought and nobody has taken yet, bounded as a chunk is."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._items: list[Item] = []
        self._characters = 0
        self._ended = False
        self._error: BaseException | None = None

    def read(self, items: Iterable[Item]) -> None:
        """Bring every item, waiting while there is no room."""
        try:
            for item in items:
                with self._changed:
                    self._changed.wait_for(self._has_room)
                    self._items.append(item)
                    self._characters += _characters(item)
                    self._changed.notify()
        except BaseException as error:
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify()

    def take(self) -> list[Item]:
        """Take all there is, waiting for at least one; nothing at the end. Raises what the reading raised."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._ended)
            taken, self._items, self._characters = self._items, [], 0
            self._changed.notify()
        if not taken and self._error is not None:
            raise self._error
        return taken

    def _has_room(self) -> bool:
        return len(self._items) < MAX_RECORDS and self._characters < MAX_CHARACTERS


def _characters(item: Record | BadRecord) -> int:
    """About how much memory a record takes: all its fields travel with it."""
    if isinstance(item, BadRecord):
        return len(item.reason)
    return len(item.text) + len(item.pair or "") + sum(map(_size, item.fields.values()))


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str) else len(repr(value))

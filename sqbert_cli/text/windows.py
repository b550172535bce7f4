"""Overlapping windows onto a text of any length, one owner for every piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from sqbert_cli.errors import SqbertError
from sqbert_cli.text.pieces import Pieces
from sqbert_cli.text.tokenizer import Window


@dataclass(frozen=True, slots=True)
class Stretch:
    """A window onto a part of a text."""

    window: Window
    """The row for the network: the pieces, with the special tokens and the question around them."""
    first: int
    """Place of the first piece in the row."""
    pieces: Pieces
    owned: range
    """The pieces that this window answers for: each piece of a text is owned once, where it has most around it."""
    is_first: bool = True
    is_last: bool = True
    """Whether the text begins and ends here; else the window's edge may be within a word."""


def stretches(
    sections: Iterable[Pieces], frame: Callable[[list[int]], Window], first: int, room: int, stride: int
) -> Iterator[Stretch]:
    """Cover a text with windows of `room` pieces, of which neighbours share `stride`; hold only one in memory.

    At the middle of what two share, ownership goes from one to the other. `frame` makes a row of a window's pieces.
    """
    held, owned_from, is_first = Pieces([], [], []), 0, True
    for section in sections:
        held, at = held + section, 0
        while len(held) - at > room:  # more than a window, so that it is not the last
            pieces = held[at : at + room]
            owned = range(owned_from, room - stride + stride // 2)
            yield Stretch(frame(pieces.ids), first, pieces, owned, is_first, is_last=False)
            at, owned_from, is_first = at + room - stride, stride // 2, False
        held = held[at:]
    yield Stretch(frame(held.ids), first, held, range(owned_from, len(held)), is_first)


def window_stride(stride: int | None, room: int) -> int:
    """What neighbouring windows share; raise `SqbertError` where nothing new would be left."""
    if stride is not None and not 0 <= stride < room:
        raise SqbertError(
            f"a window holds {room} tokens of the text, --stride is {stride}", hint=f"use 0 to {room - 1}"
        )
    return room // 4 if stride is None else stride

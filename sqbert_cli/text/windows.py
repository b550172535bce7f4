"""Overlapping windows onto a text of any length, one owner for every piece."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

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


def stretches(
    sections: Iterable[Pieces], frame: Callable[[list[int]], Window], first: int, room: int, stride: int
) -> Iterator[Stretch]:
    """Cover a text with windows of `room` pieces, of which neighbours share `stride`; hold only one in memory.

    At the middle of what two share, ownership goes from one to the other. `frame` makes a row of a window's pieces.
    """
    held, owned_from = Pieces([], [], []), 0

    def stretch(pieces: Pieces, owned_to: int) -> Stretch:
        return Stretch(frame(pieces.ids), first, pieces, range(owned_from, owned_to))

    for section in sections:
        held, at = held + section, 0
        while len(held) - at > room:  # more than a window, so that it is not the last
            yield stretch(held[at : at + room], room - stride + stride // 2)
            at, owned_from = at + room - stride, stride // 2
        held = held[at:]
    yield stretch(held, len(held))

"""New inputs from old ones: a byte here, a word of the format there, parts left out, doubled, or of another input."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

ANYWHERE = (
    b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n", b"\n", b"\r", b"\t", b" ", b'"', b"'", b"\\", b"-1", b"0", b"1e999",
    b"NaN", b"9" * 400, b"18446744073709551616", b"null", b"true", b"[", b"]", b"{", b"}", b",", b":", b"\\ud800",
    b"\xed\xa0\x80", b"\xe2\x80\xa8", b"\xf0\x9f\x91\xa9", b"%s", b"\x1b[31m",
)  # fmt: skip
LONGEST_RUN = 10_000
KEPT = 2_000
"""More inputs that did something new are not remembered."""


class Mutator:
    """Draws inputs; what did something new becomes a start for others."""

    def __init__(self, seeds: Sequence[bytes], tokens: Sequence[bytes], seed: int, longest: int) -> None:
        self.random = random.Random(seed)
        self.corpus = list(seeds)
        self.tokens = [*ANYWHERE, *tokens]
        self.longest = longest
        self.ways: list[Callable[[bytearray], None]] = [
            self._flip, self._set, self._insert, self._insert, self._overwrite, self._cut, self._double, self._mix,
            self._run, self._count,
        ]  # fmt: skip

    def draw(self) -> bytes:
        data = bytearray(self.random.choice(self.corpus))
        while True:
            self.random.choice(self.ways)(data)
            if self.random.random() < 0.4:
                return bytes(data[: self.longest])

    def keep(self, data: bytes) -> None:
        if len(self.corpus) < KEPT:
            self.corpus.append(data)

    def _place(self, data: bytearray) -> int:
        return self.random.randrange(len(data) + 1)

    def _range(self, data: bytearray) -> tuple[int, int]:
        start = self._place(data)
        return start, min(len(data), start + self.random.choice((1, 2, 4, 8, 16, 64, 256, 4096)))

    def _flip(self, data: bytearray) -> None:
        if data:
            data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)

    def _set(self, data: bytearray) -> None:
        if data:
            data[self.random.randrange(len(data))] = self.random.randrange(256)

    def _insert(self, data: bytearray) -> None:
        place = self._place(data)
        data[place:place] = self.random.choice(self.tokens)

    def _overwrite(self, data: bytearray) -> None:
        place, token = self._place(data), self.random.choice(self.tokens)
        data[place : place + len(token)] = token

    def _cut(self, data: bytearray) -> None:
        start, end = self._range(data)
        del data[start:end]

    def _double(self, data: bytearray) -> None:
        start, end = self._range(data)
        place = self._place(data)
        data[place:place] = data[start:end]

    def _mix(self, data: bytearray) -> None:
        other = bytearray(self.random.choice(self.corpus))
        start, end = self._range(other)
        place = self._place(data)
        data[place:place] = other[start:end]

    def _run(self, data: bytearray) -> None:
        """Many of the same, seldom: what takes quadratic time shows."""
        if self.random.random() < 0.05:
            token = self.random.choice(self.tokens)
            place = self._place(data)
            data[place:place] = token * (self.random.randrange(LONGEST_RUN) // len(token))

    def _count(self, data: bytearray) -> None:
        """Another number in the place of one."""
        places = [place for place, byte in enumerate(data[:4096]) if 48 <= byte <= 57]
        if places:
            place = self.random.choice(places)
            data[place : place + 1] = str(self.random.choice((0, 1, 7, 10, 255, 2**31, 2**63, 10**18))).encode()

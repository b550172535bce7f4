"""Make sentences with other names: `sqbert ner < paragraphs.txt | python renamed.py train.conll ... > renamed.txt`.

After Dai and Adel 2020 (mention replacement): each name of a labelled sentence gives way to another of its kind, out of
the labelled files or out of what `sqbert ner` found in running text. A teacher tells what they are called then.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from sqbert_cli.records import Record
from sqbert_cli.tasks.spans import read_entities

SEED, MIN_SCORE, RENAMED, FROM_FILES, TIMES = 42, 0.9, 0.8, 0.5, 3
"""RENAMED: share of the names. FROM_FILES: share of the new ones from labelled files. TIMES: variants of a sentence."""

Names = dict[str, list[str]]
"""By their kinds; each once, so that rare ones are seen as often as common ones."""


def by_kind(found: Iterable[tuple[str, str]]) -> Names:
    names: Names = {}
    for label, name in dict.fromkeys(found):
        names.setdefault(label, []).append(name)
    return names


def renamed(record: Record, sources: tuple[Names, Names], rng: random.Random) -> str:
    parts, end = [], 0
    for span in record.spans or ():
        known, found = sources
        names = known if rng.random() < FROM_FILES or span.label not in found else found
        name = rng.choice(names[span.label]) if rng.random() < RENAMED else record.text[span.start : span.end]
        parts += [record.text[end : span.start], name]
        end = span.end
    return " ".join("".join([*parts, record.text[end:]]).split())


def sentences(records: Iterable[Record], sources: tuple[Names, Names]) -> Iterator[str]:
    rng, seen = random.Random(SEED), set[str]()
    for record in records:
        for _ in range(TIMES if record.spans else 0):
            text = renamed(record, sources, rng)
            if text not in seen and text != record.text:
                seen.add(text)
                yield text


def main(files: list[str]) -> None:
    records = [record for file in files for record in read_entities(Path(file)).records]
    known = by_kind((span.label, r.text[span.start : span.end]) for r in records for span in r.spans or ())
    paragraphs = map(json.loads, sys.stdin)
    found = by_kind((e["label"], e["text"]) for p in paragraphs for e in p["entities"] if e["score"] >= MIN_SCORE)
    for text in sentences(records, (known, found)):
        print(text)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Make questions from paragraphs: `sqbert ner < paragraphs.txt | python questions.py > made.json`.

After Lewis, Denoyer and Riedel 2019 (cloze questions made from running text) and Fabbri et al. 2020 (question word,
what stands after the answer, what stands before it): the answer is a name, a year or a number, the question its clause
without it, with a word lost here and there so that not every word can be looked up.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

SEED, MIN_SCORE, LOST, AT_MOST = 42, 0.7, 0.12, 2
"""LOST: share of the words of a question. AT_MOST: questions about one paragraph, of different sentences."""
FEWEST_WORDS, MOST_WORDS = 4, 16
SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'])")
CLAUSE_END = re.compile(r"[,;:()]|[.!?](?=\s)|\s(?:and|but|while|which|who|where|because|although)\s")
YEAR = re.compile(r"\b(?:1[0-9]|20)\d\d\b")
NUMBER = re.compile(r"\b\d[\d,.]*\d?(?=\s[a-z]{3,})")
PREPOSITION = re.compile(r"\s(?:in|at|on|from|to|near|since|by|until|during)$", re.IGNORECASE)
WORDS = {
    "PER": ("who", "which person"),
    "LOC": ("where", "what place", "which place", "in what location"),
    "ORG": ("what organization", "which group", "who", "what"),
    "MISC": ("what", "which"),
    "year": ("when", "in what year", "what year"),
    "number": ("how many", "how much", "what number of"),
}


@dataclass(frozen=True)
class Span:
    start: int
    end: int
    kind: str


def answers(record: dict[str, Any]) -> list[Span]:
    text = record["text"]
    found = [Span(e["start"], e["end"], e["label"]) for e in record["entities"] if e["score"] >= MIN_SCORE]
    years = [Span(*match.span(), "year") for match in YEAR.finditer(text)]
    numbers = [Span(*match.span(), "number") for match in NUMBER.finditer(text)]
    for one in [*years, *numbers]:
        if all(one.end <= other.start or other.end <= one.start for other in found):
            found.append(one)
    return found


def stretch(text: str, start: int, end: int, edges: re.Pattern[str]) -> tuple[int, int]:
    """Return the part of the text between edges around a span."""
    before = [match.end() for match in edges.finditer(text, 0, start)]
    after = edges.search(text, end)
    return (before[-1] if before else 0), (after.start() if after else len(text))


def question(text: str, answer: Span, rng: random.Random) -> str | None:
    for edges in (CLAUSE_END, SENTENCE_END):
        start, end = stretch(text, answer.start, answer.end, edges)
        before, after = text[start : answer.start].rstrip(), text[answer.end : end].strip().rstrip(".!? ")
        if answer.kind in ("LOC", "year"):
            before = PREPOSITION.sub("", f" {before}").strip()
        words = len(before.split()) + len(after.split())
        if FEWEST_WORDS <= words <= MOST_WORDS:
            break
    else:
        return None
    parts = [after, before] if rng.random() < 0.5 else [before, after]
    kept = [word.strip(".\"'[]") for word in " ".join(parts).split() if rng.random() >= LOST]
    if text[answer.start : answer.end] in " ".join(kept):
        return None
    return " ".join([rng.choice(WORDS[answer.kind]), *filter(None, kept)]) + "?"


def questions(record: dict[str, Any], number: int, rng: random.Random) -> Iterator[dict[str, Any]]:
    text, seen = record["text"], set[tuple[int, int]]()
    found = answers(record)
    rng.shuffle(found)
    for answer in found:
        sentence = stretch(text, answer.start, answer.end, SENTENCE_END)
        asked = question(text, answer, rng) if sentence not in seen else None
        if asked and len(seen) < AT_MOST:
            seen.add(sentence)
            said = {"text": text[answer.start : answer.end], "answer_start": answer.start}
            yield {"id": f"{number}-{len(seen)}", "question": asked, "answers": [said]}


def main() -> None:
    rng = random.Random(SEED)
    records = (json.loads(line) for line in sys.stdin)
    made = [
        {"context": record["text"], "qas": list(questions(record, number, rng))}
        for number, record in enumerate(records)
    ]
    paragraphs = [one for one in made if one["qas"]]
    json.dump({"version": "1.1", "data": [{"title": "made", "paragraphs": paragraphs}]}, sys.stdout)


if __name__ == "__main__":
    main()

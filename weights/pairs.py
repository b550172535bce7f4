"""Make pairs for a teacher of entailment: `python pairs.py DATA > pairs.jsonl`, of the folders `glue` and `nli` there.

Labelled pairs are few, and a teacher says of any two sentences whether one follows from the other: so the labelled ones
the other way round, the hypotheses of one premise beside each other, premises beside a part of themselves, premises
beside a stranger's hypothesis, and pairs of other tasks.
"""

from __future__ import annotations

import json
import random
import re
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

Pair = tuple[str, str]
SEED, LONGEST = 42, 700
"""LONGEST: characters of a premise."""
SENTENCE_END = re.compile(r"(?<=[.!?]) (?=[A-Z])")
CLAUSE_END = re.compile(r"[,;:]| and | but | which | who | because ")


def table(path: Path, first: str, second: str) -> list[Pair]:
    header, *rows = (line.rstrip("\n").split("\t") for line in path.open(encoding="utf-8-sig"))
    a, b = header.index(first), header.index(second)
    return [(row[a], row[b]) for row in rows if len(row) == len(header)]


def some(pairs: Sequence[Pair], count: int) -> list[Pair]:
    return random.sample(pairs, min(count, len(pairs)))


def turned(pairs: Sequence[Pair], count: int) -> list[Pair]:
    return [(second, first) for first, second in some(pairs, count)]


def side_by_side(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Hypotheses of one premise, in both orders."""
    hypotheses = defaultdict[str, list[str]](list)
    for premise, hypothesis in pairs:
        hypotheses[premise].append(hypothesis)
    return some([(one, other) for them in hypotheses.values() for one in them for other in them if one != other], count)


def with_a_part(pairs: Sequence[Pair], count: int) -> list[Pair]:
    """Premises beside a sentence, and beside a clause, of their own."""
    found: list[Pair] = []
    for premise, _ in pairs:
        words = len(premise.split())
        sentences = [part for part in SENTENCE_END.split(premise) if 4 < len(part.split()) < 40]
        if len(sentences) > 1:
            found.append((premise, random.choice(sentences)))
        clauses = [part.strip() for part in CLAUSE_END.split(premise) if 3 < len(part.split()) < words]
        if words > 10 and clauses:
            clause = random.choice(clauses)
            found.append((premise, clause[:1].upper() + clause[1:]))
    return some(found, count)


def made(data: Path) -> list[Pair]:
    mnli = table(data / "glue/MNLI-partial/train.tsv", "sentence1", "sentence2")
    cad = table(data / "nli/cad-snli/train.tsv", "sentence1", "sentence2")
    sick = table(data / "nli/sick/SICK_train.txt", "sentence_A", "sentence_B")
    rows = (json.loads(line) for line in (data / "nli/snli-dev.jsonl").open())
    snli = [(row["premise"], row["hypothesis"]) for row in rows]
    rte = table(data / "glue/RTE/train.tsv", "sentence1", "sentence2")
    columns = [line.rstrip("\n").split("\t") for line in (data / "glue/QQP-partial/pairs.tsv").open()]
    qqp = [(row[3], row[4]) for row in columns if len(row) == 6]
    mrpc = table(data / "glue/MRPC/msr_paraphrase_train.txt", "#1 String", "#2 String")
    found = turned(mnli, 13_000) + side_by_side(mnli, 12_000) + with_a_part(mnli, 9_000)
    found += [(premise, random.choice(mnli)[1]) for premise, _ in some(mnli, 2_500)]
    found += turned(snli, 6_000) + side_by_side(snli, 8_000) + turned(cad, 2_500) + side_by_side(cad, 2_500)
    found += turned(sick, 3_000) + some(rte, 2_400) + turned(rte, 2_400) + some(qqp, 9_000) + mrpc + turned(mrpc, 2_000)
    return found


def main() -> None:
    random.seed(SEED)
    stripped = [(first.strip().strip('"'), second.strip().strip('"')) for first, second in made(Path(sys.argv[1]))]
    kept = [pair for pair in dict.fromkeys(stripped) if all(pair) and len(pair[0]) < LONGEST]
    random.shuffle(kept)
    for premise, hypothesis in kept:
        print(json.dumps({"premise": premise, "hypothesis": hypothesis}, ensure_ascii=False))


if __name__ == "__main__":
    main()

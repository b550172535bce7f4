"""Labelled entities and questions: read, held out, and looked through before anything is learnt from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.records import BadRecord, Record, Span
from sqbert_cli.tasks.dataset import Dataset, Split, make_split, under, with_dev
from sqbert_cli.tasks.entities import tags_of
from sqbert_cli.text.conll import split_columns
from sqbert_cli.text.fields import Fields, QuestionFields
from sqbert_cli.text.files import name_of
from sqbert_cli.text.gold import answer_spans, entity_spans, with_spans
from sqbert_cli.text.readers import FIXED, Format, guess_format, is_stream, read_records
from sqbert_cli.text.tags import OUTSIDE, broken, is_iob2, is_prefixed

ENTITY_FIELDS, ANSWER_FIELDS = Fields(label="entities"), QuestionFields(label="answers")

Tagged: TypeAlias = Sequence[tuple[Record, Sequence[str]]]
"""Records of CoNLL's columns with their tags."""
IDEOGRAPHS = "\u2e80"
"""From here on a character is a word of its own, or of a script that has no spaces."""


def read_entities(path: Path, format: Format = "auto", fields: Fields = ENTITY_FIELDS) -> Split:
    """Read CoNLL's columns, or JSONL with a list of entities; what has no known ending is taken for columns."""
    return _read(path, format, fields, entity_spans)


def read_questions(path: Path, format: Format = "auto", fields: Fields = ANSWER_FIELDS) -> Split:
    """Read a SQuAD file, or JSONL with question, context and answers."""
    return _read(path, format, fields, answer_spans)


def _read(path: Path, format: Format, fields: Fields, read: Callable[[Any, str], tuple[Span, ...]]) -> Split:
    is_named = fields.label not in (ENTITY_FIELDS.label, ANSWER_FIELDS.label)
    plain: Format = "conll" if read is entity_spans else "text"
    guessed = guess_format(path) if format == "auto" else format
    is_fixed = (plain if guessed == "text" and not is_stream(path) else guessed) in FIXED
    wanted = fields if is_named and is_fixed else replace(fields, label=None)
    items = read_records(path, format, wanted, plain=plain)
    return make_split(
        name_of(path),
        [item if isinstance(item, BadRecord) else with_spans(item, str(fields.label), read) for item in items],
    )


def entity_dataset(train: Split, dev: Split | None, seed: int) -> Dataset:
    labels = sorted({span.label for record in train.records for span in record.spans or ()})
    if not labels:
        raise SqbertError(f"`{train.name}` has no entities", hint="is the last column the tag, as in CoNLL's files?")
    known, held_out = with_dev(train, dev, seed)
    check_entities(held_out, labels)
    head = HeadConfig(name="ner", kind="token", labels=tags_of(labels), scheme="IOB2")
    return Dataset(name="ner", head=head, metrics=(), train=known, dev=(held_out,))


def check_entities(split: Split, labels: Sequence[str]) -> None:
    """Raise `SqbertError` where examples have entities that the model does not know."""
    known = set(labels)
    for record in split.records:
        for span in record.spans or ():
            if span.label not in known:
                raise SqbertError(
                    f"{record.source}: entities called `{span.label}` are not known", hint=f"known: {', '.join(labels)}"
                )


def question_dataset(train: Split, dev: Split | None, seed: int) -> Dataset:
    known, held_out = with_dev(train, dev, seed)
    head = HeadConfig(name="qa", kind="span")
    return Dataset(name="qa", head=head, metrics=(), train=known, dev=(held_out,))


def entity_counts(split: Split) -> str:
    """How many texts, and how many entities of each label."""
    counts = Counter(span.label for record in split.records for span in record.spans or ())
    told = ", ".join(f"{label} {count:,}" for label, count in counts.most_common())
    return f"{split.name}: {len(split.records):,} texts; entities: {told or 'none'}"


def question_counts(split: Split) -> str:
    none = sum(not record.spans for record in split.records)
    return f"{split.name}: {len(split.records):,} questions, {none:,} of them without an answer"


def entity_problems(split: Split) -> list[str]:
    """Tags that no scheme has, and spans that cut words; each with its place."""
    tagged = _tagged(split)
    return [
        *_listed(
            f"`{split.name}`: I- (or E-, L-) where an entity begins, in a file that has B- there", _broken(tagged)
        ),
        *_listed(f"`{split.name}`: tags that are taken for kinds of entities, in a file of B- and I-", _bare(tagged)),
        *_listed(f"`{split.name}`: entities that cut a word; the whole word counts", _cut_words(split)),
    ]


def _broken(tagged: Tagged) -> Iterator[str]:
    if any(is_iob2(tags) for _, tags in tagged):
        for record, tags in tagged:
            yield from (_place(record, index, tags[index]) for index in broken(tags))


def _bare(tagged: Tagged) -> Iterator[str]:
    if any(is_prefixed(tag) for _, tags in tagged for tag in tags):
        for record, tags in tagged:
            bare = ((index, tag) for index, tag in enumerate(tags) if tag != OUTSIDE and not is_prefixed(tag))
            yield from (_place(record, index, tag) for index, tag in bare)


def _tagged(split: Split) -> Tagged:
    of_columns = (record for record in split.records if record.words)
    return [(record, [split_columns(word.line)[-1] for word in record.words or ()]) for record in of_columns]


def _place(record: Record, index: int, tag: str) -> str:
    file, _, line = record.source.rpartition(":")
    return f"{file}:{int(line) + index}: {tag}"


def _cut_words(split: Split) -> Iterator[str]:
    for record in split.records:
        for span in record.spans or ():
            around = (record.text[max(0, place - 1) : place + 1] for place in (span.start, span.end))
            if any(len(two) == 2 and two.isalnum() and max(two) < IDEOGRAPHS for two in around):
                yield f"{record.source}: {record.text[span.start : span.end]!r} ({span.start}-{span.end})"


def _listed(what: str, places: Iterator[str]) -> list[str]:
    found = list(places)
    return [under(f"{what} ({len(found)})", found)] if found else []

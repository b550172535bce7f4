"""CoNLL's columns: a word a line with its tag last, an empty line between sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqbert_cli.records import BadRecord, Entities, Record, Span, Word
from sqbert_cli.text.fields import is_unicode
from sqbert_cli.text.tables import Lines, without_end
from sqbert_cli.text.tags import span_tags, tag_spans

DOCUMENT = "-DOCSTART-"
MAX_WORDS = 10_000
"""A sentence with more is a file of another kind."""


def conll_records(lines: Lines, name: str) -> Iterator[Record | BadRecord]:
    """Yield a record for each sentence, its text the words with single spaces between them."""
    rows: list[tuple[str, ...]] = []
    first, problem = 1, ""
    for number, line in lines:
        columns = _columns(line)
        if columns and columns[0] != DOCUMENT and not problem:
            first = first if rows else number
            problem = _problem(line, columns, rows)
            rows.append(columns)
            first = number if problem else first
        elif not columns and rows:
            yield _record(rows, f"{name}:{first}", problem)
            rows, problem = [], ""
    if rows:
        yield _record(rows, f"{name}:{first}", problem)


def conll_lines(result: Entities) -> str:
    """Write the columns that there were, and the tag found (IOB2) as one more."""
    tags = span_tags(word_spans([Span(e.start, e.end, e.label) for e in result.entities], result.words),
                     len(result.words))  # fmt: skip
    columns = [word.columns or (result.record.text[word.start : word.end],) for word in result.words]
    return "".join(" ".join([*before, tag]) + "\n" for before, tag in zip(columns, tags, strict=True)) + "\n"


def word_spans(spans: Iterable[Span], words: Sequence[Word]) -> list[Span]:
    """From characters to words: each span takes the words that it touches and that no span before it took."""
    found: list[Span] = []
    index = 0
    for span in sorted(spans):
        while index < len(words) and words[index].end <= span.start:
            index += 1
        start = index
        while index < len(words) and words[index].start < span.end:
            index += 1
        if index > start:
            found.append(Span(start, index, span.label))
    return found


def _columns(line: str) -> tuple[str, ...]:
    line = without_end(line)
    return tuple(line.split("\t")) if "\t" in line else tuple(line.split(" ")) if line.strip() else ()


def _problem(line: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not is_unicode(line):
        return "not UTF-8"
    if rows and len(columns) != len(rows[0]):
        return f"{len(columns)} columns, but the sentence began with {len(rows[0])}"
    if not columns[0].strip():
        return "no word in the first column"
    return f"a sentence of more than {MAX_WORDS:,} words" if len(rows) >= MAX_WORDS else ""


def _record(rows: list[tuple[str, ...]], source: str, problem: str) -> Record | BadRecord:
    if problem:
        return BadRecord(source, problem)
    words: list[Word] = []
    for columns in rows:
        start = words[-1].end + 1 if words else 0
        words.append(Word(start, start + len(columns[0]), columns))
    text = " ".join(columns[0] for columns in rows)
    spans = None
    if len(rows[0]) > 1:
        in_words = tag_spans(columns[-1] for columns in rows)
        spans = tuple(Span(words[s.start].start, words[s.end - 1].end, s.label) for s in in_words)
    return Record(text, spans=spans, words=tuple(words), fields={"text": text}, source=source)

"""CoNLL's columns: a word a line with its tag last, an empty line between sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sqbert_cli.records import BadRecord, Entities, Record, Span, Word
from sqbert_cli.text.fields import is_unicode
from sqbert_cli.text.files import NOT_UNICODE
from sqbert_cli.text.tables import Lines, without_end
from sqbert_cli.text.tags import span_tags, split_tag, tag_spans

DOCUMENT = "-DOCSTART-"
BLANK = " \t\r\n\f\v"
"""Between columns. Other spaces are parts of words: `10\u00a0000`."""
MAX_WORDS = 10_000
"""A sentence with more is a file of another kind."""


def conll_records(lines: Lines, name: str) -> Iterator[Record | BadRecord]:
    """Yield a record for each sentence, its text the words with single spaces between them.

    Lines of `-DOCSTART-` end a sentence as empty ones do, and are left out.
    """
    rows: list[str] = []
    place, problem = 0, ""
    for number, line in lines:
        columns = split_columns(line)
        if not columns or columns[0] == DOCUMENT:
            if rows:
                yield _record(rows, f"{name}:{place}", problem)
            rows, problem = [], ""
        elif not problem:
            problem = _problem(columns, rows)
            place = number if problem or not rows else place
            rows.append(without_end(line))
    if rows:
        yield _record(rows, f"{name}:{place}", problem)


def conll_lines(result: Entities) -> str:
    """Write the columns that there were, and the tag found (IOB2) as one more."""
    found = [Span(entity.start, entity.end, entity.label) for entity in result.entities]
    tags = span_tags(word_spans(found, result.words), len(result.words))
    lines = [word.line or result.record.text[word.start : word.end] for word in result.words]
    return "".join(f"{line}{_separator(line)}{tag}\n" for line, tag in zip(lines, tags, strict=True)) + "\n"


def split_columns(line: str) -> list[str]:
    """Split at tabs if there are any, else at spaces; nothing of a line without a word."""
    line = without_end(line)
    if _separator(line) == "\t":
        return [column.strip(BLANK) for column in line.split("\t")]
    return [column for column in line.strip(BLANK).split(" ") if column]


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


def _separator(line: str) -> str:
    return "\t" if "\t" in line.rstrip(BLANK) else " "


def _problem(columns: list[str], rows: list[str]) -> str:
    if not is_unicode("".join(columns)):
        return NOT_UNICODE
    if rows and len(columns) != len(split_columns(rows[0])):
        return f"{len(columns)} columns, but the sentence began with {len(split_columns(rows[0]))}"
    if not columns[0]:
        return "no word in the first column"
    if len(columns) > 1 and not split_tag(columns[-1])[1]:
        return "no tag in the last column"
    return f"a sentence of more than {MAX_WORDS:,} words" if len(rows) >= MAX_WORDS else ""


def _record(rows: list[str], source: str, problem: str) -> Record | BadRecord:
    if problem:
        return BadRecord(source, problem)
    table = [split_columns(row) for row in rows]
    words: list[Word] = []
    for columns, row in zip(table, rows, strict=True):
        start = words[-1].end + 1 if words else 0
        words.append(Word(start, start + len(columns[0]), row.rstrip(BLANK)))
    text = " ".join(columns[0] for columns in table)
    spans = None
    if len(table[0]) > 1:
        in_words = tag_spans(columns[-1] for columns in table)
        spans = tuple(Span(words[s.start].start, words[s.end - 1].end, s.label) for s in in_words)
    return Record(text, spans=spans, words=tuple(words), fields={"text": text}, source=source)

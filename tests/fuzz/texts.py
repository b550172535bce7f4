"""Targets that read texts: every format, by the functions that the commands call."""

from __future__ import annotations

import gzip
import json
import lzma
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from io import BytesIO
from pathlib import Path

from sqbert_cli.records import BadRecord, Record
from sqbert_cli.tasks.choose import Source, choose_test, fields_of
from sqbert_cli.tasks.glue import TASKS, glue_head
from sqbert_cli.tasks.spans import read_entities, read_questions
from sqbert_cli.text.corpus import read_paragraphs
from sqbert_cli.text.fields import Fields, QuestionFields
from sqbert_cli.text.files import read_text
from sqbert_cli.text.readers import Format, read_records
from sqbert_cli.text.writers import OutputFormat, make_writer
from tests.fuzz.engine import Fuzzed

PLAIN, PAIRS = Fields(), Fields(text="text", pair="pair", label="label")
WRITTEN: tuple[OutputFormat, ...] = ("jsonl", "csv", "tsv")
TEXT = "The film was good.\r\n\r\n\ufeffI loved it, it\u2019s fun \U0001f469.\n  \nno end".encode()
JSONL = b'{"id": 1, "text": "a film", "pair": "b", "label": 1.0}\n{"text": "c\\u00e9", "pair": "d", "label": ["x"]}\n'
CSV = b'text,pair,label\n"a ""film"", good",b,yes\r\nc,"d\nd",no\n'
TSV = b"text\tpair\tlabel\na film\tgood\tyes\nb\tc\tno\n"
CONLL = b"-DOCSTART- -X- O\n\nAnn NNP B-PER\nsaw VBD O\nNew NNP B-LOC\nYork NNP I-LOC\n\nAnn\tO\nLee\tS-PER\n"
SQUAD = json.dumps({"version": "2.0", "data": [{"title": "t", "paragraphs": [{"context": "Ann saw Rome.", "qas": [
    {"id": "q1", "question": "Who?", "answers": [{"text": "Ann", "answer_start": 0}]},
    {"id": "q2", "question": "When?", "answers": [], "is_impossible": True}]}]}]}).encode()  # fmt: skip
GOLD = b"\n".join(
    json.dumps(row).encode()
    for row in (
        {"text": "Ann saw Rome.", "context": "Ann saw Rome.", "question": "Who?",
         "entities": [{"start": 0, "end": 3, "label": "PER", "text": "Ann"}], "answers": ["Ann"]},
        {"text": "b", "context": "a b a", "question": "q", "entities": [],
         "answers": {"text": ["a"], "answer_start": [4]}},
    )
)  # fmt: skip
NAMES = (b'"text"', b'"pair"', b'"label"', b"text", b"pair", b"label")
SPAN_NAMES = (b'"entities"', b'"answers"', b'"start"', b'"end"', b'"answer_start"', b'"context"', b'"question"')
TAGS = (b"B-PER", b"I-LOC", b"-DOCSTART-", b" O\n", b"\t", b"E-X", b"\n\n")
SQUAD_NAMES = (b'"data"', b'"paragraphs"', b'"qas"', b'"is_impossible"', b'"id"', b'"title"', b'"version"')


def text_targets(folder: Path) -> Iterable[Fuzzed]:
    folder.mkdir(parents=True, exist_ok=True)
    yield Fuzzed("text", _records(folder / "in.txt", "text", [PLAIN]), [TEXT, b"", b"\n"])
    yield Fuzzed("jsonl", _records(folder / "in.jsonl", "jsonl", [PLAIN, PAIRS]), [JSONL], NAMES)
    yield Fuzzed("csv", _records(folder / "in.csv", "csv", [PLAIN, PAIRS]), [CSV], NAMES)
    yield Fuzzed("tsv", _records(folder / "in.tsv", "tsv", [PLAIN, PAIRS]), [TSV], NAMES)
    yield Fuzzed("conll", _conll(folder), [CONLL], TAGS)
    yield Fuzzed("squad", _squad(folder), [SQUAD, SQUAD.replace(b"2.0", b"1.1")], SQUAD_NAMES + SPAN_NAMES)
    yield Fuzzed("gold", _gold(folder / "gold.jsonl"), [GOLD], SPAN_NAMES)
    yield Fuzzed("gzip", _packed(folder / "in.txt.gz", gzip.compress), [gzip.compress(TEXT, mtime=0)])
    yield Fuzzed("xz", _packed(folder / "in.txt.xz", lambda data: lzma.compress(data, preset=0)), [lzma.compress(TEXT)])
    yield Fuzzed("glue", _glue(folder), _glue_seeds(), (b"entailment", b"neutral", b"contradiction", b"\t", b"0.5"))


def described(items: Iterable[Record | BadRecord]) -> Counter[str]:
    """What came of the lines; what a command would write of a record is written too."""
    found: Counter[str] = Counter()
    for item in items:
        if isinstance(item, BadRecord):
            assert item.reason, item
            found[item.reason[:60]] = 1
            continue
        assert item.text.strip(), item
        item.text.encode(), (item.pair or "").encode()
        make_writer(WRITTEN[len(item.text) % 3], BytesIO())(item.fields)
        found["record"] = 1
    return found


def _records(path: Path, format: Format, some: list[Fields]) -> Callable[[bytes], object]:
    def attempt(data: bytes) -> object:
        path.write_bytes(data)
        return described(read_records(path, format, some[len(data) % len(some)]))

    return attempt


def _conll(folder: Path) -> Callable[[bytes], object]:
    path = folder / "in.conll"

    def attempt(data: bytes) -> object:
        path.write_bytes(data)
        if len(data) % 2:
            return described(read_records(path, "conll"))
        return described(read_entities(path).records)

    return attempt


def _squad(folder: Path) -> Callable[[bytes], object]:
    path = folder / "in.json"

    def attempt(data: bytes) -> object:
        path.write_bytes(data)
        return described(read_records(path, ("squad", "auto")[len(data) % 2], QuestionFields()))

    return attempt


def _gold(path: Path) -> Callable[[bytes], object]:
    def attempt(data: bytes) -> object:
        path.write_bytes(data)
        split = (read_entities if len(data) % 2 else read_questions)(path)
        for record in split.records:
            assert all(0 <= span.start <= span.end <= len(record.text) for span in record.spans or ()), record
        return described([*split.records, *split.bad])

    return attempt


def _packed(path: Path, pack: Callable[[bytes], bytes]) -> Callable[[bytes], object]:
    """As it comes; or packed, and cut short or with one wrong byte."""

    def attempt(data: bytes) -> object:
        if len(data) % 3:
            whole = bytearray(pack(data))
            place = zlib.crc32(data) % len(whole)
            if len(data) % 3 == 1:
                del whole[place:]
            else:
                whole[place] ^= 1 + data[-1] % 255
            data = bytes(whole)
        path.write_bytes(data)
        if len(data) % 5 == 0:
            return len(read_text(path)) > 0
        if len(data) % 5 == 1:
            return sum(bool(line) for line in read_paragraphs(path)) > 0
        return described(read_records(path))

    return attempt


def _glue(folder: Path) -> Callable[[bytes], object]:
    names = list(TASKS)

    def attempt(data: bytes) -> object:
        name = names[data[0] % len(names)] if data else names[0]
        for file, _ in TASKS[name].dev:
            (folder / file).write_bytes(data[1:])
        source = Source(train=[folder], fields=fields_of(name))
        test = choose_test(name, source, glue_head(name))
        return name, described([*test.splits[0].records, *test.splits[0].bad])

    return attempt


def _glue_seeds() -> list[bytes]:
    seeds = []
    for number, task in enumerate(TASKS.values()):
        columns = task.columns
        header = [columns.text, *([columns.pair] if columns.pair else []), columns.label]
        label = next(iter(task.spelled or task.labels)) if task.problem_type != "regression" else "2.5"
        row = ["a film", *(["b"] if columns.pair else []), label]
        seeds.append(bytes([number]) + "\n".join("\t".join(cells) for cells in (header, row, row)).encode() + b"\r\n")
    return seeds

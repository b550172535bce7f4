"""Shards of a file are the file: no record is lost at a cut, none is read twice, each keeps its line."""

from __future__ import annotations

import gzip
import json
import lzma
import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sqbert_cli.bulk.bad import write_bad
from sqbert_cli.bulk.inputs import find_inputs
from sqbert_cli.bulk.manifest import differences, read_shards, write_manifest
from sqbert_cli.bulk.plan import Reading, Request, Shard, cut, named
from sqbert_cli.bulk.run import make_work
from sqbert_cli.bulk.worker import do_shard
from sqbert_cli.checkpoint import read_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.job import Job, ModelChoice
from sqbert_cli.predict.entities import find_entities
from sqbert_cli.records import BadRecord, Record
from sqbert_cli.text.fields import QuestionFields
from sqbert_cli.text.files import NOT_UNICODE
from sqbert_cli.text.results import entities_fields

lines = {
    "jsonl": st.sampled_from(
        [b'{"text": "a"}\n', b"\n", b"\xff\n", b'{"text": \n', b'{"no": 1}\r\n', b'{"text": "b"}\n']
    ),
    "text": st.sampled_from([b"one\n", b"  \n", b"\xff\n", b"two\r\n"]),
    "csv": st.sampled_from([b"a,1\n", b'"b\nb",2\n', b"\n", b'"c"c,3\n', b"d\n", b"\xff,4\n", b'"x\n']),
    "tsv": st.sampled_from([b"a\t1\n", b'"b\t2\n', b"\n", b"c\n"]),
    "conll": st.sampled_from([b"Ann B-PER\n", b"\n", b"sat O\n", b"bad\n", b"-DOCSTART- O\n", b"\xff O\n"]),
}
HEADERS = {"csv": b'\xef\xbb\xbftext,"n\n"\n', "tsv": b"text\tn\n"}


@pytest.mark.parametrize("format", list(lines))
@pytest.mark.parametrize("ending", ["", ".gz"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), size=st.integers(1, 4))
def test_shards_together_are_the_file(format: str, ending: str, data: st.DataObject, size: int, tmp_path: Path) -> None:
    content = HEADERS.get(format, b"") + b"".join(data.draw(st.lists(lines[format], max_size=12)))
    file = tmp_path / f"a.{format}{ending}"
    file.write_bytes(gzip.compress(content) if ending else content)
    reading = Reading(format)  # type: ignore[arg-type]
    whole = list(reading.records(str(file)))
    shards = list(cut(str(file), reading, size))
    assert [list(islice(reading.records(str(file), one.start), one.records)) for one in shards] == [
        whole[start : start + size] for start in range(0, len(whole), size)
    ]


def test_a_squad_file_stays_whole(tmp_path: Path) -> None:
    qas = [{"id": str(n), "question": "who ?"} for n in range(5)]
    file = tmp_path / "dev.json"
    file.write_text(json.dumps({"data": [{"paragraphs": [{"context": "the film", "qas": qas}]}]}))
    assert [shard.records for shard in cut(str(file), Reading(fields=QuestionFields()), 2)] == [5]


@pytest.mark.parametrize("ending", ["gz", "xz"])
def test_a_damaged_file_gives_what_comes_before_and_one_bad_record(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"a.jsonl.{ending}"
    content = b"".join(b'{"text": "%d"}\n' % n for n in range(20_000))
    compressed = {"gz": gzip, "xz": lzma}[ending].compress(content)
    for damaged in (compressed[: len(compressed) // 2], b"no" + compressed, compressed[:-8] + b"#" * 8):
        file.write_bytes(damaged)
        *good, last = whole = list(Reading().records(str(file)))
        assert isinstance(last, BadRecord)
        assert "is damaged" in last.reason
        assert [one.text for one in good if isinstance(one, Record)] == [str(n) for n in range(len(good))]
        shards = list(cut(str(file), Reading(), 3_000))
        assert sum(shard.records for shard in shards) == len(whole)
        assert list(Reading().records(str(file), shards[-1].start)) == whole[3_000 * (len(shards) - 1) :]
    with pytest.raises(SqbertError, match="does not exist"):  # what may be otherwise the next time
        list(cut(str(tmp_path / "gone.jsonl.gz"), Reading(), 5))


def test_a_file_of_no_text_is_one_bad_record(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    for content, said in (
        (b"%PDF-1.7\n1 0 obj\n", "no text, but a PDF"),
        ("a\nb".encode("utf-16"), "is UTF-16"),
        (b'{\n "text": "a"\n}\n', "seems to be JSON, but not an object a line"),
        (b'[{"text": "a"}]', "seems to be JSON, but not an object a line"),
    ):
        file.write_bytes(content)
        (bad,) = Reading().records(str(file))
        assert isinstance(bad, BadRecord)
        assert said in bad.reason
        assert [shard.records for shard in cut(str(file), Reading(), 5)] == [1]


def test_all_parts_of_a_table_have_the_columns_of_its_first_record(many_heads: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"id": 1, "text": "a"}\n')
    (folder / "b.jsonl").write_text('{"text": "b", "id": 2}\n{"id": 3, "lang": "en", "text": "c"}\n')
    job = Job(ModelChoice(str(many_heads)), partial(find_entities), entities_fields)
    request = Request(str(folder), str(tmp_path / "out"), Reading(), "csv", "local", 1, 10)
    inputs, _ = find_inputs(request.input, any_ending=False)
    work = make_work(request, job, request.output, inputs)
    (tmp_path / "out/bad").mkdir(parents=True)
    shards = named((shard for file in inputs for shard in cut(file.name, Reading(), 10)), "csv")
    outcomes = [do_shard(work, read_checkpoint(many_heads), shard) for shard in shards]
    heads = {file.read_text().splitlines()[0] for file in (tmp_path / "out").glob("part-*")}
    assert heads == {"id,text,entities"}
    assert [(outcome.records, outcome.bad) for outcome in outcomes] == [(1, 0), (2, 1)]
    (bad,) = (tmp_path / "out/bad").iterdir()
    assert json.loads(bad.read_text())["reason"] == "no column for `lang`, which the first result has not"


def test_names_are_in_the_order_of_the_input() -> None:
    shards = named([Shard("", f"{n}", 0, 0, 1) for n in range(12)], "jsonl")
    assert [shard.name for shard in shards][:2] == ["part-00000-of-00012.jsonl", "part-00001-of-00012.jsonl"]
    assert sorted(shards, key=lambda shard: shard.name) == shards


def test_a_folder_gives_its_files_of_records(tmp_path: Path) -> None:
    for name in ("b.jsonl", "sub/a.csv.gz", "notes.md", "_SUCCESS", ".hidden/x.jsonl", "sub/.c.txt", "empty.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("" if name == "empty.txt" else "x\n")

    left_out: list[str] = []

    def found(wanted: Path | str, any_ending: bool = False) -> list[str]:
        files, other = find_inputs(str(wanted), any_ending)
        left_out[:] = [Path(name).relative_to(tmp_path).as_posix() for name in other]
        return [Path(file.name).relative_to(tmp_path).as_posix() for file in files]

    assert found(tmp_path) == ["b.jsonl", "sub/a.csv.gz"]
    assert left_out == ["notes.md"]
    assert found(tmp_path, any_ending=True) == ["b.jsonl", "notes.md", "sub/a.csv.gz"]
    assert found(tmp_path / "*.md") == ["notes.md"]
    assert found(tmp_path / "**/*.gz") == ["sub/a.csv.gz"]
    assert not left_out
    assert found(tmp_path / "**/**/*.gz") == ["sub/a.csv.gz"]
    (tmp_path / "sub" / "again").symlink_to(tmp_path)  # goes round in a circle
    assert found(tmp_path / "**/*.jsonl") == ["b.jsonl"]
    with TemporaryDirectory() as elsewhere:
        (Path(elsewhere) / "d.jsonl").write_text("x\n")
        (tmp_path / "linked").symlink_to(elsewhere)
        assert found(tmp_path) == ["b.jsonl", "linked/d.jsonl", "sub/a.csv.gz"]
    for nothing, said in (("*.parquet", "no file is named"), ("empty.txt", "has no records"), ("none", "not exist")):
        with pytest.raises(SqbertError, match=said):
            found(tmp_path / nothing)


def test_a_bad_line_is_kept_to_the_byte(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'{"text": "a"}\n{"no": 1}\r\n\xff\xfe"\n')
    bad = [
        BadRecord(f"{file}:2", "no field"),
        BadRecord(f"{file}:3", NOT_UNICODE),
        BadRecord(f"{file}: question 7", "odd"),
    ]
    write_bad(str(tmp_path / "bad.jsonl"), Shard("x", str(file), 1, 14, 2), bad)
    second, third, other = map(json.loads, (tmp_path / "bad.jsonl").read_text().splitlines())
    assert second == {"file": str(file), "line": 2, "reason": "no field", "raw": '{"no": 1}'}
    assert third["raw"].encode("utf-8", "surrogateescape") == b'\xff\xfe"'
    assert other == {"file": str(file), "line": None, "reason": "question 7: odd", "raw": None}


@pytest.mark.parametrize("content", ["", "[]", '{"shards": 3}', "[" * 100_000, '{"shards": [{"no": 1}], "job": {}}'])
def test_a_manifest_that_is_none_is_told(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(SqbertError, match="cannot be read"):
        read_shards(str(tmp_path), {})


JOB = {"format": "jsonl", "inputs": {"a": [1, 1]}}
SHARD = {"name": "part-00000-of-00001.jsonl", "file": "a", "lines": 0, "bytes": 0, "records": 1}


@pytest.mark.parametrize(
    "change",
    [{"name": "../part.jsonl"}, {"name": ["x"]}, {"file": "b"}, {"records": "1"}, {"lines": -1}, {"bytes": 0.5}],
)
def test_a_manifest_with_other_shards_than_its_job_has_is_told(change: dict[str, Any], tmp_path: Path) -> None:
    def write(shard: dict[str, Any]) -> None:
        (tmp_path / "manifest.json").write_text(json.dumps({"job": JOB, "shards": [shard]}))

    write(SHARD)
    assert read_shards(str(tmp_path), JOB) == [Shard(**SHARD)]
    write(SHARD | change)
    with pytest.raises(SqbertError, match="cannot be read"):
        read_shards(str(tmp_path), JOB)


def test_of_jobs_that_are_begun_at_once_on_a_new_folder_one_has_it(tmp_path: Path) -> None:
    def begin(number: int) -> str:
        try:
            write_manifest(str(tmp_path), JOB | {"number": number % 4}, [Shard(**SHARD)])
            return ""
        except SqbertError as error:
            return error.message

    with ThreadPoolExecutor(16) as some:
        said = list(some.map(begin, range(16)))
    assert said.count("") == 4  # the same job, begun more than once
    assert all("is of another job: number was" in one for one in said if one)
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.json"]


def test_what_differs_is_named() -> None:
    old = {"answer": {"threshold": 0.0}, "inputs": {"a": [1, 1], "b": [2, 2], "c": [3, 3]}, "same": 1}
    new = {"answer": {"threshold": 0.5}, "inputs": {"a": [1, 2], "c": [3, 3], "d": [4, 4]}, "same": 1}
    assert list(differences(old, new)) == [
        "answer threshold was 0.0, now 0.5", "input `a` has changed", "input `b` is gone", "input `d` is new",
    ]  # fmt: skip


def test_a_folder_that_cannot_be_listed_is_not_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "private").mkdir()
    for name in ("a.jsonl", "private/b.jsonl"):
        (tmp_path / name).write_text('{"text": "a"}\n')
    scandir = os.scandir

    def refused(place: str) -> Any:
        if str(place).endswith("private"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refused)
    with pytest.raises(PermissionError, match="private"):
        find_inputs(str(tmp_path), any_ending=False)


def test_what_a_link_leads_to_is_read_though_it_is_hidden_itself(tmp_path: Path) -> None:
    (tmp_path / "_store").mkdir()
    (tmp_path / "_store/x.txt").write_text("one\n")
    (tmp_path / "current").symlink_to("_store")
    files, _ = find_inputs(str(tmp_path), any_ending=False)
    assert [file.name for file in files] == [str(tmp_path / "current/x.txt")]

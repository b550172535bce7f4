"""Reading records: every line counts, what is wrong has a line number, and nothing is read ahead."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import lzma
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from tempfile import TemporaryFile
from threading import Thread
from unittest import mock

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sqbert_cli.errors import SqbertError
from sqbert_cli.records import BadRecord, Record
from sqbert_cli.text.fields import Fields, QuestionFields, has_text
from sqbert_cli.text.files import NO_TEXT, NOT_UNICODE, STDIN, Mark, read_lines
from sqbert_cli.text.readers import Format, guess_format, read_records

FORMATS = ("text", "jsonl", "csv", "tsv")
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
MANY_LINES = "".join(f"line {number}\n" for number in range(10_000)).encode()
texts = st.text(st.characters(exclude_categories=["Cs"])).filter(has_text)


def read(data: bytes | str, format: Format = "auto", **fields: str) -> list[Record | BadRecord]:
    """Read `data` from standard input."""
    raw = data if isinstance(data, bytes) else data.encode()
    with TemporaryFile() as file, mock.patch("sys.stdin", file):
        file.write(raw)
        file.seek(0)
        return list(read_records(STDIN, format, Fields(**fields)))


def texts_of(records: list[Record | BadRecord]) -> list[str]:
    return [record.text if isinstance(record, Record) else record.reason for record in records]


def reason(data: bytes | str, format: Format = "jsonl", **fields: str) -> str:
    """Why the one line of `data` is bad."""
    (bad,) = read(data, format, **fields)
    assert isinstance(bad, BadRecord)
    return bad.reason


# Anything goes in and comes out as it was


@given(st.lists(texts), st.booleans())
def test_jsonl_is_read_as_it_was_written(wanted: list[str], ascii_only: bool) -> None:
    lines = [json.dumps({"text": text}, ensure_ascii=ascii_only) + "\n" for text in wanted]
    records = read("".join(lines), "jsonl")
    assert texts_of(records) == wanted
    assert [record.source for record in records] == [f"stdin:{n}" for n in range(1, len(wanted) + 1)]


@given(st.lists(texts.filter(lambda text: sys.version_info >= (3, 11) or "\0" not in text)))
def test_csv_is_read_as_it_was_written(wanted: list[str]) -> None:
    table = io.StringIO()
    writer = csv.writer(table, quoting=csv.QUOTE_ALL)
    writer.writerow(["text", "stars"])
    starts = []
    for text in wanted:
        starts.append(f"stdin:{table.getvalue().count(chr(10)) + 1}")
        writer.writerow([text, "5"])
    records = read(table.getvalue(), "csv")
    assert texts_of(records) == wanted
    assert [record.source for record in records] == starts


@given(st.lists(texts.filter(lambda text: "\n" not in text)), st.sampled_from(["\n", "\r\n"]))
def test_a_line_of_text_is_kept_to_the_character(wanted: list[str], end: str) -> None:
    if end == "\n":
        wanted = [text.removesuffix("\r") for text in wanted]  # it would be part of the line end
    records = read(codecs.BOM_UTF8 + "".join(text + end for text in wanted).encode(), "text")
    assert texts_of(records) == wanted
    assert [record.source for record in records] == [f"stdin:{n}" for n in range(1, len(wanted) + 1)]


json_like = st.sampled_from([b'{"text": "a"}', b'{"text": ', b"\xff", b"[1]", b"\n", b"\r\n", b" ", b"\xef\xbb\xbf"])


@given(st.lists(st.binary() | json_like).map(b"".join), st.sampled_from(["text", "jsonl"]))
def test_every_line_that_is_not_blank_is_a_record_or_a_bad_record(data: bytes, format: Format) -> None:
    assume(not data.startswith((*UTF16, *NO_TEXT)))
    lines = data.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace").split("\n")
    filled = [number for number, line in enumerate(lines, 1) if line.strip()]
    assert [record.source for record in read(data, format)] == [f"stdin:{number}" for number in filled]


@given(st.binary(), st.sampled_from(["csv", "tsv"]))
def test_no_bytes_crash_a_table(data: bytes, format: Format) -> None:
    read(b"text\n" + data, format)


# Lines


def test_crlf_and_bom_are_not_part_of_the_text() -> None:
    assert texts_of(read(b"\xef\xbb\xbfone\r\ntwo\r\n", "text")) == ["one", "two"]
    assert texts_of(read(b'\xef\xbb\xbf{"text": "one"}\r\n', "jsonl")) == ["one"]
    assert texts_of(read(b"\xef\xbb\xbftext,n\r\none,1\r\n", "csv")) == ["one"]
    assert texts_of(read(b"\xef\xbb\xbftext\tn\r\none\t1\r\n", "tsv")) == ["one"]


@pytest.mark.parametrize("character", ["\u2028", "\x85", "\x0b", "\x0c", "\x1c", "\0", "\r"])
def test_only_a_newline_ends_a_line(character: str) -> None:
    text = f"one{character}two"
    assert texts_of(read(text + "\n", "text")) == [text]
    assert texts_of(read(f"text\tn\n{text}\t1\n", "tsv")) == [text]
    assert texts_of(read(json.dumps({"text": text}, ensure_ascii=False), "jsonl")) == [text]


@pytest.mark.parametrize("format", FORMATS)
def test_a_million_characters_are_one_text(format: Format) -> None:
    text = "x" * 1_000_000
    data = {"text": text, "jsonl": json.dumps({"text": text})}.get(format, f"text\n{text}\n")
    assert texts_of(read(data, format)) == [text]


@pytest.mark.parametrize("format", FORMATS)
def test_bytes_that_are_not_utf8_are_one_bad_record(format: Format) -> None:
    lines = [b"one", b"caf\xe9", b"two"]
    if format == "jsonl":
        lines = [b'{"text": "%s"}' % line for line in lines]
    header = [b"text"] if format in ("csv", "tsv") else []
    records = read(b"\n".join(header + lines), format)
    assert texts_of(records) == ["one", NOT_UNICODE, "two"]
    assert records[1].source == f"stdin:{2 + len(header)}"


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_in_is_nothing_out(format: Format) -> None:
    assert read(b"", format) == read(b"\n \r\n\n", format) == []


# JSONL


def test_all_fields_are_kept() -> None:
    (record,) = read('{"id": [1, null], "text": "a", "n": 1.5, "odd": "\\ud800"}')
    assert isinstance(record, Record)
    assert list(record.fields) == ["id", "text", "n", "odd"]


def test_what_is_wrong_with_a_json_line_is_said() -> None:
    assert reason('{"text": "a"') == "not JSON: Expecting ',' delimiter at column 13"
    assert reason("[1]") == "not a JSON object"
    assert reason('{"text": "a", "x": {"b": 1, "b": 2}}') == "JSON that cannot be read: `b` is there twice"
    assert reason('{"a": 1, "b": 2}') == "no field `text`; found: `a`, `b`; name the right one with `--text-field`"
    assert reason('{"text": null}') == "field `text` is not a string"
    assert reason('{"text": " \\u2028"}') == "field `text` is empty"
    assert "surrogate" in reason('{"text": "\\ud800"}')
    assert "surrogate" in reason('{"text": "a", "pair": "\\udc00"}', pair="pair")
    assert "--pair-field" in reason('{"text": "a"}', pair="question")
    assert "--label-field" in reason('{"text": "a"}', label="gold")


@pytest.mark.parametrize("first", ['{"text": "a", "stars": NaN}', '{"n": ' + "1" * 5_000 + "}"])
def test_a_stream_of_json_stays_one_though_its_first_line_cannot_be_used(first: str) -> None:
    bad, good = read(f'{first}\n{{"text": "b"}}\n')
    assert isinstance(bad, BadRecord)
    assert bad.reason.startswith("JSON that cannot be read")
    assert isinstance(good, Record)
    assert good.text == "b"


def test_absurd_nesting_is_a_bad_record() -> None:
    assert "recursion" in reason('{"text": "a", "x": ' + "[" * 100_000 + "]" * 100_000 + "}")


@pytest.mark.parametrize(
    ("value", "gold"),
    [
        ('"good"', "good"),
        ('["a", "b"]', ("a", "b")),
        ("[]", ()),
        ("3", "3"),
        ("12345678901234567890", "12345678901234567890"),
        ("2.5", "2.5"),
        ("[1, 2]", ("1", "2")),
        ("1.0", "1"),
        ("[true, 1e2]", ("true", "100")),
        ("null", ""),
        ('""', ""),
        ("true", "true"),
        ("false", "false"),
    ],
)
def test_a_label_is_a_string_or_several_written_as_csv_would_have_it(value: str, gold: object) -> None:
    (record,) = read(f'{{"text": "a", "label": {value}}}', label="label")
    assert isinstance(record, Record)
    assert record.gold == gold
    assert type(record.gold) is type(gold)


@pytest.mark.parametrize("value", ["{}", '[""]', "[null]", "[{}]", "[[1]]", "NaN", "1e999", "1" + "0" * 5000])
def test_other_labels_are_bad(value: str) -> None:
    assert reason(f'{{"text": "a", "label": {value}}}', label="label")


# Tables


def test_a_quoted_cell_may_hold_lines_and_the_source_is_the_first_of_them() -> None:
    records = read('\nn,text\n1,"a\n""b"""\n\n2,c\n', "csv")
    assert [(record.source, record.text) for record in records if isinstance(record, Record)] == [
        ("stdin:3", 'a\n"b"'),
        ("stdin:6", "c"),
    ]


def test_tsv_has_no_quotes() -> None:
    (record,) = read('a\tb\tgold\n"x\ty"\t1\n', "tsv", text="a", pair="b", label="gold")
    assert isinstance(record, Record)
    assert (record.text, record.pair, record.gold) == ('"x', 'y"', "1")
    assert record.fields == {"a": '"x', "b": 'y"', "gold": "1"}


@pytest.mark.parametrize(("format", "tab"), [("csv", ","), ("tsv", "\t")])
def test_a_row_of_another_width_is_bad(format: Format, tab: str) -> None:
    records = read(f"text{tab}n\nshort\nlong{tab}1{tab}2\nright{tab}3\n", format)
    assert texts_of(records) == ["1 columns, but the header has 2", "3 columns, but the header has 2", "right"]


@pytest.mark.parametrize("header", ["id,text", '"text";"id"', "label\ttext"])
def test_a_table_in_a_pipe_is_not_taken_for_texts(header: str) -> None:
    with pytest.raises(SqbertError, match="seems to be a table with a column `text`") as caught:
        read(f"{header}\n1,2\n", "auto")
    assert "--input-format" in str(caught.value.hint)
    assert texts_of(read(f"{header}\n", "text")) == [header]
    assert texts_of(read("the text, all of it\n", "auto")) == ["the text, all of it"]


@pytest.mark.parametrize("name", ["films", "films.dat", "films.txt"])
def test_a_table_in_a_file_without_a_telling_name_is_asked_about(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("id,text\n1,a\n")
    if name.endswith(".txt"):
        assert texts_of(list(read_records(tmp_path / name))) == ["id,text", "1,a"]
        return
    with pytest.raises(SqbertError, match="seems to be a table with a column `text`"):
        list(read_records(tmp_path / name))
    (tmp_path / name).write_text("question,context\n1,a\n")
    with pytest.raises(SqbertError, match="seems to be a table with a column `context`") as caught:
        list(read_records(tmp_path / name, fields=QuestionFields()))
    assert caught.value.hint == "say so: `--input-format csv`"


def test_what_looks_like_a_header_further_down_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("one\nspeech, text, video\n")
    assert texts_of(list(read_records(tmp_path / "a.log", start=Mark(1, 4)))) == ["speech, text, video"]


def test_csv_as_spreadsheets_write_it() -> None:
    assert texts_of(read("id,text,,\n1,a,,\n2,b,,c\n,,,\n\n;\n", "csv")) == [
        "a",
        "4 columns, but the header has 2",
        "1 columns, but the header has 2",
    ]
    assert texts_of(read("\ufeffsep=;\r\nid;text\r\n1;a,b\r\n;\r\n", "csv")) == ["a,b"]
    with pytest.raises(SqbertError, match="seem to be divided by tabs") as caught:
        read("id\ttext\n1\ta\n", "csv")
    assert caught.value.hint == "say `--input-format tsv`"


@pytest.mark.parametrize("start", [0, 2])
def test_semicolons_divide_where_the_header_has_them_alone(start: int, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('id;text;n\n1;"good; very, very";0,5\n2;bad;1,5\n')
    place = file.read_bytes().index(b"2;bad") if start else 0
    *_, last = records = list(read_records(file, start=Mark(start, place)))
    assert texts_of(records) == ["good; very, very", "bad"][bool(start) :]
    assert isinstance(last, Record)
    assert last.fields == {"id": "2", "text": "bad", "n": "1,5"}
    assert texts_of(read("text,a;b\nx;y,1\n", "csv")) == ["x;y"]
    assert texts_of(read('"a;x\nb",text\n1,c;d\n', "csv")) == ["c;d"]
    assert texts_of(read('"text; raw"\na;b\n', "csv", text="text; raw")) == ["a;b"]


def test_broken_quotes_and_nul_do_not_end_a_table() -> None:
    records = read('text,n\n"a" b,1\nx\0y,2\nright,3\n"never closed,4\n', "csv")
    assert [isinstance(record, Record) for record in records] == [
        False,
        sys.version_info >= (3, 11),
        True,
        False,
    ]


@pytest.mark.parametrize("role", ["text", "pair", "label"])
def test_a_column_that_is_missing_is_told_at_once_with_those_there_are(role: str) -> None:
    with pytest.raises(SqbertError, match="no field `z`; found: `text`, `b`") as caught:
        read("text,b\n1,2\n", "csv", **{role: "z"})
    assert caught.value.hint == f"name the right one with `--{role}-field`"


@pytest.mark.parametrize("header", [b"text,n,n\n", b'"text\n', b"text,\xff\n"])
def test_a_header_that_loses_something_is_refused(header: bytes) -> None:
    with pytest.raises(SqbertError, match=r"header|same name"):
        read(header + b"a,1,2\n", "csv")


def test_plain_text_has_no_labels() -> None:
    with pytest.raises(SqbertError, match="has no fields"):
        read("one\n", "text", label="gold")


def test_columns_of_conll_have_no_names() -> None:
    with pytest.raises(SqbertError, match="whose fields have no other names"):
        read("one O\n", "conll", pair="b")


# Files


@pytest.mark.parametrize("packed", PACK)
@pytest.mark.parametrize(
    ("ending", "data"),
    [(".txt", b"a\n"), (".ndjson", b'{"text": "a"}'), (".jsonl", b'{"text": "a"}'), (".csv", b"text,n\na,1\n")],
)
def test_the_ending_tells_the_format(packed: str, ending: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"in.put{ending}{packed}"
    path.write_bytes(PACK[packed](data))
    (record,) = read_records(path)
    assert isinstance(record, Record)
    assert record.text == "a"
    assert record.source.startswith(f"{path}:")


@pytest.mark.parametrize("name", ["texts", "texts.txt", "texts.txt.gz", "texts.jsonl.1", "texts.log"])
def test_where_the_ending_tells_nothing_the_first_line_does(name: str, tmp_path: Path) -> None:
    write = gzip.compress if name.endswith(".gz") else bytes
    (tmp_path / name).write_bytes(write(b'\n{"text": "a"}\n'))
    assert texts_of(list(read_records(tmp_path / name))) == ["a"]
    (tmp_path / name).write_bytes(write(b"[Applause] a\n"))
    assert texts_of(list(read_records(tmp_path / name))) == ["[Applause] a"]


@pytest.mark.parametrize("key", ["version", "data", "text"])
def test_an_object_a_line_is_jsonl_whatever_its_first_key(key: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({key: "1", "text": "a"}) + "\n")
    assert texts_of(list(read_records(tmp_path / "a.json"))) == ["a"]


@pytest.mark.parametrize(
    "start", ["{", '{"version": "1.1",', '{"version": "2", "data": [{', '{ "data": [{', '{"data":']
)
def test_what_begins_as_squads_files_do_is_one(start: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(f"{start}\n")
    assert guess_format(tmp_path / "a.json") == "squad"


@pytest.mark.parametrize(
    "data", ['[{"text": "a"}]', "[\n", "{\n", "{'text': 'a'}", '["I loved it", "boring"]', '["one,",\n', "[1, 2]"]
)
def test_json_of_another_form_is_never_taken_for_texts(data: str, tmp_path: Path) -> None:
    with pytest.raises(SqbertError, match="seems to be JSON, but not an object a line") as caught:
        read(data)
    assert "jq" in str(caught.value.hint)
    for name in ("texts", "texts.txt", "texts.json"):
        (tmp_path / name).write_text(data)
        with pytest.raises(SqbertError, match=r"is taken for SQuAD's questions|seems to be JSON"):
            list(read_records(tmp_path / name))
    assert len(read(data, "text")) == 1


def test_what_stands_in_brackets_is_text() -> None:
    assert texts_of(read("[Applause] thanks\n[sic], he said,\n")) == ["[Applause] thanks", "[sic], he said,"]


@pytest.mark.parametrize("mark", UTF16)
@pytest.mark.parametrize("format", ["auto", *FORMATS])
def test_text_of_sixteen_bits_is_told(mark: bytes, format: Format) -> None:
    with pytest.raises(SqbertError, match="`stdin` is UTF-16"):
        read(mark + "text\na\n".encode("utf-16-le"), format)


@pytest.mark.parametrize("start", NO_TEXT)
def test_what_is_no_text_is_refused_at_once(start: bytes, tmp_path: Path) -> None:
    data = start + b"\nabc\n\xff\n"
    with pytest.raises(SqbertError, match="`stdin` is no text, but "):
        read(data)
    (tmp_path / "report").write_bytes(data)
    with pytest.raises(SqbertError, match="report` is no text, but "):
        list(read_records(tmp_path / "report"))


@pytest.mark.parametrize("name", ["texts.tar.gz", "texts.tgz", "texts.zip"])
def test_an_archive_is_no_text(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    with pytest.raises(SqbertError, match="is an archive"):
        list(read_records(tmp_path / name))


def test_standard_input_that_begins_with_an_object_is_jsonl() -> None:
    records = read('\n\n{"text": "a"}\n{"text": "b"}\n')
    assert [(record.source, *texts_of([record])) for record in records] == [("stdin:3", "a"), ("stdin:4", "b")]
    assert texts_of(read("{text: oh\n[1]\n")) == ["{text: oh", "[1]"]


def test_a_first_line_that_is_damaged_does_not_make_texts_of_objects() -> None:
    bad, record = read('{"text": "cut\n{"text": "A joy."}\n')
    assert isinstance(bad, BadRecord)
    assert bad.source == "stdin:1"
    assert texts_of([record]) == ["A joy."]


def test_a_pipe_with_a_name_is_read_as_standard_input_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    writer = Thread(target=(tmp_path / "pipe").write_text, args=('{"text": "a"}\n',))
    writer.start()
    assert texts_of(list(read_records(tmp_path / "pipe"))) == ["a"]
    writer.join()


def test_lines_that_an_open_quote_swallows_are_told() -> None:
    first, bad, last = read('n,text\n1,A\n2,"Flat\n3,Good.\n5,"He said ""no"""\n6,Fine\n', "csv")
    assert isinstance(bad, BadRecord)
    assert bad.source == "stdin:3"
    assert bad.reason.endswith("; lines 3 to 5 are lost")
    assert texts_of([first, last]) == ["A", "Fine"]


@pytest.mark.parametrize("packed", [".gz", ".xz"])
def test_a_file_cut_short_gives_its_lines_and_then_its_name(packed: str, tmp_path: Path) -> None:
    path = tmp_path / f"cut.txt{packed}"
    path.write_bytes(PACK[packed](MANY_LINES)[:-20])
    records = read_records(path)
    assert next(records).source == f"{path}:1"
    with pytest.raises(SqbertError, match=r"cut\.txt.*is damaged"):
        list(records)


@pytest.mark.parametrize("ending", [".gz", ".xz"])
@pytest.mark.parametrize("data", [b"plain", b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xff" * 50])
def test_a_file_that_is_not_what_it_says_is_named(ending: str, data: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"odd{ending}"
    path.write_bytes(data)
    with pytest.raises(SqbertError, match="is damaged"):
        list(read_records(path))


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(SqbertError, match=r"none\.txt` does not exist"):
        list(read_records(tmp_path / "none.txt"))
    with pytest.raises(SqbertError, match="cannot be read: Is a directory"):
        list(read_records(tmp_path))
    with (
        mock.patch.object(Path, "open", side_effect=PermissionError(13, "Permission denied")),
        pytest.raises(SqbertError, match="cannot be read: Permission denied"),
    ):
        list(read_records(tmp_path / "secret.txt"))


def test_an_error_of_the_caller_is_not_told_as_one_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "in.txt"
    path.write_text("a\n")
    with pytest.raises(FileNotFoundError, match="other"):
        list(read_lines(path, on_bytes=mock.Mock(side_effect=FileNotFoundError("other"))))


@pytest.mark.parametrize("packed", PACK)
def test_progress_ends_at_the_size_of_the_file(packed: str, tmp_path: Path) -> None:
    path = tmp_path / f"in.txt{packed}"
    path.write_bytes(PACK[packed](MANY_LINES))
    seen: list[int] = []
    list(read_records(path, on_bytes=seen.append))
    assert seen == sorted(seen)
    assert seen[-1] == path.stat().st_size


# Streams


@pytest.mark.parametrize(("format", "head"), [("auto", ""), ("jsonl", ""), ("csv", "text,n\n"), ("tsv", "text\tn\n")])
def test_a_record_comes_before_the_next_line_is_written(format: Format, head: str) -> None:
    lines = {"csv": '"{}",1\n', "tsv": "{}\t1\n", "jsonl": '{{"text": "{}"}}\n', "auto": "{}\n"}
    code = (
        "from pathlib import Path; from sqbert_cli.text.readers import read_records\n"
        f"for record in read_records(Path('-'), {format!r}): print(record.source, record.text, flush=True)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(head)
        for number in (1, 2, 3):
            process.stdin.write(lines[format].format(number))
            assert process.stdout.readline() == f"stdin:{number + bool(head)} {number}\n"
        process.stdin.close()
        assert process.wait() == 0


def test_endless_input_is_read_no_further_than_asked() -> None:
    with subprocess.Popen(["yes", "a line"], stdout=subprocess.PIPE) as endless:
        assert endless.stdout
        with mock.patch("sys.stdin", endless.stdout):
            records = read_records(STDIN, "text")
            assert [record.source for record in islice(records, 5)] == [f"stdin:{n}" for n in range(1, 6)]
        endless.kill()


def test_a_closed_standard_input_is_said() -> None:
    with mock.patch("sys.stdin", None), pytest.raises(SqbertError, match="standard input is closed"):
        next(read_records(STDIN))


def test_a_json_file_has_one_object_a_line_and_is_never_read_as_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"text": "good"}\n[{"text": "good"},\n')
    record, bad = read_records(tmp_path / "a.json")
    assert isinstance(record, Record)
    assert record.text == "good"
    assert isinstance(bad, BadRecord)

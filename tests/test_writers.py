"""Writing results: what is written can be read again, a line at a time, and no field is lost."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping
from tempfile import TemporaryFile
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqbert_cli.errors import SqbertError
from sqbert_cli.records import Classification, Record
from sqbert_cli.text.fields import has_text
from sqbert_cli.text.files import STDIN
from sqbert_cli.text.readers import read_records
from sqbert_cli.text.results import classification_fields
from sqbert_cli.text.writers import OutputFormat, make_writer
from sqbert_cli.views.classification import show_classification

# The csv module of Python 3.10 reads no NUL
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
tables = st.lists(st.fixed_dictionaries({"text": texts, 'a\t"b"\r\n\\': texts, "c, d": texts}), min_size=1)


def write(format: OutputFormat, *results: Mapping[str, Any]) -> bytes:
    stream = io.BytesIO()
    write_one = make_writer(format, stream)
    for result in results:
        write_one(result)
    return stream.getvalue()


def result(labels: tuple[str, ...], scores: Mapping[str, float], **fields: Any) -> Classification:
    return Classification(Record("a", fields=fields), scores, labels)


# Fields

SCORES = {"good": 0.87654321, "fair": 0.1, "bad": 0.02}


def test_the_best_label_and_its_score_follow_the_fields() -> None:
    fields = classification_fields(result(("good",), SCORES, text="a", id=7))
    assert list(fields.items()) == [("text", "a"), ("id", 7), ("label", "good"), ("score", 0.876543)]


def test_top_k_adds_the_best_scores() -> None:
    fields = classification_fields(result(("good",), SCORES), 2)
    assert list(fields["scores"].items()) == [("good", 0.876543), ("fair", 0.1)]


def test_several_labels_have_their_scores() -> None:
    both = result(("good", "fair"), SCORES)
    assert classification_fields(both, multi_label=True) == {
        "labels": ["good", "fair"],
        "scores": {"good": 0.876543, "fair": 0.1},
    }
    assert list(classification_fields(both, 3, multi_label=True)["scores"]) == ["good", "fair", "bad"]
    assert classification_fields(result((), SCORES), multi_label=True) == {"labels": [], "scores": {}}


def test_what_is_too_deep_to_be_written_is_an_error_of_its_record() -> None:
    deep: list[object] = []
    for _ in range(sys.getrecursionlimit()):
        deep = [deep]
    with pytest.raises(SqbertError, match="too deep"):
        write("jsonl", {"text": "a", "more": deep})


def test_a_regression_has_a_score_alone() -> None:
    assert classification_fields(result((), {"LABEL_0": 2.5}, text="a"), 3) == {"text": "a", "score": 2.5}


def test_several_numbers_have_their_names() -> None:
    numbers = {"valence": 2.5, "arousal": -1.0}
    assert classification_fields(result((), numbers, text="a")) == {"text": "a", "scores": numbers}


@pytest.mark.parametrize(
    ("scores", "multi_label", "shown"),
    [({"spam": 0.12}, True, "-"), ({"n": 2.5}, False, "n  2.500"), ({"n": 2.5, "m": 1.0}, False, "n  2.500 m  1.000")],
)
def test_a_label_that_does_not_hold_is_not_a_number(
    scores: dict[str, float], multi_label: bool, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_classification(result((), scores), None, 1, multi_label=multi_label)
    assert capsys.readouterr().out.replace("a\n", " ").split() == shown.split()


def test_no_field_is_lost_to_a_result_even_when_results_are_classified_again() -> None:
    once = classification_fields(result(("good",), SCORES, label="gold", text="a"))
    assert once == {"input_label": "gold", "text": "a", "label": "good", "score": 0.876543}
    twice = classification_fields(result(("bad",), {"bad": 0.75}, **once))
    assert twice == {
        "input_label": "gold",
        "text": "a",
        "input_input_label": "good",
        "input_score": 0.876543,
        "label": "bad",
        "score": 0.75,
    }


# Formats


@given(
    st.lists(
        st.dictionaries(
            st.text(), st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.none() | st.lists(texts)
        )
    )
)
def test_jsonl_reads_back_the_same_even_halves_of_surrogate_pairs(results: list[dict[str, Any]]) -> None:
    lines = write("jsonl", *results).split(b"\n")
    # JSON joins two halves that stand side by side, as `json.loads` did when they were read
    wanted = [json.loads(json.dumps(result)) for result in results]
    assert [json.loads(line) for line in lines[:-1]] == wanted


def cells(results: list[dict[str, str]]) -> list[list[str]]:
    columns = list(results[0])
    return [columns, *([result[column] for column in columns] for result in results)]


@given(tables)
def test_csv_reads_back_the_same(results: list[dict[str, str]]) -> None:
    file = io.StringIO(write("csv", *results).decode(), newline="")
    assert list(csv.reader(file, strict=True)) == cells(results)


@given(tables)
def test_a_tsv_result_is_always_one_line_and_a_cell_that_needs_no_escape_has_none(
    results: list[dict[str, str]],
) -> None:
    *lines, last = write("tsv", *results).decode().split("\n")
    written = [line.split("\t") for line in lines]
    escaped = [
        [cell.replace("\t", r"\t").replace("\n", r"\n").replace("\r", r"\r") for cell in row] for row in cells(results)
    ]
    assert written == escaped
    assert last == ""


@given(st.lists(texts.filter(has_text), min_size=1), st.sampled_from(["jsonl", "csv"]))
def test_what_is_written_can_be_given_to_the_reader(wanted: list[str], format: OutputFormat) -> None:
    data = write(format, *({"text": text, "score": 0.5} for text in wanted))
    with TemporaryFile() as file, mock.patch("sys.stdin", file):
        file.write(data)
        file.seek(0)
        records = list(read_records(STDIN, format))
    assert [record.text for record in records if isinstance(record, Record)] == wanted


def test_jsonl_is_utf8_and_keeps_odd_values() -> None:
    assert write("jsonl", {"text": "é\u2028", "half": "\ud800", "n": 10**20}).decode() == (
        '{"text": "é\u2028", "half": "\\ud800", "n": 100000000000000000000}\n'
    )


@pytest.mark.parametrize(
    ("format", "wanted"),
    [("csv", 'a,b,c,d\n"{""x"": ""\u00e9""}",[1],,true\n'), ("tsv", 'a\tb\tc\td\n{"x": "\u00e9"}\t[1]\t\ttrue\n')],
)
def test_values_in_a_table_are_json(format: OutputFormat, wanted: str) -> None:
    assert write(format, {"a": {"x": "é"}, "b": [1], "c": None, "d": True}).decode() == wanted


def test_the_order_of_fields_does_not_matter_to_a_table_but_their_names_do() -> None:
    assert write("csv", {"a": 1, "b": 2}, {"b": 4, "a": 3}) == b"a,b\n1,2\n3,4\n"
    with pytest.raises(SqbertError) as caught:
        write("tsv", {"a": 1}, {"a": 1, "b": 2})
    assert caught.value.hint == "use `--format jsonl`"


@pytest.mark.parametrize("format", ["jsonl", "csv", "tsv"])
def test_each_result_is_flushed_whole(format: OutputFormat) -> None:
    stream = mock.Mock()
    write_one = make_writer(format, stream)
    write_one({"a": "1"})
    write_one({"a": "2"})
    assert [call[0] for call in stream.method_calls] == ["write", "flush", "write", "flush"]


def test_a_number_that_json_cannot_hold_is_an_error() -> None:
    with pytest.raises(SqbertError, match="a number that JSON cannot hold"):
        write("jsonl", {"n": float("inf")})


@pytest.mark.parametrize("format", ["csv", "tsv"])
def test_a_table_has_its_header_though_the_first_result_cannot_be_written(format: OutputFormat) -> None:
    stream = io.BytesIO()
    write_one = make_writer(format, stream)
    with pytest.raises(SqbertError):
        write_one({"n": float("inf")})
    write_one({"n": 1})
    assert stream.getvalue() == b"n\n1\n"

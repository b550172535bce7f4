"""Texts in pieces, windows and tags: every character in its place, every token owned once."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqbert_cli.errors import SqbertError
from sqbert_cli.records import BadRecord, Entities, Found, Record, Span, Word
from sqbert_cli.tasks.spans import read_questions
from sqbert_cli.text.conll import conll_lines, word_spans
from sqbert_cli.text.fields import QuestionFields
from sqbert_cli.text.files import NOT_UNICODE, STDIN
from sqbert_cli.text.gold import answer_spans, entity_spans
from sqbert_cli.text.pieces import Pieces, read_pieces, sections, word_bounds
from sqbert_cli.text.readers import read_records
from sqbert_cli.text.tags import broken, is_iob2, span_tags, tag_spans
from sqbert_cli.text.tokenizer import Tokenizer, Window
from sqbert_cli.text.windows import stretches

LABELS = st.sampled_from(["PER", "ORG", "LOC-x"])


@given(st.text())
def test_words_lie_in_the_text_in_order_and_apart(vocabulary: Path, text: str) -> None:
    parts = list(read_pieces(Tokenizer.read(vocabulary), text))
    bounds = word_bounds(parts, text)
    edges = [edge for bound in bounds for edge in bound]
    assert edges == sorted(edges)
    assert all(0 <= start < end <= len(text) for start, end in bounds)
    covered = {place for start, end in bounds for place in range(start, end)}
    assert all(place in covered for place, character in enumerate(text) if character.isalnum() and character.isascii())


@given(st.text(alphabet=st.sampled_from("ab e\u0301\n한é\uff0eİ\u200d")), st.integers(2, 9))
def test_sections_are_the_text(text: str, size: int) -> None:
    parts = list(sections(text, size))
    assert "".join(text[start:end] for start, end in parts) == text
    assert all(end - start <= size for start, end in parts)


def test_a_section_ends_at_white_space_so_that_pieces_stay_the_same(vocabulary: Path) -> None:
    tokenizer = Tokenizer.read(vocabulary)
    text = "the film was really boring " * 3_000
    parts = list(read_pieces(tokenizer, text))
    assert len(parts) > 3
    whole = tokenizer.pieces.encode(text, add_special_tokens=False)
    assert [i for part in parts for i in part.ids] == whole.ids
    assert [o for part in parts for o in part.offsets] == whole.offsets
    assert [w for part in parts for w in part.words] == whole.word_ids


@given(st.lists(st.integers(0, 40), max_size=5), st.integers(2, 12), st.data())
def test_windows_cover_every_piece_once(lengths: list[int], room: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(0, room - 1))
    numbers = iter(range(10_000))
    made = [[next(numbers) for _ in range(length)] for length in lengths]
    parts = [Pieces(ids, [(n, n + 1) for n in ids], list(ids)) for ids in made]
    found = list(stretches(parts, lambda ids: Window([0, *ids], []), 1, room, stride))
    owned = [stretch.pieces.ids[place] for stretch in found for place in stretch.owned]
    assert owned == [n for ids in made for n in ids]
    assert all(len(stretch.pieces) <= room for stretch in found)
    for before, after in itertools.pairwise(found):
        assert before.pieces.ids[len(before.pieces) - stride :] == after.pieces.ids[:stride]


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O I-PER I-PER O", [(1, 3, "PER")]),
        ("I-PER B-PER I-PER", [(0, 1, "PER"), (1, 3, "PER")]),  # IOB1: B- only parts neighbours
        ("B-PER I-PER B-LOC", [(0, 2, "PER"), (2, 3, "LOC")]),
        ("B-PER I-LOC", [(0, 1, "PER"), (1, 2, "LOC")]),
        ("S-PER S-PER B-LOC E-LOC O", [(0, 1, "PER"), (1, 2, "PER"), (2, 4, "LOC")]),
        ("U-PER B-LOC I-LOC L-LOC O", [(0, 1, "PER"), (1, 4, "LOC")]),  # BILOU
        ("PER PER O PER", [(0, 2, "PER"), (3, 4, "PER")]),
        ("", []),
    ],
)
def test_tags_of_any_scheme(tags: str, spans: list[tuple[int, int, str]]) -> None:
    assert tag_spans(tags.split()) == [Span(*span) for span in spans]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3), LABELS), max_size=6))
def test_tags_and_spans_are_the_same_thing(gaps: list[tuple[int, int, str]]) -> None:
    spans, at = [], 0
    for gap, length, label in gaps:
        spans.append(Span(at + gap, at + gap + length, label))
        at += gap + length
    assert tag_spans(span_tags(spans, at)) == spans
    assert broken(span_tags(spans, at)) == []


def test_a_span_that_begins_with_i_in_a_file_of_b_is_told() -> None:
    assert is_iob2(["O", "B-PER", "I-PER"])
    assert not is_iob2(["O", "I-PER", "B-PER"])
    assert broken(["O", "I-PER", "I-PER", "B-LOC", "I-PER"]) == [1, 4]
    assert broken(["E-PER", "B-PER", "E-PER", "I-PER", "S-LOC", "L-LOC", "PER", "PER"]) == [0, 3, 5]


CONLL = "-DOCSTART- -X- O O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\nGerman JJ I-NP I-MISC\n\n\nPeter NNP I-NP I-PER\n"


def test_conll_in_four_columns(tmp_path: Path) -> None:
    file = tmp_path / "a.conll"
    file.write_text(CONLL)
    first, second = (record for record in read_records(file) if isinstance(record, Record))
    assert (first.text, first.source) == ("EU rejects German", f"{file}:3")
    assert first.spans == (Span(0, 2, "ORG"), Span(11, 17, "MISC"))
    assert first.words is not None
    assert first.words[1] == Word(3, 10, "rejects VBZ I-VP O")
    assert (second.text, second.spans) == ("Peter", (Span(0, 5, "PER"),))


def test_conll_in_two_columns_with_tabs_and_windows_line_ends(tmp_path: Path) -> None:
    file = tmp_path / "a.conll"
    file.write_bytes("Zoë\tB-PER\r\nsat\tO\r\n\r\none\r\n".encode())
    first, second = read_records(file)
    assert isinstance(first, Record)
    assert (first.text, first.spans) == ("Zoë sat", (Span(0, 3, "PER"),))
    assert isinstance(second, Record)
    assert (second.text, second.spans) == ("one", None)


@pytest.mark.parametrize(
    ("content", "line", "reason"),
    [
        (b"a O\nb X O\n\nc O\n", 2, "3 columns, but the sentence began with 2"),
        (b"a O\n\xff O\n\nc O\n", 2, NOT_UNICODE),
        (b"\tO\n\nc O\n", 1, "no word in the first column"),
        (b"a B-\n\nc O\n", 1, "no tag in the last column"),
    ],
)
def test_a_bad_line_costs_its_sentence_only(tmp_path: Path, content: bytes, line: int, reason: str) -> None:
    file = tmp_path / "a.conll"
    file.write_bytes(content)
    bad, good = read_records(file)
    assert bad == BadRecord(f"{file}:{line}", reason)
    assert isinstance(good, Record)
    assert good.text == "c"


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ("10\u00a0000 O\nParis B-LOC\n", "10\u00a0000 Paris"),  # a space that does not break is part of its word
        ("Paris B-LOC\n\u00a0 O\n", "Paris \u00a0"),  # or a word
        ("Vitamin\nB-\nis\ngood\n", "Vitamin B- is good"),  # words without tags may look like some
    ],
)
def test_words_are_what_stands_in_the_first_column(columns: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.conll"
    file.write_text(columns)
    (record,) = read_records(file)
    assert isinstance(record, Record)
    assert record.text == text


def test_documents_and_odd_blanks_are_no_words(tmp_path: Path) -> None:
    file = tmp_path / "a.conll"
    file.write_text("EU NNP B-ORG \n-DOCSTART- O\nPeter  NNP\tB-PER\n\t\nAnn\tNNP\tB-PER\n")
    first, second, third = read_records(file)
    assert isinstance(first, Record)
    assert (first.text, first.spans) == ("EU", (Span(0, 2, "ORG"),))
    assert isinstance(third, Record)
    assert third.text == "Ann"
    assert not isinstance(second, Record) or second.text == "Peter  NNP"


def test_conll_out_keeps_the_columns_and_adds_one() -> None:
    words = (Word(0, 2, "EU NNP I-ORG"), Word(3, 10, "rejects VBZ O"))
    result = Entities(Record("EU rejects", words=words), (Found("EU", 0, 2, 0.9, "ORG"),), words)
    assert conll_lines(result) == "EU NNP I-ORG B-ORG\nrejects VBZ O O\n\n"
    tabs = Entities(Record("New York"), (Found("New York", 0, 8, 0.9, "LOC"),), (Word(0, 8, "New York\tO"),))
    assert conll_lines(tabs) == "New York\tO\tB-LOC\n\n"
    plain = Entities(Record("EU rejects"), (Found("EU", 0, 2, 0.9, "ORG"),), (Word(0, 2), Word(3, 10)))
    assert conll_lines(plain) == "EU B-ORG\nrejects O\n\n"


def test_spans_take_the_words_that_they_touch() -> None:
    words = [Word(0, 3), Word(4, 7), Word(8, 9)]
    assert word_spans([Span(5, 9, "B"), Span(0, 2, "A")], words) == [Span(0, 1, "A"), Span(1, 3, "B")]
    assert word_spans([Span(3, 4, "gap")], words) == []


SQUAD = {
    "version": "v2.0",
    "data": [{"title": "t", "paragraphs": [{"context": "Ann met Bob in Rome.", "qas": [
        {"id": "q1", "question": "Who?", "is_impossible": False,
         "answers": [{"text": "Ann", "answer_start": 0}, {"text": "Bob", "answer_start": 8}]},
        {"id": "q2", "question": "Why?", "answers": [], "is_impossible": True},
        {"id": "q3", "question": "Where?", "answers": [{"text": "Rome", "answer_start": 3}]},
        {"id": "q4", "question": "When?", "answers": [{"text": "1900", "answer_start": 3}]},
        {"id": "q5", "question": " ", "answers": []},
    ]}]}],
}  # fmt: skip


@pytest.mark.parametrize("indent", [None, 2])
def test_squad_is_told_from_jsonl(tmp_path: Path, indent: int | None) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(SQUAD, indent=indent))
    first, none, moved, absent, empty = read_records(file, fields=QuestionFields())
    assert isinstance(first, Record)
    assert (first.text, first.pair, first.spans) == ("Ann met Bob in Rome.", "Who?", (Span(0, 3), Span(8, 11)))
    assert first.fields == {"id": "q1", "question": "Who?"}
    assert isinstance(none, Record)
    assert none.spans == ()
    for asked, pair in ((moved, "Where?"), (absent, "When?")):  # a wrong answer keeps nobody from asking
        assert isinstance(asked, Record)
        assert (asked.pair, asked.spans, set(asked.fields)) == (pair, None, {"id", "question"})
    no_question = BadRecord(f"{file}: question q5", "the question is empty, or no text")
    assert empty == no_question
    assert read_questions(file).bad == (
        BadRecord(f"{file}: question q3", "the answer 'Rome': it is not at 3"),
        BadRecord(f"{file}: question q4", "the answer '1900': the context does not have it"),
        no_question,
    )


def test_questions_are_no_texts(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps(SQUAD))
    with pytest.raises(SqbertError, match="is taken for SQuAD's questions"):
        list(read_records(file))


def test_a_json_file_that_is_not_squad_says_so(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"data": [1]}')
    with pytest.raises(SqbertError, match="is not a SQuAD file") as caught:
        list(read_records(file, fields=QuestionFields()))
    assert "--input-format jsonl" in str(caught.value.hint)
    file.write_text('{"text": "a"}\n{"text": "b"}\n')
    assert [record.text for record in read_records(file) if isinstance(record, Record)] == ["a", "b"]
    assert Path("-") == STDIN


@pytest.mark.parametrize(
    ("entities", "reason"),
    [
        ([{"start": 0, "end": 30, "label": "PER"}], "the entity 0-30 is not within the text, which has 7 characters"),
        ([{"start": -1, "end": 3, "label": "PER"}], "the entity -1-3 is not within"),
        ([{"start": 2, "end": 2, "label": "PER"}], "the entity 2-2 is not within"),
        ([{"start": True, "end": 2, "label": "PER"}], "is not within"),
        ([{"start": 0, "end": 3, "label": "PER", "text": "Bob"}], "should be 'Bob', but the text has 'Ann'"),
        ([{"start": 0, "end": 5, "label": "A"}, {"start": 4, "end": 7, "label": "B"}], "two entities overlap: 'Ann s'"),
        ([{"start": 0, "end": 3}], "is not {"),
        ({"start": 0}, "the entities are not a list"),
    ],
)
def test_gold_entities_that_cannot_be(entities: object, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        entity_spans(entities, "Ann sat")


@pytest.mark.parametrize(
    ("answers", "spans"),
    [
        (None, ()),
        ("", ()),
        ([], ()),
        ("sat", (Span(4, 7),)),
        ([{"text": "Ann", "start": 0}], (Span(0, 3),)),
        ({"text": ["sat", "Ann"], "answer_start": [4, 0]}, (Span(4, 7), Span(0, 3))),
        (["Ann"], (Span(0, 3),)),
    ],
)
def test_gold_answers_in_every_spelling(answers: object, spans: tuple[Span, ...]) -> None:
    assert answer_spans(answers, "Ann sat") == spans


@pytest.mark.parametrize(
    "answers",
    [
        5,
        [{"text": ""}],
        [7],
        {"text": "a"},
        ["x"],
        "a",
        [{"text": "a", "answer_start": 1}],
        {"text": ["a"], "answer_start": []},
    ],
)
def test_gold_answers_that_cannot_be(answers: object) -> None:
    with pytest.raises(ValueError, match=r"answer"):
        answer_spans(answers, "a cat sat")

"""`sqbert qa`: answers in their places, from contexts of any length."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sqbert_cli import find_answers
from sqbert_cli.checkpoint import Checkpoint, read_checkpoint
from sqbert_cli.records import Answers, BadRecord, Found, Record, Span
from sqbert_cli.tasks.answers import NO_ANSWER, best_answers, chance_of_none, window_answers, window_target
from sqbert_cli.tasks.span_metrics import exact_match, f1_v1, f1_v2, normalized, score_answers
from sqbert_cli.text.fields import has_text
from sqbert_cli.text.pieces import Pieces
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.text.windows import Stretch
from sqbert_cli.views.answers import around
from tests.conftest import run_sqbert
from tests.test_ner import checkpoint_of

CONTEXT = "I loved the film, it was a great film! A boring one? Awful."


def answer(checkpoint: Checkpoint, context: str, question: str = "a film ?", **options: object) -> Answers:
    (result,) = find_answers(checkpoint, [Record(context, question)], **options)  # type: ignore[arg-type]
    assert isinstance(result, Answers)
    return result


@settings(max_examples=60)
@given(st.text(max_size=300).filter(has_text))
def test_answers_are_parts_of_any_context(many_heads: Path, context: str) -> None:
    result = answer(checkpoint_of(many_heads), context, no_answer_threshold=1.0, top_k=3)
    for found in result.answers:
        assert found.text == context[found.start : found.end] != ""
        assert 0 < found.score <= 1
    taken = sorted((found.start, found.end) for found in result.answers)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(taken))
    assert [found.score for found in result.answers] == sorted((found.score for found in result.answers), reverse=True)


def stretch(pieces: int, words: list[int] | None = None, owned: range | None = None) -> Stretch:
    """A row [CLS] q [SEP] pieces [SEP], each piece of two characters and a space."""
    offsets = [(3 * n, 3 * n + 2) for n in range(pieces)]
    some = Pieces(list(range(pieces)), offsets, words or list(range(pieces)))
    return Stretch(Window([0] * (pieces + 4), []), 3, some, owned or range(pieces))


def logits(length: int, start: dict[int, float], end: dict[int, float]) -> torch.Tensor:
    table = torch.full((length, 2), -20.0)
    for column, values in enumerate((start, end)):
        for place, value in values.items():
            table[place, column] = value
    return table


def test_the_best_span_of_a_table_of_numbers() -> None:
    spans, nothing = window_answers(stretch(4), logits(8, {0: 1.0, 3: 3.0, 5: 2.0}, {0: 1.0, 4: 3.0, 3: 1.0}), 30)
    assert spans[0][1:] == (0, 5)
    start = torch.tensor([1.0, 3.0, 2.0]).softmax(0)
    end = torch.tensor([1.0, 3.0, 1.0]).softmax(0)
    assert spans[0][0] == pytest.approx(float(start[1] * end[1]), rel=1e-4)
    assert nothing == pytest.approx(float(start[0] * end[0]), rel=1e-4)
    assert all(left < right for _, left, right in spans)  # the end at 3 and the start at 5 are no span


def test_the_best_spans_of_a_window_are_those_that_a_slow_search_finds() -> None:
    table = torch.randn(64, 2, generator=torch.Generator().manual_seed(0)) * 2
    spans, _ = window_answers(stretch(60), table, 4)
    start, end = table.softmax(0).T
    pairs = sorted((float(start[a + 3] * end[b + 3]), a, b) for a in range(60) for b in range(a, min(60, a + 4)))
    slow: list[tuple[int, int]] = []
    for _, a, b in reversed(pairs):
        if len(slow) < 20 and all(b < first or a > last for first, last in slow):
            slow.append((a, b))
    assert [(left // 3, right // 3) for _, left, right in spans] == slow
    assert len(slow) == 20


def test_an_answer_has_no_more_words_than_wanted() -> None:
    table = logits(8, {3: 3.0}, {3: 1.0, 4: 2.0, 6: 3.0})
    assert [window_answers(stretch(4), table, words)[0][0][1:] for words in (4, 3, 1)] == [(0, 11), (0, 5), (0, 2)]


def test_an_answer_cuts_no_word() -> None:
    table = logits(8, {4: 3.0, 3: 1.0}, {3: 3.0, 4: 1.0, 5: 0.0})
    one_word = stretch(4, words=[0, 0, 1, 2])
    assert window_answers(one_word, table, 30)[0][0][1:] == (0, 5)
    within = replace(one_word, is_first=False, is_last=False)  # of a longer text
    assert all(start >= 6 and end <= 8 for _, start, end in window_answers(within, table, 30)[0])


def test_answers_do_not_overlap() -> None:
    context = "Ann met Bob in Rome"
    spans = [(0.5, 0, 3), (0.4, 0, 11), (0.3, 8, 11), (0.2, 15, 19)]
    assert [found.text for found in best_answers(context, spans, 2)] == ["Ann", "Bob"]
    assert [found.text for found in best_answers(context, spans, 9)] == ["Ann", "Bob", "Rome"]
    assert (chance_of_none(0.3, 0.1), chance_of_none(0.0, 0.0)) == (pytest.approx(0.25), 1.0)


def test_a_window_learns_the_answer_that_is_wholly_in_it() -> None:
    one = stretch(4)
    assert window_target(one, [Span(3, 8)]) == (4, 5)
    assert window_target(one, [Span(4, 8)]) == (4, 5)  # a part of a piece is learnt as the piece
    assert window_target(replace(one, is_last=False), [Span(9, 40), Span(0, 2)]) == (3, 3)
    assert window_target(one, [Span(2, 6)]) == (4, 4)  # a space belongs to no piece
    assert window_target(replace(one, is_first=False), [Span(0, 5)]) == (3, 4)
    later = replace(one, pieces=one.pieces[1:], is_first=False)
    assert window_target(later, [Span(0, 5)]) == NO_ANSWER  # it began before
    assert window_target(one, []) == NO_ANSWER


class TestAModelThatKnows:
    """Its answer is the word `great`, wherever it stands, by the numbers we give it."""

    @pytest.fixture
    def checkpoint(self, many_heads: Path) -> Checkpoint:
        checkpoint = read_checkpoint(many_heads)
        great = checkpoint.tokenizer.pieces.token_to_id("great")
        network = checkpoint.network
        with torch.no_grad():
            encoder = network.transformer
            for name, parameter in encoder.named_parameters():
                parameter.fill_(float("layernorm.weight" in name.lower()))
            encoder.embeddings.word_embeddings.weight[:, 0] = -1.0
            encoder.embeddings.word_embeddings.weight[great, 0] = 30.0
            encoder.embeddings.word_embeddings.weight[checkpoint.tokenizer.cls_id, 0] = 0.5
            encoder.embeddings.word_embeddings.weight[:, 1] = (
                torch.arange(len(encoder.embeddings.word_embeddings.weight)) % 3
            )
            head = network.heads["answers"].qa_outputs  # type: ignore[union-attr]
            head.weight.zero_()  # type: ignore[union-attr,operator]
            head.weight[:, 0] = 3.0  # type: ignore[index]
            head.bias.zero_()  # type: ignore[union-attr,operator]
        return checkpoint

    def test_it_finds_the_word_in_so_many_characters(self, checkpoint: Checkpoint) -> None:
        draw = random.Random(0)
        words = draw.choices(["the", "film", "was", "not", "bad", "and", "it", "a", "boring", "one"], k=40_000)
        words[20_000] = "great"
        context = " ".join(words)
        assert len(context) > 150_000
        result = answer(checkpoint, context)
        assert [found.text for found in result.answers] == ["great"]
        assert result.answers[0].start == len(" ".join(words[:20_000])) + 1
        assert result.windows > 1_400

    def test_memory_does_not_grow_with_the_context(self, checkpoint: Checkpoint) -> None:
        peaks = []
        for count in (1_000, 8_000):
            context = "the film was bad and " * count + "great"
            tracemalloc.start()
            assert answer(checkpoint, context).answers
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
        assert peaks[1] < peaks[0] * 1.5 + 1_000_000

    def test_no_answer_is_said_where_there_is_none(self, checkpoint: Checkpoint) -> None:
        assert answer(checkpoint, "it was great").no_answer < 0.5
        none = answer(checkpoint, "the film was bad " * 20)
        assert none.answers == ()
        assert none.no_answer > 0.5
        assert answer(checkpoint, "the film was bad " * 20, no_answer_threshold=1.0).answers


def test_questions_typed_with_a_context_in_a_file(many_heads: Path, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(CONTEXT)
    ran = run_sqbert("qa", "a film ?", "--question", "it ?", "--context", tmp_path / "a.txt", "--model", many_heads,
                     "--no-answer-threshold", "1", "--top-k", "2")  # fmt: skip
    assert (ran.status, ran.err) == (0, "")
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert [line["question"] for line in lines] == ["a film ?", "it ?"]
    for line in lines:
        assert line["answer"] == CONTEXT[line["start"] : line["end"]] == line["answers"][0]["text"]
        assert list(line) == ["question", "answer", "start", "end", "score", "no_answer", "answers"]
    piped = run_sqbert("qa", "a film ?", "--model", many_heads, "--no-answer-threshold", "1", stdin=CONTEXT)
    assert json.loads(piped.out)["answer"] == lines[0]["answer"]
    record = json.dumps({"question": "a film ?", "context": CONTEXT})
    best = run_sqbert("qa", "-", "--model", many_heads, "--no-answer-threshold", "1", "--top-k", "1", stdin=record)
    assert [one["text"] for one in json.loads(best.out)["answers"]] == [lines[0]["answer"]]


def test_bad_questions_cost_themselves_only(many_heads: Path) -> None:
    good = {"id": 1, "question": "a ?", "context": CONTEXT}
    rows = [good, {"question": "a ?", "context": " "}, {"question": "a " * 40, "context": CONTEXT}, {"question": "a"}]
    ran = run_sqbert("qa", "--model", many_heads, "--no-answer-threshold", "0",
                     stdin="\n".join(map(json.dumps, rows)))  # fmt: skip
    assert ran.status == 1
    (line,) = map(json.loads, ran.out.splitlines())
    assert (line["id"], line["answer"], line["start"], line["score"]) == (1, None, None, None)
    assert 0 < line["no_answer"] <= 1
    assert "stdin:2: field `context` is empty" in ran.err
    assert "stdin:3: the question has 40 tokens, more than half of the model's window: at most 14" in ran.err
    assert "stdin:4: no field `context`; found: `question`; name the right one with `--context-field`" in ran.err
    assert "3 lines were skipped" in ran.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--context", "a.txt"], "--context goes with a question"),
        (["who ?", "--input", "a.txt"], "give questions or --input, not both"),
        (["who ?", "--context", "none.txt"], "does not exist"),
        (["who ?", "--context", "empty.txt"], "`empty.txt` is empty"),
        (["who ?", "--context", "binary.txt"], "`binary.txt` is not UTF-8"),
        ([" ", "--context", "a.txt"], "the question is empty"),
        (["--input", "a.conll"], "`a.conll` has CoNLL's columns, which hold no questions"),
    ],
)
def test_what_cannot_be_asked(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "a.conll").write_text("Rome B-LOC\n")
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xff")
    ran = run_sqbert("qa", *arguments, cwd=tmp_path)
    assert ran.status in (1, 2)
    assert message in " ".join(ran.err.replace("│", " ").split())


def test_a_squad_file_gives_the_official_prediction_file(many_heads: Path, tmp_path: Path) -> None:
    paragraph = {"context": CONTEXT, "qas": [{"id": "q1", "question": "a ?"}, {"id": "q2", "question": "it ?"}]}
    (tmp_path / "dev.json").write_text(json.dumps({"version": "1.1", "data": [{"paragraphs": [paragraph]}]}))
    ran = run_sqbert("qa", "--model", many_heads, "--input", tmp_path / "dev.json", "--format", "squad",
                     "--no-answer-threshold", "1")  # fmt: skip
    predictions = json.loads(ran.out)
    assert list(predictions) == ["q1", "q2"]
    assert all(text and text in CONTEXT for text in predictions.values())


def test_an_odd_paragraph_costs_no_other(many_heads: Path, tmp_path: Path) -> None:
    some = [{"context": CONTEXT, "qas": [{"id": "q1", "question": "a ?"}]}, {"context": "A heading"}, None]
    last = {
        "paragraphs": [
            {"context": CONTEXT, "qas": []},
            {"context": CONTEXT, "qas": [{"id": "q2", "question": "it ?"}, 3]},
        ]
    }
    (tmp_path / "dev.json").write_text(json.dumps({"data": [{"paragraphs": some}, {"title": "x"}, last]}))
    ran = run_sqbert("qa", "--model", many_heads, "--input", tmp_path / "dev.json", "--format", "squad")
    assert (ran.status, list(json.loads(ran.out))) == (1, ["q1", "q2"])
    for place in ("article 1, paragraph 2", "article 1, paragraph 3", "article 2", "question ?"):
        assert f"dev.json: {place}: " in ran.err
    assert "4 lines were skipped" in ran.err


def test_what_was_answered_before_the_file_broke_off_is_in_the_predictions(many_heads: Path, tmp_path: Path) -> None:
    row = json.dumps({"id": "q", "question": "a ?", "context": CONTEXT})
    packed = gzip.compress("\n".join(row.replace('"q"', f'"{n}"') for n in range(2_000)).encode())
    (tmp_path / "a.jsonl.gz").write_bytes(packed[: len(packed) // 2])
    ran = run_sqbert("qa", "--model", many_heads, "--input", tmp_path / "a.jsonl.gz", "--format", "squad")
    assert ran.status == 1
    assert len(json.loads(ran.out)) > 10


@pytest.mark.parametrize(
    ("piped", "said"),
    [
        ('{\n "version": "2.0",\n', "say so: `--input-format squad`"),
        ('{"version": "2.0", "data": []}', "say so: `--input-format squad`"),
        ('[{"question": "a", "context": "b"}]', "not an object a line"),
        ("who?\n", "is taken for plain text"),
    ],
)
def test_a_pipe_of_something_else_is_told_once(many_heads: Path, piped: str, said: str) -> None:
    ran = run_sqbert("qa", "--model", many_heads, stdin=piped)
    assert (ran.status, ran.out) == (1, "")
    assert said in " ".join(ran.err.split())
    assert ran.err.count("error:") == 1


def test_a_pipe_that_is_empty_or_begins_in_a_line_is_read(many_heads: Path) -> None:
    ran = run_sqbert("qa", "--model", many_heads, stdin="\n")
    assert (ran.status, ran.out, ran.err) == (0, "", "")
    row = {"data": [1], "question": "a ?", "context": CONTEXT}
    for first, bad in ((json.dumps(row), 0), (json.dumps(row)[40:], 1)):
        ran = run_sqbert("qa", "--model", many_heads, stdin=f"{first}\n{json.dumps(row)}\n")
        assert (ran.status, len(ran.out.splitlines())) == (bad, 2 - bad), ran.err


def test_a_terminal_sees_the_answer_in_its_sentence(many_heads: Path) -> None:
    ran = run_sqbert("qa", "it ?", "--model", many_heads, "--format", "table", "--no-answer-threshold", "1",
                     stdin=CONTEXT)  # fmt: skip
    question, line = ran.out.splitlines()
    assert question == "it ?"
    assert "[" in line
    none = run_sqbert("qa", "it ?", "--model", many_heads, "--format", "table", "--no-answer-threshold", "0",
                      stdin=CONTEXT)  # fmt: skip
    assert "no answer" in none.out


def test_the_sentence_of_an_answer() -> None:
    context = "It rained. He said: “Ann met Bob.” Then (in Rome) they left."
    start = context.index("Bob")
    assert around(context, Found("Bob", start, start + 3, 1.0)) == ("He said: “Ann met ", ".”")


# From the rules of the official scripts (v1.1 and v2.0), worked out by hand.
@pytest.mark.parametrize(
    ("found", "gold", "exact", "v1", "v2"),
    [
        ("The cat", "cat!", 1, 1, 1),
        ("a black cat", "the cat", 0, 2 / 3, 2 / 3),
        ("cat cat", "cat", 0, 2 / 3, 2 / 3),
        ("dog", "cat", 0, 0, 0),
        ("", "cat", 0, 0, 0),
        ("the", "a", 1, 0, 1),
        ("U.S.", "us", 1, 1, 1),
        ("\u20135", "-5", 0, 0, 0),  # a dash is no ASCII punctuation
    ],
)
def test_exact_match_and_f1(found: str, gold: str, exact: float, v1: float, v2: float) -> None:
    assert exact_match(found, gold) == exact
    assert f1_v1(found, gold) == pytest.approx(v1)
    assert f1_v2(found, gold) == pytest.approx(v2)


def random_results(none: bool) -> list[Answers]:
    """Guesses and gold answers that have words: what has none is in the table above (implementations differ there)."""
    draw = random.Random(1)
    results = []
    for number in range(300):
        context = " ".join(
            draw.choices(
                ["the", "a", "cat", "sat", "on", "mat", ",", "Dog's", "3.5", "(Rome)", "in", "1990", "—", "café"], k=12
            )
        )

        def span(context: str = context) -> Span:
            while True:
                start = draw.randrange(len(context) - 5)
                end = draw.randint(start + 1, len(context))
                if normalized(context[start:end]):
                    return Span(start, end)

        spans = tuple(span() for _ in range(0 if none and number % 3 == 0 else draw.randint(1, 3)))
        guess = draw.choice(spans) if spans and draw.random() < 0.3 else span()
        found = (Found(context[guess.start : guess.end], guess.start, guess.end, 0.5),)
        record = Record(context, "?", spans=spans, fields={"id": str(number)})
        results.append(Answers(record, () if none and draw.random() < 0.4 else found, 0.5))
    return results


def test_the_scores_are_those_of_another_implementation_of_squad() -> None:
    from torchmetrics.functional.text import squad

    results = random_results(none=False)
    predictions = [
        {"prediction_text": r.answers[0].text if r.answers else "", "id": r.record.fields["id"]} for r in results
    ]
    gold = [
        {
            "answers": {"text": [r.record.text[s.start : s.end] for s in r.record.spans or ()], "answer_start": [0]},
            "id": r.record.fields["id"],
        }
        for r in results
    ]
    theirs = squad(predictions, gold)
    ours = score_answers(results).metrics
    assert ours["exact_match"] * 100 == pytest.approx(float(theirs["exact_match"]), abs=1e-4)
    assert ours["f1"] * 100 == pytest.approx(float(theirs["f1"]), abs=1e-4)
    assert 0.1 < ours["exact_match"] < ours["f1"] < 0.9


def test_questions_without_an_answer_are_scored_as_in_version_2() -> None:
    scores = score_answers(random_results(none=True)).metrics
    assert set(scores) == {"f1", "exact_match", "has_answer_f1", "has_answer_exact_match", "no_answer_accuracy"}
    right = Answers(Record("a b", "?", spans=()), (), 0.9)
    wrong = Answers(Record("a b", "?", spans=()), (Found("b", 2, 3, 0.9),), 0.1)
    assert score_answers([right, wrong]).metrics == {"f1": 0.5, "exact_match": 0.5, "no_answer_accuracy": 0.5}


def test_a_stride_that_leaves_no_room_beside_a_long_question(many_heads: Path) -> None:
    records = [Record(CONTEXT * 9, "a"), Record(CONTEXT * 9, "a " * 14), Record(CONTEXT), Record(CONTEXT, "a")]
    found = list(find_answers(checkpoint_of(many_heads), records, stride=20))
    assert [isinstance(result, Answers) for result in found] == [True, True, False, True]
    assert found[2] == BadRecord("the question", "no question")
    short, long, *_ = (result.windows for result in found if isinstance(result, Answers))
    assert short <= long < 3 * short  # a window goes on by half of its room at least


def test_many_answers_are_many_where_there_are(many_heads: Path) -> None:
    result = answer(checkpoint_of(many_heads), "a b c d e f g h i j k l m n o p", top_k=8, no_answer_threshold=1.0,
                    max_answer_words=1)  # fmt: skip
    assert len(result.answers) == 8


def test_predictions_without_an_id_are_told_and_cost_no_others(many_heads: Path) -> None:
    rows = [{"question": "a ?", "context": CONTEXT} | more for more in ({"id": "1"}, {}, {"id": "1"}, {"id": 2})]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    ran = run_sqbert("qa", "--model", many_heads, "--format", "squad", stdin=lines)
    assert ran.status == 1
    assert list(json.loads(ran.out)) == ["1", "2"]
    assert "stdin:2 has no `id`" in ran.err
    assert "stdin:3 has the `id` '1' of another" in ran.err
    assert "2 lines were skipped" in ran.err


def test_records_that_are_bad_pass_through(many_heads: Path) -> None:
    bad = BadRecord("f:1", "no")
    results = list(find_answers(checkpoint_of(many_heads), [bad, Record(CONTEXT, "a ?"), bad]))
    assert [isinstance(result, Answers) for result in results] == [False, True, False]

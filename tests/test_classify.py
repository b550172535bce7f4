"""`sqbert classify` as a user types it: every input, every output."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.cells import cell_len
from safetensors.torch import load_file, save_file

from sqbert_cli import classify, load
from sqbert_cli.cli import boundary
from sqbert_cli.errors import SqbertError
from sqbert_cli.records import BadRecord, Classification, Record
from sqbert_cli.text.pieces import read_ids, sections
from tests.conftest import run_sqbert
from tests.streams import many, piped

TEXTS = ["a good film", "it was awful", "i loved it !"]


def jsonl(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def expected(tiny_model: Path) -> list[tuple[str, float]]:
    """Label and score of `TEXTS` through the Python API."""
    results = [result for result in classify(load(str(tiny_model)), TEXTS) if isinstance(result, Classification)]
    return [(result.labels[0], round(result.scores[result.labels[0]], 6)) for result in results]


def answers(out: str) -> list[tuple[str, float]]:
    return [(str(row["label"]), row["score"]) for row in jsonl(out)]  # type: ignore[misc]


def test_typed_texts_and_every_kind_of_file_say_the_same(
    tiny_model: Path, expected: list[tuple[str, float]], tmp_path: Path
) -> None:
    files = {
        "lines.txt": "\n".join(TEXTS),
        "records.jsonl": "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(TEXTS)),
        "table.csv": "id,text\n" + "".join(f'{i},"{text}"\n' for i, text in enumerate(TEXTS)),
        "table.tsv": "id\ttext\n" + "".join(f"{i}\t{text}\n" for i, text in enumerate(TEXTS)),
    }
    typed = run_sqbert("classify", *TEXTS, "--model", tiny_model)
    assert (typed.status, typed.err) == (0, "")
    assert answers(typed.out) == expected
    for name, content in files.items():
        (tmp_path / name).write_text(content)
        ran = run_sqbert("classify", "--input", tmp_path / name, "--model", tiny_model)
        assert answers(ran.out) == expected, name
        assert name == "lines.txt" or [str(row["id"]) for row in jsonl(ran.out)] == ["0", "1", "2"]


def test_a_pipe_of_records_is_told_by_its_first_line(tiny_model: Path, expected: list[tuple[str, float]]) -> None:
    lines = "\n".join(json.dumps({"text": text, "label": "gold"}) for text in TEXTS)
    ran = run_sqbert("classify", "--model", tiny_model, stdin=lines)
    assert answers(ran.out) == expected
    assert {row["input_label"] for row in jsonl(ran.out)} == {"gold"}
    ran = run_sqbert("classify", "-", "--model", tiny_model, stdin="\n".join(TEXTS))
    assert answers(ran.out) == expected


def test_bad_lines_are_reported_skipped_and_counted(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "reviews.jsonl"
    file.write_bytes(
        b'{"text": "good"}\n{"text": 3}\nnot json\n\n{"text": "b\xffd"}\n[1]\n{"text": " "}\n{"text": "bad"}\n'
    )
    ran = run_sqbert("classify", "--input", file, "--model", tiny_model)
    assert ran.status == 1
    assert [row["text"] for row in jsonl(ran.out)] == ["good", "bad"]
    errors = [line for line in ran.err.splitlines() if line.startswith("error:")]
    assert [line.split(":")[2] for line in errors[:-1]] == ["2", "3", "5", "6", "7"]
    assert all(str(file) in line for line in errors[:-1])
    assert errors[-1] == "error: 5 lines were skipped"


def test_a_field_that_no_line_has_is_not_told_a_million_times(tiny_model: Path) -> None:
    lines = '{"review": "good"}\n' * 500
    ran = run_sqbert("classify", "--model", tiny_model, stdin=lines)
    *each, last = ran.err.splitlines()
    assert (ran.status, ran.out, len(each)) == (1, "", 100)
    assert "found: `review`; name the right one with `--text-field`" in each[-1]
    assert last == "error: the first 100 lines are all like this: not read on"
    ran = run_sqbert("classify", "--model", tiny_model, stdin='{"text": "good"}\n' + lines)
    assert (ran.status, len(jsonl(ran.out))) == (1, 1)
    assert "500 lines were skipped" in ran.err


def test_on_error_fail_stops_at_the_first(tiny_model: Path) -> None:
    lines = '{"text": "good"}\noops\n{"text": "bad"}\n'
    ran = run_sqbert("classify", "--model", tiny_model, "--on-error", "fail", stdin=lines)
    assert ran.status == 1
    assert [row["text"] for row in jsonl(ran.out)] == ["good"]
    assert ran.err.startswith("error: stdin:2: ")


def test_outputs_of_all_formats_hold_the_same(tiny_model: Path, expected: list[tuple[str, float]]) -> None:
    for name, delimiter in (("csv", ","), ("tsv", "\t")):
        ran = run_sqbert("classify", *TEXTS, "--model", tiny_model, "--format", name)
        rows = list(csv.DictReader(io.StringIO(ran.out), delimiter=delimiter))
        assert [(row["label"], float(row["score"])) for row in rows] == expected
    ran = run_sqbert("classify", *TEXTS, "--model", tiny_model, "--format", "table")
    for line, (label, score), text in zip(ran.out.splitlines(), expected, TEXTS, strict=True):
        assert line.split()[:2] == [label, f"{score:.3f}"]
        assert line.endswith(text)


def test_all_scores_and_top_k(make_model: Callable[..., Path]) -> None:
    model = make_model(("a", "b", "c"))
    (row,) = jsonl(run_sqbert("classify", "good", "--model", model, "--all-scores").out)
    scores = row["scores"]
    assert isinstance(scores, dict)
    assert set(scores) == {"a", "b", "c"}
    assert sum(scores.values()) == pytest.approx(1, abs=1e-5)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)
    (row,) = jsonl(run_sqbert("classify", "good", "--model", model, "--top-k", "2").out)
    assert row["scores"] == dict(list(scores.items())[:2])


def test_a_table_of_several_labels_shows_each_that_holds(make_model: Callable[..., Path]) -> None:
    several = make_model(("a", "b", "c"), problem_type="multi_label_classification")
    arguments = ("classify", "good", "--model", several, "--format", "table", "--threshold")
    assert sorted(line.split()[0] for line in run_sqbert(*arguments, "0").out.splitlines()) == ["a", "b", "c"]
    assert run_sqbert(*arguments, "1").out.split() == ["-", "good"]


def test_a_record_that_does_not_fit_a_table_is_reported_and_skipped(tiny_model: Path) -> None:
    lines = '{"text": "good"}\n{"text": "bad", "id": 7}\n{"text": "fun"}\n'
    ran = run_sqbert("classify", "--model", tiny_model, "--format", "csv", stdin=lines)
    assert ran.status == 1
    assert [row["text"] for row in csv.DictReader(io.StringIO(ran.out))] == ["good", "fun"]
    assert "error: stdin:2: no column for `id`" in ran.err


def test_long_texts_beyond_ascii_are_texts_and_no_file_names(tiny_model: Path) -> None:
    ran = run_sqbert("classify", "очень " * 40, "--model", tiny_model)
    assert (ran.status, ran.err) == (0, "")


def test_multi_label_regression_and_pairs(make_model: Callable[..., Path]) -> None:
    several = make_model(("a", "b", "c"), problem_type="multi_label_classification")
    (row,) = jsonl(run_sqbert("classify", "good", "--model", several, "--threshold", "0").out)
    assert sorted(row["labels"]) == ["a", "b", "c"]  # type: ignore[type-var]
    (row,) = jsonl(run_sqbert("classify", "good", "--model", several, "--threshold", "1").out)
    assert (row["labels"], row["scores"]) == ([], {})
    number = make_model(("score",), problem_type="regression")
    (row,) = jsonl(run_sqbert("classify", "good film", "--pair", "bad film", "--model", number).out)
    assert row.keys() == {"text", "pair", "score"}
    lines = '{"text": "good film", "other": "bad film"}'
    (same,) = jsonl(run_sqbert("classify", "--pair-field", "other", "--model", number, stdin=lines).out)
    assert same["score"] == row["score"]
    ran = run_sqbert("classify", "good", "--model", number, "--multi-label")
    assert ran.status == 1
    assert "predicts a number, not labels" in ran.err
    ran = run_sqbert("classify", "good", "--model", number, "--top-k", "1")
    assert "predicts numbers, all of which are told" in ran.err


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["classify", ""], 1, "the text is empty"),
        (["classify", "a", "--input", __file__], 2, "not both"),
        (["classify", "-", "--input", __file__], 2, "not both"),
        (["classify", "a", "--model", __file__], 1, "is a file, not a model"),
        (["embed", "a", "--format", "csv", "--output", "a.npy"], 2, "--format csv goes without"),
        (["classify", "--input", "nowhere.txt"], 2, "file 'nowhere.txt' does not exist"),
        (["classify", "a", "--model", "no/such/model"], 1, "no model `no/such/model`"),
        (["classify", "a", "--model", "some/model"], 1, "is not downloaded, and the network is not to be used"),
        (["classify", "a", "--device", "tpu"], 2, "tpu"),
        (["classify", "a", "--device", "cuda"], 1, "device `cuda` is not available here"),
        (["classify", "a", "--top-k", "0"], 2, "top-k"),
        (["qa", "-", "--input", __file__], 2, "not both"),
        (["qa", "a", "--context", __file__, "--stride", "0"], 2, "would cut answers in two"),
        (["classify", "a", "--top-k", "2", "--all-scores"], 2, "exclude one another"),
        (["classify", "a", "--labels-file", __file__, "--labels-file", __file__], 2, "is given twice"),
        (["classify", "a", "--labels", "b,c", "--template", ""], 2, "--template holds {} once"),
        (["qa", "a", "--context", __file__, "--format", "squad", "--top-k", "2"], 2, "leave out --top-k"),
        (["evaluate", "--task", "ner", "--input", __file__, "--pair-field", "b"], 2, "leave out --pair-field"),
        (["finetune", "--multi", "sst2=glue", "--input-format", "csv", "--output", "x"], 2, "know their own format"),
        (["classify", "a", "--text-field", "b"], 2, "go with files"),
        (["clasify", "a"], 2, "classify"),
        (["evaluate"], 2, "give --task, --input or both"),
        (["finetune", "--output", "x", "--train", "nowhere.csv"], 2, "file 'nowhere.csv' does not exist"),
    ],
)
def test_what_the_user_can_mend_is_said_without_a_traceback(arguments: list[str], status: int, said: str) -> None:
    ran = run_sqbert(*arguments)
    assert (ran.status, ran.out) == (status, "")
    assert said in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "said", ["MPS backend out of memory (MPS allocated: 1 GB)", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"]
)
def test_a_full_memory_is_no_traceback(said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit), boundary():
        raise RuntimeError(said)
    assert f"error: no room in memory: {said}" in capsys.readouterr().err
    with pytest.raises(RuntimeError, match="a bug"), boundary():
        raise RuntimeError("a bug")


def test_a_dash_is_standard_input(tiny_model: Path) -> None:
    for arguments in (["-"], ["--input", "-"]):
        ran = run_sqbert("classify", *arguments, "--model", tiny_model, stdin="good\n")
        assert [row["text"] for row in jsonl(ran.out)] == ["good"]
    labelled = '{"text": "good", "label": "positive"}\n'
    ran = run_sqbert("evaluate", "--input", "-", "--input-format", "jsonl", "--model", tiny_model, stdin=labelled)
    assert list(json.loads(ran.out)) == ["stdin"]


def test_scores_that_are_no_numbers_are_an_error(make_model: Callable[..., Path]) -> None:
    broken = make_model()
    tensors = load_file(broken / "model.safetensors")
    save_file({name: tensor * float("nan") for name, tensor in tensors.items()}, broken / "model.safetensors")
    for format in ("table", "jsonl", "csv"):
        ran = run_sqbert("classify", "good", "--model", broken, "--format", format)
        assert (ran.status, ran.out) == (1, "")
        assert "scores that are no numbers" in ran.err


def test_what_is_not_seen_is_no_text(tiny_model: Path) -> None:
    unseen = ("\u200b", "\ufeff\u00ad", "\x00\x1f\ufe0f")
    ran = run_sqbert("classify", "--model", tiny_model, stdin="".join(f"{text}\n" for text in ("good", *unseen)))
    assert (len(jsonl(ran.out)), ran.status) == (1, 1)
    assert ran.err.count("field `text` is empty") == 3
    assert run_sqbert("classify", "\u200b").err.startswith("error: the text is empty")


def test_labels_of_a_file_are_its_lines_and_columns_line_up(many_heads: Path, tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("food and\u2028drink\r\n体育\n")
    arguments = ("classify", "good", "--model", many_heads, "--labels-file", tmp_path / "labels.txt", "--all-scores")
    row = json.loads(run_sqbert(*arguments).out)
    assert sorted(row["scores"]) == ["food and\u2028drink", "体育"]
    lines = run_sqbert(*arguments, "--format", "table").out.splitlines()
    assert len({cell_len(line[: line.index("0.")]) for line in lines}) == 1


def test_a_text_that_names_a_file_is_warned_of(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "reviews.txt").write_text("good")
    ran = run_sqbert("classify", tmp_path / "reviews.txt", "--model", tiny_model)
    assert ran.status == 0
    assert "is a file, but is taken as a text; to read it: `--input" in ran.err


def test_any_unicode_keeps_its_record(tiny_model: Path) -> None:
    texts = [
        "日本語のテキスト",
        "emoji 👩‍👩‍👧",
        "نص عربي",
        "a\u2028b\x85c",
        "nul \x00 here",
        "\u200ba",
        "e\u0301",
        "x" * 5000,
    ]
    lines = "\n".join(json.dumps({"text": text}, ensure_ascii=number % 2 == 0) for number, text in enumerate(texts))
    ran = run_sqbert("classify", "--model", tiny_model, stdin=lines)
    assert (ran.status, ran.err) == (0, "")
    assert [row["text"] for row in map(json.loads, ran.out.removesuffix("\n").split("\n"))] == texts


def test_the_locale_does_not_matter(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("PYTHONUTF8", "0")
    ran = run_sqbert("classify", "日本語", "--model", tiny_model, is_forked=False)
    assert ran.status == 0, ran.err
    assert jsonl(ran.out)[0]["text"] == "日本語"
    ran = run_sqbert("classify", "a", "--labels", "größe,日本", "--model", tiny_model, is_forked=False)
    assert ran.status == 0, ran.err
    assert jsonl(ran.out)[0]["label"] in ("größe", "日本")
    (tmp_path / "labels").write_text("größe\n日本\n", encoding="utf-8")
    same = run_sqbert("classify", "a", "--labels-file", tmp_path / "labels", "--model", tiny_model, is_forked=False)
    assert same.out == ran.out


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"device": "gpu"}, "device `gpu` is none of"),
        ({"dtype": "fp16"}, "no precision `fp16`"),
        ({"name": Path("typo")}, "no model `typo`"),
    ],
)
def test_what_a_program_may_get_wrong_is_told(settings: dict[str, Any], said: str, tiny_model: Path) -> None:
    with pytest.raises(SqbertError, match=said):
        load(**{"name": tiny_model, **settings})


@pytest.mark.parametrize("item", [None, 3.5, ("a", "b")])
def test_what_is_no_record_is_told(item: Any, tiny_model: Path) -> None:
    with pytest.raises(TypeError, match="record 2: records are texts, or of the class `Record`, not"):
        list(classify(load(str(tiny_model)), ["good", item]))


def test_a_text_that_cannot_be_read_costs_no_other(tiny_model: Path) -> None:
    texts = ["good", "", "half \ud83d", Record("bad", "\u200b", source="here"), "fun"]
    results = list(classify(load(str(tiny_model)), texts))
    bad = [(one.source, one.reason) for one in results if isinstance(one, BadRecord)]
    half = "the text has half of a surrogate pair, which is no character"
    assert bad == [("record 2", "the text is empty"), ("record 3", half), ("here", "the second text is empty")]
    assert [one.record.text for one in results if isinstance(one, Classification)] == ["good", "fun"]


def test_a_text_is_read_a_section_at_a_time_to_the_same_pieces(tiny_model: Path) -> None:
    tokenizer = load(str(tiny_model)).tokenizer
    for space in " \t\u3000":
        text = space.join(["unlikely", "good", "film"] * 9_000)
        assert read_ids(tokenizer, ["a", text, ""]) == tokenizer.encode(["a", text, ""])
        assert len(list(sections(text))) > 3


def test_a_long_text_is_read_to_its_end(tiny_model: Path) -> None:
    checkpoint = load(str(tiny_model))
    words = ["good"] * 3000
    (whole,) = classify(checkpoint, [" ".join(words)])
    assert isinstance(whole, Classification)
    assert whole.windows == 6
    (changed,) = classify(checkpoint, [" ".join([*words[:-200], *["awful"] * 200])])
    assert isinstance(changed, Classification)
    assert changed.scores != whole.scores


def test_order_and_scores_do_not_depend_on_the_neighbours(tiny_model: Path) -> None:
    checkpoint = load(str(tiny_model))
    draw = random.Random(0)
    texts = [" ".join(draw.choices(["good", "bad", "film", "a", "very"], k=draw.randint(1, 60))) for _ in range(100)]
    together = [result for result in classify(checkpoint, texts) if isinstance(result, Classification)]
    assert [result.record.text for result in together] == texts
    for result in together[::10]:
        (alone,) = classify(checkpoint, [Record(result.record.text)])
        assert isinstance(alone, Classification)
        assert dict(alone.scores) == pytest.approx(dict(result.scores), abs=1e-6)


@pytest.mark.slow
def test_memory_stays_flat_over_many_records() -> None:
    """A kernel is made for each number of rows, and few are kept."""
    with piped("classify", "sqbert-small") as pipe:
        peaks = many(pipe, 1_200, (600,))
    assert peaks[1_200] - peaks[600] < 20, f"{peaks} MiB"

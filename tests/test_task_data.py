"""What a task's files hold, and what is said of them before anything is learnt."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from sqbert_cli.commands.finetune_runs import show_datasets
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.records import Record
from sqbert_cli.tasks.choose import Source, choose_dataset, choose_test, counts_of, fields_of, parse_multi, problems_of
from sqbert_cli.tasks.dataset import Split
from sqbert_cli.tasks.nli import LABELS as NLI_LABELS
from sqbert_cli.tasks.nli import nli_dataset, read_nli
from sqbert_cli.tasks.running_text import read_text
from tests.conftest import run_sqbert
from tests.toys import write_conll


def test_columns_and_questions_without_a_task_are_told_which(tmp_path: Path) -> None:
    columns = write_conll(tmp_path / "a.conll", [[("Ann", "B-PER")]])
    questions = tmp_path / "a.json"
    questions.write_text('{"data": [{"title": "a", "paragraphs": [{"context": "a b", "qas": []}]}]}')
    for file, task in ((columns, "ner"), (questions, "qa")):
        with pytest.raises(SqbertError, match=r"has (CoNLL's columns|SQuAD's form)$") as error:
            choose_dataset(None, Source(train=[file], fields=fields_of(None)))
        assert f"`--task {task}`" in str(error.value.hint)


def test_pairs_of_one_premise_are_held_out_together() -> None:
    pairs = [Record(f"premise {n}", f"{m}", gold=label) for n in range(20) for m, label in enumerate(NLI_LABELS)]
    dataset = nli_dataset(Split(name="all", records=tuple(pairs)), None, 42)
    learnt, held_out = ({record.text for record in split.records} for split in (dataset.train, dataset.dev[0]))
    assert (len(learnt), len(held_out), learnt & held_out) == (18, 2, set())


def test_entailment_is_judged_whatever_the_first_head_is_for(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"premise": "a", "hypothesis": "b", "label": "neutral"}\n')
    first = HeadConfig(name="stsb", kind="sequence", labels=("score",), problem_type="regression")
    test = choose_test("nli", Source(train=[tmp_path / "a.jsonl"]), first)
    assert (test.head.problem_type, "accuracy" in test.metrics) == ("single_label_classification", True)


def test_pairs_are_not_read_from_a_pipe_that_can_be_read_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pairs.jsonl")
    with pytest.raises(SqbertError, match="can be read once, and its columns are looked for first"):
        read_nli(tmp_path / "pairs.jsonl")


def test_fields_of_columns_have_no_names(tmp_path: Path) -> None:
    file = write_conll(tmp_path / "a.conll", [[("Ann", "B-PER")]])
    with pytest.raises(SqbertError, match="whose fields have no other names"):
        choose_dataset("ner", Source(train=[file], fields=fields_of("ner", label="pos")))


def test_the_data_is_looked_through_first(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("Ann B-PER\nsat O\n\nin O\nRome I-LOC\nLi b-PER\n\nbad\nline x y\n")
    (tmp_path / "b.jsonl").write_text(
        json.dumps({"text": "Annabel sat", "entities": [{"start": 0, "end": 3, "label": "PER"}]}) + "\n"
        + json.dumps({"text": "Bob", "entities": [{"start": 0, "end": 9, "label": "PER"}]}) + "\n"
    )  # fmt: skip
    source = Source(
        train=[tmp_path / "a.conll", tmp_path / "b.jsonl"], dev=tmp_path / "a.conll", fields=fields_of("ner")
    )
    dataset = choose_dataset("ner", source)
    notes = "\n".join(counts_of(dataset) + problems_of(dataset))
    for expected in (
        "entities: PER 2, LOC 1, b-PER 1",
        "labels with fewer than 5 examples: `LOC` (1), `PER` (2), `b-PER` (1)",
        f"{tmp_path}/a.conll:5: I-LOC",
        f"{tmp_path}/a.conll:6: b-PER",
        f"{tmp_path}/a.conll:9: 3 columns",
        f"{tmp_path}/b.jsonl:1: 'Ann' (0-3)",
        f"{tmp_path}/b.jsonl:2: the entity 0-9 is not within the text",
    ):
        assert expected in notes


def test_a_file_is_named_once_where_its_size_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text("text,label\n" + "".join(f"{number},{'xy'[number % 2]}\n" for number in range(40)))
    dataset = choose_dataset(None, Source(train=[tmp_path / "a.csv"], fields=fields_of(None)))
    show_datasets([dataset])
    alone = capsys.readouterr().err.replace("\n", "")
    show_datasets([dataset, replace(dataset, name="second")])
    both = capsys.readouterr().err.replace("\n", "")
    assert (alone.count("a.csv:"), both.count("a.csv:"), both.count("second:")) == (2, 6, 2)  # train and dev


def test_entities_that_dev_has_and_train_has_not(tmp_path: Path) -> None:
    train = write_conll(tmp_path / "a", [[("Ann", "B-PER")]] * 3)
    dev = write_conll(tmp_path / "b", [[("Ann", "B-ORG")]])
    with pytest.raises(SqbertError, match="entities called `ORG` are not known"):
        choose_dataset("ner", Source(train=[train], dev=dev, fields=fields_of("ner")))
    none = write_conll(tmp_path / "c", [[("Ann", "O")]])
    with pytest.raises(SqbertError, match="has no entities"):
        choose_dataset("ner", Source(train=[none], fields=fields_of("ner")))


def test_questions_of_one_context_are_held_out_together(tmp_path: Path) -> None:
    rows = [{"question": f"q{n}?", "context": f"text {n // 5}", "answers": "text"} for n in range(100)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = choose_dataset("qa", Source(train=[tmp_path / "a.jsonl"], fields=fields_of("qa")))
    train, dev = ({record.text for record in split.records} for split in (dataset.train, dataset.dev[0]))
    assert (len(dev), len(train & dev)) == (2, 0)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("ner", "`ner` is not a task"),
        ("ner=none.conll", "`none.conll` does not exist"),
        ("=x", "`=x` is not a task"),
        ("sst2=tests:README.md", "the GLUE task `sst2` has files of its own, a dev set too"),
        ("mnli=tests,README.md", "the GLUE task `mnli` has files of its own, a dev set too"),
    ],
)
def test_tasks_that_cannot_be(item: str, message: str) -> None:
    with pytest.raises(SqbertError, match=message):
        parse_multi([item], Source())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--task", "ner"], "--task ner needs --train"),
        (["--task", "sst2", "--train", "{file}"], "--train and --dev do not go with a GLUE task"),
        (["--multi", "ner=x", "--task", "ner"], "--multi names its own tasks"),
        (["--data", "."], "give --task, --train or --multi"),
        (["--train", "{file}", "--temperature", "3"], "--temperature and --state-weight go with --teacher"),
        (["--task", "ner", "--train", "{file}", "--power", "1"], "--power goes with --multi or --vectors"),
        (["--task", "ner", "--train", "{file}", "--characters", "9"], "--characters goes with running text"),
        (["--train", "{file}", "--freeze-encoder", "--embedding-rate", "0"], "do not go with --freeze-encoder"),
        (["--train", "{file}", "--dev", "{file}", "--dev", "{file}"], "--dev is given twice, where one is read"),
        (["--task", "nli", "--train", "{file}", "--text-field", "a"], "--task nli knows its own fields"),
        (["--task", "masked", "--train", "{file}", "--input-format", "jsonl"], "--task masked knows its own format"),
    ],
)
def test_what_does_not_go_together(arguments: list[str], message: str, tmp_path: Path) -> None:
    file = write_conll(tmp_path / "a", [[("a", "O")]])
    ran = run_sqbert("finetune", "--output", tmp_path / "out", *(a.format(file=file) for a in arguments))
    assert ran.status == 2
    assert message in " ".join(ran.err.replace("│", " ").split())


def test_nli_files_of_every_spelling(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"premise": "a", "hypothesis": "b", "label": "neutral"}\n'
                                      '{"premise": "a", "hypothesis": "b", "label": "-"}\n'
                                      '{"premise": "a", "label": "neutral"}\n')  # fmt: skip
    (tmp_path / "b.txt").write_text("pair_ID\tsentence_A\tsentence_B\tx\tentailment_judgment\n1\ta\tb\t3\tENTAILMENT\n")
    (tmp_path / "c.tsv").write_text("sentence1\tsentence2\tgold_label\na\tb\tcontradiction\na\tb\tmaybe\n")
    dataset = choose_dataset(
        "nli", Source(train=[tmp_path / name for name in ("a.jsonl", "b.txt")], dev=tmp_path / "c.tsv")
    )
    assert [record.gold for record in dataset.train.records] == ["neutral", "entailment"]
    assert [bad.reason for bad in dataset.train.bad] == [
        "no field `hypothesis`; found: `premise`, `label`; the file's first line has one"
    ]
    assert [record.gold for record in dataset.dev[0].records] == ["contradiction"]
    assert "none of entailment, neutral, contradiction" in dataset.dev[0].bad[0].reason
    (tmp_path / "e.csv").write_text('"premise","hypothesis","label"\n"a, b","c","neutral"\n')
    assert read_nli(tmp_path / "e.csv").records[0].text == "a, b"
    (tmp_path / "f.csv").write_text("premise;hypothesis;label\na, b;c;neutral\n")
    assert read_nli(tmp_path / "f.csv").records[0].text == "a, b"
    (tmp_path / "d.tsv").write_text("one\ttwo\n")
    with pytest.raises(SqbertError, match="does not name its columns"):
        choose_dataset("nli", Source(train=[tmp_path / "d.tsv"]))


def test_running_text_that_is_cut_is_named_so(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("the film was not bad but it was very boring and awful\n" * 3)
    assert read_text([tmp_path / "a"], 1_000).name == f"{tmp_path}/a"
    cut = read_text([tmp_path / "a", tmp_path / "a"], 200)
    assert (cut.name, len(cut.records)) == (", ".join([f"{tmp_path}/a (its first 100 characters)"] * 2), 4)


def test_lines_too_short_to_be_text_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("Film\n\nthe film was not bad but it was very boring and awful\n\nBad\n")
    read = read_text([tmp_path / "a"], 1_000)
    assert (read.name, len(read.records)) == (f"{tmp_path}/a (without 2 lines of under 40 characters)", 1)


def test_a_dev_file_of_hidden_words_is_used(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text(f"{name} the film was not bad but it was very boring and awful\n" * 3)
    dataset = choose_dataset("masked", Source(train=[tmp_path / "a"], dev=tmp_path / "b"))
    assert dataset.dev[0].records[0].text.startswith("b the")
    (tmp_path / "a").write_text("one film that was not bad but it was very boring and awful\n")
    with pytest.raises(SqbertError, match="has too few examples to hold some out"):
        choose_dataset("masked", Source(train=[tmp_path / "a"]))

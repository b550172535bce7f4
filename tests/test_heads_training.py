"""Entities, answers, hidden words and several tasks at once: learnt, measured, resumed."""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from seqeval.metrics import classification_report, f1_score
from seqeval.scheme import IOB2

from sqbert_cli.checkpoint import Checkpoint, read_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.evaluation import judge
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.models import load_checkpoint
from sqbert_cli.records import Entities, Record, Span, Word
from sqbert_cli.tasks.choose import Source, choose_dataset, choose_test, counts_of, fields_of, parse_multi, problems_of
from sqbert_cli.tasks.dataset import Dataset, Split
from sqbert_cli.tasks.entities import NOT_LEARNT
from sqbert_cli.tasks.masked_words import Draws, hide_words
from sqbert_cli.tasks.nli import LABELS as NLI_LABELS
from sqbert_cli.tasks.nli import nli_dataset, read_nli
from sqbert_cli.tasks.running_text import read_text
from sqbert_cli.tasks.span_metrics import score_entities
from sqbert_cli.training.examples import VECTOR_HEAD, make_lesson, vector_lesson
from sqbert_cli.training.finetune import Evaluation, finetune, with_heads
from sqbert_cli.training.heads import network_with_heads
from sqbert_cli.training.lessons import LeftOut
from sqbert_cli.training.optimise import Step
from sqbert_cli.training.plan import Plan
from sqbert_cli.training.run import Run
from sqbert_cli.training.settings import FinetuneSettings
from tests.conftest import run_sqbert

FILLERS = ["the", "a", "was", "is", "not", "very", "and", "but", "it", "i"]
CPU = torch.device("cpu")


def sentences(count: int, seed: int) -> list[list[tuple[str, str]]]:
    """`good` and what follows it is a person, `bad` alone a place."""
    draw = random.Random(seed)
    made = []
    for _ in range(count):
        row = [(word, "O") for word in draw.choices(FILLERS, k=draw.randint(2, 5))]
        row += [("good", "B-PER"), (draw.choice(["film", "boring", "don't"]), "I-PER")] if draw.random() < 0.6 else []
        row += [(draw.choice(FILLERS), "O")]
        row += [("bad", "B-LOC"), (".", "O")] if draw.random() < 0.6 else [("fun", "O")]
        made.append(row)
    return made


def write_conll(path: Path, rows: list[list[tuple[str, str]]]) -> Path:
    path.write_text("\n\n".join("\n".join(" ".join(pair) for pair in row) for row in rows) + "\n")
    return path


def write_questions(path: Path, count: int, seed: int) -> Path:
    """The answer is a number and what there is so many of; some texts have none, some are several windows."""
    draw = random.Random(seed)
    lines = []
    for _ in range(count):
        words = draw.choices(FILLERS, k=draw.randint(5, 40))
        number, thing = draw.choice(["one", "two", "three"]), draw.choice(["film", "fun"])
        answer = f"{number} {thing}" if draw.random() < 0.8 else None
        if answer is not None:
            words.insert(draw.randrange(len(words)), answer)
        context = " ".join(words)
        answers = [] if answer is None else [{"text": answer, "answer_start": context.index(answer)}]
        lines.append(
            json.dumps({"question": draw.choice(["it ?", "was it ?"]), "context": context, "answers": answers})
        )
    path.write_text("\n".join(lines) + "\n")
    return path


def teach(model: Path, datasets: list[Dataset], folder: Path, **values: object) -> tuple[Checkpoint, list[object]]:
    settings = FinetuneSettings(**{"batch_size": 16, "dropout": 0.0, "max_length": 32, **values})  # type: ignore[arg-type]
    student = with_heads(read_checkpoint(model), [dataset.head for dataset in datasets], settings)
    folder.mkdir()
    return student, list(finetune(student, datasets, settings, Run(folder, CPU, torch.float32)))


def test_toy_entities_are_learnt_to_the_last(tiny_model: Path, tmp_path: Path) -> None:
    train, dev = (write_conll(tmp_path / f"{n}.conll", sentences(n, n)) for n in (400, 60))
    dataset = choose_dataset("ner", Source(train=[train], dev=dev, fields=fields_of("ner")))
    assert dataset.head.labels == ("O", "B-LOC", "I-LOC", "B-PER", "I-PER")
    student, events = teach(tiny_model, [dataset], tmp_path / "run", epochs=6, learning_rate=5e-3)
    assert judge(student, dataset.dev[0], (), dataset.head).metrics["f1"] == 1.0
    assert [event.metrics["f1"] for event in events if isinstance(event, Evaluation)][-1] == 1.0


def test_toy_answers_are_learnt_to_the_last(tiny_model: Path, tmp_path: Path) -> None:
    train, dev = (write_questions(tmp_path / f"{n}.jsonl", n, n) for n in (400, 60))
    dataset = choose_dataset("qa", Source(train=[train], dev=dev, fields=fields_of("qa")))
    student, _ = teach(tiny_model, [dataset], tmp_path / "run", epochs=8, learning_rate=5e-3)
    scores = judge(student, dataset.dev[0], (), dataset.head).metrics
    assert (scores["f1"], scores["exact_match"], scores["no_answer_accuracy"]) == (1.0, 1.0, 1.0)


def test_first_pieces_are_learnt_and_others_not(tiny_model: Path, tmp_path: Path) -> None:
    file = write_conll(tmp_path / "a.conll", [[("don't", "B-PER"), ("loved", "I-PER"), ("Unlikely", "O")]] * 2)
    dataset = choose_dataset("ner", Source(train=[file], dev=file, fields=fields_of("ner")))
    student = with_heads(read_checkpoint(tiny_model), [dataset.head], FinetuneSettings())
    lesson = make_lesson(student, dataset)
    pieces = [student.tokenizer.pieces.id_to_token(one) for one in lesson.windows[0].input_ids]
    learnt = dict(zip(pieces, lesson.targets[0].tolist(), strict=True))  # type: ignore[attr-defined]
    tags = dataset.head.labels
    assert (tags[learnt["don"]] if "don" in learnt else tags[learnt["d"]]) == "B-PER"
    assert [tags[learnt[piece]] for piece in ("'", "t", "loved")] == ["I-PER"] * 3
    assert all(learnt[piece] == NOT_LEARNT for piece in pieces if piece.startswith("##") or piece in ("[CLS]", "[SEP]"))


def test_a_window_in_which_no_word_begins_teaches_nothing(tiny_model: Path, tmp_path: Path) -> None:
    known = {"text": "Ann loved it", "entities": [{"start": 0, "end": 3, "label": "PER"}]}
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(map(json.dumps, [known, {"text": "\u0301", "entities": []}])))
    dataset = choose_dataset("ner", Source(train=[file], dev=file, fields=fields_of("ner")))
    student = with_heads(read_checkpoint(tiny_model), [dataset.head], FinetuneSettings(max_length=16))
    learnt = [bool((row != NOT_LEARNT).any()) for row in make_lesson(student, dataset).targets]  # type: ignore[attr-defined]
    assert learnt == [True, False]
    teach(tiny_model, [dataset], tmp_path / "run", epochs=1, max_length=16)


def test_windows_that_overlap_teach_each_token_once(tiny_model: Path, tmp_path: Path) -> None:
    rows = [[pair for row in sentences(20, 1) for pair in row]]
    dataset = choose_dataset("ner", Source(train=[write_conll(tmp_path / "a", rows * 2)], dev=tmp_path / "a",
                                           fields=fields_of("ner")))  # fmt: skip
    student = with_heads(read_checkpoint(tiny_model), [dataset.head], FinetuneSettings(max_length=32))
    lesson = make_lesson(student, dataset)
    learnt = sum(int((row != NOT_LEARNT).sum()) for row in lesson.targets)  # type: ignore[attr-defined]
    words = sum(3 if word == "don't" else 1 for word, _ in rows[0])
    assert (len(lesson.windows) > 10, learnt) == (True, 2 * words)


@pytest.fixture
def three_tasks(tmp_path: Path) -> list[str]:
    write_conll(tmp_path / "train.conll", sentences(60, 1))
    write_conll(tmp_path / "dev.conll", sentences(20, 2))
    write_questions(tmp_path / "qa.jsonl", 60, 3)
    (tmp_path / "mood.csv").write_text("text,label\n" + "a good film,up\na bad film,down\n" * 20)
    (tmp_path / "text.txt").write_text("the film was not bad but it was very boring and awful\n" * 60)
    return [f"ner={tmp_path}/train.conll:{tmp_path}/dev.conll", f"qa={tmp_path}/qa.jsonl", f"mood={tmp_path}/mood.csv",
            f"masked={tmp_path}/text.txt"]  # fmt: skip


def test_several_tasks_make_several_heads(tiny_model: Path, three_tasks: list[str], tmp_path: Path) -> None:
    multi = [part for task in three_tasks for part in ("--multi", task)]
    ran = run_sqbert("finetune", "--model", tiny_model, *multi, "--vectors", tmp_path / "text.txt",
                     "--epochs", "1", "--max-length", "32", "--output", tmp_path / "out")  # fmt: skip
    assert ran.status == 0, ran.err
    assert "dev ner f1" in ran.err
    assert "masked accuracy" in ran.err
    about = json.loads(run_sqbert("models", "info", tmp_path / "out").out)
    assert [(h["name"], h["kind"]) for h in about["heads"]] == [
        ("ner", "token"), ("qa", "span"), ("mood", "sequence"), ("masked", "masked_word"), ("vectors", "vector"),
    ]  # fmt: skip
    for arguments in (
        ["classify"],
        ["ner"],
        ["qa", "it ?", "--no-answer-threshold", "1"],
        ["embed"],
        ["evaluate", "--task", "ner", "--input", tmp_path / "dev.conll"],
        ["evaluate", "--task", "qa", "--input", tmp_path / "qa.jsonl"],
        ["evaluate", "--task", "masked", "--input", tmp_path / "text.txt"],
        ["evaluate", "--input", tmp_path / "mood.csv", "--head", "mood"],
    ):
        used = run_sqbert(*arguments, "--model", tmp_path / "out", stdin="a good film")  # type: ignore[arg-type]
        assert used.status == 0, used.err
        assert json.loads(used.out)


def test_a_head_on_a_frozen_encoder_leaves_the_rest_as_it_was(many_heads: Path, tmp_path: Path) -> None:
    (tmp_path / "mood.csv").write_text("text,label\n" + "a good film,up\na bad film,down\n" * 20)
    ran = run_sqbert("finetune", "--model", many_heads, "--train", tmp_path / "mood.csv", "--head", "new",
                     "--freeze-encoder", "--output", tmp_path / "out", "--epochs", "2")  # fmt: skip
    assert ran.status == 0, ran.err
    before, after = read_checkpoint(many_heads), read_checkpoint(tmp_path / "out")
    assert [head.name for head in after.heads] == ["mood", "names", "answers", "nli", "words", "new"]
    old, new = before.network.state_dict(), after.network.state_dict()
    assert all(torch.equal(old[name], new[name]) for name in old)
    assert after.head("token") == before.head("token")


def test_a_head_on_a_frozen_encoder_takes_nobodys_place(many_heads: Path) -> None:
    base = read_checkpoint(many_heads)
    other = HeadConfig(name="mood", kind="sequence", labels=("up", "down", "level"))
    with pytest.raises(SqbertError, match="has a head `mood` for other labels, which would be lost"):
        network_with_heads(base, [other], dropout=0, seed=1, keep_others=True)
    assert network_with_heads(base, [other], dropout=0, seed=1).heads == (other,)


def test_a_head_that_transformers_calls_by_its_kind_is_not_kept_beside_the_one_that_goes_on_from_it(
    make_model: Callable[..., Path],
) -> None:
    """The older of the two would answer."""
    base = read_checkpoint(make_model(heads=(HeadConfig(name="span", kind="span"),)))
    student = network_with_heads(base, [HeadConfig(name="qa", kind="span")], dropout=0, seed=1, keep_others=True)
    assert [head.name for head in student.heads] == ["qa"]
    before, after = base.network.heads["span"].state_dict(), student.network.heads["qa"].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_columns_and_questions_without_a_task_are_told_which(tmp_path: Path) -> None:
    columns = write_conll(tmp_path / "a.conll", [[("Ann", "B-PER")]])
    questions = tmp_path / "a.json"
    questions.write_text('{"data": [{"title": "a", "paragraphs": [{"context": "a b", "qas": []}]}]}')
    for file, task in ((columns, "ner"), (questions, "qa")):
        with pytest.raises(SqbertError, match=r"has (CoNLL's columns|SQuAD's form)$") as error:
            choose_dataset(None, Source(train=[file], fields=fields_of(None)))
        assert f"`--task {task}`" in str(error.value.hint)


def test_a_new_head_does_not_begin_as_one_that_its_encoder_was_taught_with(tiny_model: Path) -> None:
    """With the same seed it would answer at once, in the other's labels."""

    def begun(base: Checkpoint, *labels: str) -> Checkpoint:
        return network_with_heads(base, [HeadConfig(name="new", kind="sequence", labels=labels)], dropout=0, seed=1)

    first = begun(load_checkpoint(str(tiny_model)), "bad", "good")
    second = begun(first, "yes", "no")
    ours, theirs = (model.network.heads["new"].classifier.weight for model in (second, first))
    assert not torch.equal(ours, theirs)
    assert torch.equal(begun(first, "yes", "no").network.heads["new"].classifier.weight, ours)


def test_a_head_of_the_same_labels_goes_on_from_where_it_is(many_heads: Path) -> None:
    base = read_checkpoint(many_heads)
    names = base.head("token")
    student = with_heads(base, [names, replace(names, name="others")], FinetuneSettings())
    state = student.network.state_dict()
    assert torch.equal(
        state["heads.names.classifier.weight"], base.network.state_dict()["heads.names.classifier.weight"]
    )
    assert not torch.equal(state["heads.others.classifier.weight"], state["heads.names.classifier.weight"])


def test_a_head_without_labels_goes_on_under_another_name(many_heads: Path) -> None:
    """As a folder of transformers calls it."""
    base = read_checkpoint(many_heads)
    for kind in ("span", "masked_word"):
        had = base.head(kind)  # type: ignore[arg-type]
        student = with_heads(base, [replace(had, name="other")], FinetuneSettings())
        ours, theirs = student.network.heads["other"].state_dict(), base.network.heads[had.name].state_dict()
        assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_vectors_are_learnt_on_the_windows_that_they_are_asked_on(tiny_model: Path, tmp_path: Path) -> None:
    base, run = read_checkpoint(tiny_model), Run(tmp_path, torch.device("cpu"), torch.float32)
    student = with_heads(base, [VECTOR_HEAD], FinetuneSettings(max_length=16))
    lesson = vector_lesson(student, [Record("a film " * 40)], base, run)
    assert max(map(len, (window.input_ids for window in lesson.windows))) == 16
    with pytest.raises(SqbertError, match="tokens at most"):
        with_heads(base, [VECTOR_HEAD], FinetuneSettings(max_length=100_000))


def test_a_task_that_gets_no_step_is_told(tiny_model: Path, three_tasks: list[str], tmp_path: Path) -> None:
    tasks = [word for task in three_tasks for word in ("--multi", task)]
    ran = run_sqbert("finetune", "--model", tiny_model, "--output", tmp_path / "out", *tasks, "--epochs", "0.001")
    assert ran.status == 1
    assert "of 1 steps none is of `" in ran.err


def test_several_tasks_resume_to_the_same_bits(tiny_model: Path, three_tasks: list[str], tmp_path: Path) -> None:
    datasets = parse_multi(three_tasks, Source())
    settings = FinetuneSettings(epochs=0.8, batch_size=8, save_steps=1, eval_steps=100, max_length=32, dropout=0.1)

    def train(folder: Path, stop: int | None, resume: bool) -> dict[str, torch.Tensor]:
        folder.mkdir(exist_ok=True)
        run = Run(folder, CPU, torch.float32, resume)
        heads = [*(dataset.head for dataset in datasets), VECTOR_HEAD]
        student = with_heads(read_checkpoint(tiny_model), heads, settings)
        for event in finetune(
            student, datasets, settings, run, vectors=(datasets[3].train, read_checkpoint(tiny_model))
        ):
            if isinstance(event, Step) and event.index == stop:
                break
        return student.network.state_dict()

    whole = train(tmp_path / "whole", None, False)
    train(tmp_path / "cut", 5, False)
    resumed = train(tmp_path / "cut", None, True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_tasks_are_seen_by_their_size_to_a_power() -> None:
    lengths = [[5] * 1600, [5] * 100]
    for power, share in ((0.0, 1 / 2), (0.5, 4 / 5), (1.0, 16 / 17)):
        plan = Plan(lengths, 10, 2.0, power, 42)
        assert plan.steps == 340
        seen = Counter(plan.batch(step)[0] for step in range(plan.steps))
        assert seen[0] == pytest.approx(340 * share, abs=1)
    assert [plan.batch(step) for step in range(9)] == [Plan(lengths, 10, 2.0, 1.0, 42).batch(step) for step in range(9)]


def draws(ids: torch.Tensor, seed: int, words: int = 9) -> Draws:
    return Draws.of(ids.shape, words, torch.Generator().manual_seed(seed))


def test_words_are_hidden_as_bert_hides_them() -> None:
    ids = torch.arange(5, 105).repeat(400, 1)
    special = torch.zeros_like(ids, dtype=torch.bool)
    special[:, 0] = True
    shown, chosen = hide_words(ids, special, 4, draws(ids, 0, 1_000_000))
    assert not chosen[:, 0].any()
    assert float(chosen.float().mean()) == pytest.approx(0.15 * 0.99, rel=0.05)
    masked, kept = shown[chosen] == 4, shown[chosen] == ids[chosen]
    assert float(masked.float().mean()) == pytest.approx(0.8, abs=0.02)
    assert float(kept.float().mean()) == pytest.approx(0.1, abs=0.02)
    assert torch.equal(shown[~chosen], ids[~chosen])
    short, _ = hide_words(ids[:, :3], special[:, :3], 4, draws(ids[:, :3], 0))
    assert short.shape == (400, 3)


def test_every_row_has_a_hidden_word() -> None:
    ids = torch.arange(5, 9).repeat(50, 1)
    _, chosen = hide_words(ids, torch.zeros_like(ids, dtype=torch.bool), 4, draws(ids, 1))
    assert chosen.any(1).all()


def test_entity_scores_are_those_of_seqeval() -> None:
    draw = random.Random(3)
    results, gold_tags, found_tags = [], [], []
    for _ in range(80):
        words = tuple(Word(2 * n, 2 * n + 1) for n in range(9))
        both = []
        for tags in (gold_tags, found_tags):
            spans, at = [], 0
            while at < 8:
                size = draw.randint(1, 2)
                if draw.random() < 0.5:
                    spans.append(Span(2 * at, 2 * (at + size) - 1, draw.choice("XYZ")))
                at += size
            row = ["O"] * 9
            for span in spans:
                row[span.start // 2] = f"B-{span.label}"
                for n in range(span.start // 2 + 1, (span.end + 1) // 2):
                    row[n] = f"I-{span.label}"
            tags.append(row)
            both.append(spans)
        text = "a " * 9
        results.append(Entities(Record(text, spans=tuple(both[0])), (), words, tuple(found_tags[-1])))
    scores = score_entities(results)
    assert scores.metrics["f1"] == f1_score(gold_tags, found_tags)
    assert scores.metrics["strict_f1"] == f1_score(gold_tags, found_tags, mode="strict", scheme=IOB2)
    report = classification_report(gold_tags, found_tags, output_dict=True)
    assert {c.label: c.f1 for c in scores.classes} == {label: report[label]["f1-score"] for label in "XYZ"}
    assert 0 < scores.metrics["f1"] < 1


def test_strict_scores_tell_a_tag_that_no_scheme_has() -> None:
    words = (Word(0, 1), Word(2, 3))
    loose = Entities(Record("a b", spans=(Span(0, 3, "X"),)), (), words, ("I-X", "I-X"))
    assert score_entities([loose]).metrics["f1"] == 1.0
    assert score_entities([loose]).metrics["strict_f1"] == 0.0


@pytest.mark.parametrize("tags", [("B-PER", "E-PER", "O", "S-LOC"), ("PER", "PER", "O", "LOC")])
def test_tags_of_other_schemes_are_scored_as_what_they_mean(tags: tuple[str, ...]) -> None:
    words = tuple(Word(2 * place, 2 * place + 1) for place in range(4))
    record = Record("a b c d", spans=(Span(0, 3, "PER"), Span(6, 7, "LOC")))
    assert set(score_entities([Entities(record, (), words, tags)]).metrics.values()) == {1.0}


def test_where_there_is_nothing_to_find_nothing_is_scored() -> None:
    empty = Entities(Record("a", spans=()), (), (Word(0, 1),), ("O",))
    assert set(score_entities([empty]).metrics.values()) == {0.0}  # as seqeval has it


def test_entities_that_cut_words_are_told_when_a_model_is_judged(many_heads: Path, tmp_path: Path) -> None:
    rows = [{"text": "YorkLondon", "entities": [{"start": 0, "end": 4, "label": "LOC"}]}]
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[0]) + "\n")
    ran = run_sqbert("evaluate", "--task", "ner", "--input", tmp_path / "a.jsonl", "--model", many_heads)
    assert ran.status == 0, ran.err
    assert "entities that cut a word; the whole word counts (1)" in " ".join(ran.err.split())


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
    (tmp_path / "a.conll").write_text("Ann B-PER\nsat O\n\nin O\nRome I-LOC\n\nbad\nline x y\n")
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
        "entities: PER 2, LOC 1",
        f"{tmp_path}/a.conll:5: I-LOC",
        f"{tmp_path}/a.conll:8: 3 columns",
        f"{tmp_path}/b.jsonl:1: 'Ann' (0-3)",
        f"{tmp_path}/b.jsonl:2: the entity 0-9 is not within the text",
    ):
        assert expected in notes


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


def test_two_tasks_of_one_name(three_tasks: list[str]) -> None:
    with pytest.raises(SqbertError, match="two tasks have the same name"):
        parse_multi([three_tasks[0], three_tasks[0]], Source())


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
    (tmp_path / "d.tsv").write_text("one\ttwo\n")
    with pytest.raises(SqbertError, match="does not name its columns"):
        choose_dataset("nli", Source(train=[tmp_path / "d.tsv"]))


def test_a_task_finds_its_head_among_several(many_heads: Path, tmp_path: Path) -> None:
    (tmp_path / "nli.jsonl").write_text('{"premise": "a", "hypothesis": "b", "label": "neutral"}\n' * 3)
    write_conll(tmp_path / "a.conll", [[("Ann", "B-ORG")]])
    ran = run_sqbert("evaluate", "--task", "nli", "--input", tmp_path / "nli.jsonl", "--model", many_heads)
    assert ran.status == 0, ran.err
    assert [row["label"] for row in json.loads(ran.out)[f"{tmp_path}/nli.jsonl"]["classes"]] == [
        "entailment", "neutral", "contradiction",
    ]  # fmt: skip
    unknown = run_sqbert("evaluate", "--task", "ner", "--input", tmp_path / "a.conll", "--model", many_heads)
    assert unknown.status == 1
    assert f"{tmp_path}/a.conll:1: entities called `ORG` are not known" in unknown.err


def test_what_fits_into_no_window_is_told(tiny_model: Path, tmp_path: Path) -> None:
    rows = [{"question": "a " * 40, "context": "a b", "answers": "b"}]
    rows += [{"question": "a ?", "context": "b " * 90, "answers": ("b " * 60).strip()}]
    rows = [row | {"answers": [{"text": row["answers"], "answer_start": len(row["context"]) - len(row["answers"]) - 1}]}
            if row["question"] == "a ?" else row for row in rows]  # fmt: skip
    rows += [{"question": "a ?", "context": f"a b {n}", "answers": "b"} for n in range(12)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "dev.jsonl").write_text(json.dumps(rows[-1]))
    dataset = choose_dataset(
        "qa", Source(train=[tmp_path / "a.jsonl"], dev=tmp_path / "dev.jsonl", fields=fields_of("qa"))
    )
    _, events = teach(tiny_model, [dataset], tmp_path / "run", epochs=1)
    assert events[0] == LeftOut("qa", (f"{tmp_path}/a.jsonl:1", f"{tmp_path}/a.jsonl:2"))
    few = replace(dataset, train=replace(dataset.train, records=dataset.train.records[:1]))
    with pytest.raises(SqbertError, match="nothing to learn from"):
        teach(tiny_model, [few], tmp_path / "none", epochs=1)


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

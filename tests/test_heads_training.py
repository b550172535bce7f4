"""Entities, answers, hidden words and several tasks at once: learnt, measured, resumed."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sqbert_cli.checkpoint import Checkpoint, read_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.evaluation import judge
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.models import load_checkpoint
from sqbert_cli.records import Record
from sqbert_cli.tasks.choose import Source, choose_dataset, fields_of, parse_multi
from sqbert_cli.tasks.entities import NOT_LEARNT
from sqbert_cli.training.examples import VECTOR_HEAD, make_lesson, vector_lesson
from sqbert_cli.training.finetune import Evaluation, finetune, with_heads
from sqbert_cli.training.heads import network_with_heads
from sqbert_cli.training.lessons import LeftOut
from sqbert_cli.training.optimise import Step
from sqbert_cli.training.plan import Plan
from sqbert_cli.training.run import Run
from sqbert_cli.training.settings import FinetuneSettings
from tests.conftest import run_sqbert
from tests.toys import CPU, sentences, teach, write_conll, write_questions


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
    file.write_text(json.dumps(known))
    dataset = choose_dataset("ner", Source(train=[file], dev=file, fields=fields_of("ner")))
    records = (*dataset.train.records, Record("\u200b", spans=()))
    dataset = replace(dataset, train=replace(dataset.train, records=records))
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
    shares = re.findall(r"(\w+): (\d+) of the steps, [\d.]+ times through", ran.err)
    assert [name for name, _ in shares] == ["ner", "qa", "mood", "masked", "vectors"]
    training = json.loads((tmp_path / "out/training.json").read_text())
    assert sum(int(steps) for _, steps in shares) == training["history"][-1]["step"]
    assert len(training["hashes"]["examples"]) == len(training["hashes"]["starting weights"]) == 64
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


def test_two_tasks_of_one_name(three_tasks: list[str]) -> None:
    with pytest.raises(SqbertError, match="two tasks have the same name"):
        parse_multi([three_tasks[0], three_tasks[0]], Source())


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

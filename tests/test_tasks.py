"""Losses and decoding from hand-written numbers; GLUE's files; labelled data and what is wrong with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch

from sqbert_cli.commands.options import TaskName
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig, ProblemType
from sqbert_cli.records import BadRecord, Record, Span
from sqbert_cli.tasks.choose import Source, choose_dataset, fields_of
from sqbert_cli.tasks.classification import combine, decode, loss, scores, soft_loss, targets, weights_of
from sqbert_cli.tasks.dataset import Dataset, Split, check, check_known, hold_out, own_dataset, read_split, with_gold
from sqbert_cli.tasks.glue import TASKS, glue_dataset, glue_dev
from sqbert_cli.tasks.metrics import score
from sqbert_cli.tasks.running_text import masked_dataset
from sqbert_cli.text.fields import Fields

SINGLE = HeadConfig(name="one", kind="sequence", labels=("a", "b", "c"))
MULTI = replace(SINGLE, problem_type="multi_label_classification")
NUMBER = HeadConfig(name="number", kind="sequence", labels=("score",), problem_type="regression")
RECORD = Record("text")


def test_a_single_label_is_the_best_one() -> None:
    result = decode(RECORD, [0.2, 0.5, 0.3], SINGLE, 0.5, 1)
    assert result.labels == ("b",)
    assert list(result.scores) == ["b", "c", "a"]


def test_several_labels_are_those_at_or_above_the_threshold() -> None:
    assert decode(RECORD, [0.9, 0.5, 0.1], MULTI, 0.5, 1).labels == ("a", "b")
    assert decode(RECORD, [0.4, 0.3, 0.1], MULTI, 0.5, 1).labels == ()


def test_a_number_has_no_label() -> None:
    result = decode(RECORD, [3.25], NUMBER, 0.5, 1)
    assert (result.labels, dict(result.scores)) == ((), {"score": 3.25})


def test_windows_weigh_by_their_tokens() -> None:
    rows = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    assert combine(rows, [30, 10]).tolist() == [0.75, 0.25]


def test_scores_are_probabilities_or_the_number() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0]])
    assert scores(logits, "single_label_classification").tolist()[0] == pytest.approx([1 / 3] * 3)
    assert scores(logits, "multi_label_classification").tolist() == [[0.5] * 3]
    assert scores(torch.tensor([[4.5]]), "regression").tolist() == [[4.5]]


def test_losses_equal_their_definitions() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]])
    wanted = targets(["b", "c"], SINGLE)
    rows = logits.softmax(-1)
    expected = -(rows[0, 1].log() + rows[1, 2].log()) / 2
    assert loss(logits, wanted, SINGLE.problem_type).item() == pytest.approx(expected.item())
    rows = logits.sigmoid()
    held = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.equal(targets([("a", "b"), ()], MULTI), held)
    expected = -(held * rows.log() + (1 - held) * (1 - rows).log()).mean()
    assert loss(logits, held, MULTI.problem_type).item() == pytest.approx(expected.item())
    assert loss(torch.tensor([[1.0], [2.0]]), targets([3.0, 2.0], NUMBER), "regression").item() == 2.0


def test_a_student_that_says_the_same_has_no_soft_loss_and_one_that_does_not_has() -> None:
    logits = torch.tensor([[1.0, 2.0, 0.5]])
    assert soft_loss(logits, logits + 7, "single_label_classification", 2.0).item() == pytest.approx(0, abs=1e-6)
    assert soft_loss(logits, -logits, "single_label_classification", 2.0).item() > 0.1


@pytest.mark.parametrize(
    ("problem", "wanted"),
    [("single_label_classification", torch.tensor([0])), ("multi_label_classification", torch.tensor([[1.0, 0.0]]))],
)
def test_a_rare_label_that_weighs_more_does_not_turn_what_is_smoothed_or_told(
    problem: ProblemType, wanted: torch.Tensor
) -> None:
    weights, best = weights_of(wanted, torch.tensor([0.5, 25.0])), torch.tensor([[0.95, 0.05]])
    best = best.logit() if wanted.ndim > 1 else best.log()
    ours = best.clone().requires_grad_()
    loss(ours, wanted, problem, 0.1, weights).backward()
    assert torch.allclose(ours.grad, torch.zeros(1, 2), atol=1e-6)
    ours.grad = None
    soft_loss(ours, best, problem, 2.0, weights).backward()
    assert torch.allclose(ours.grad, torch.zeros(1, 2), atol=1e-6)


def test_labels_that_weigh_more_weigh_more_in_what_a_teacher_says() -> None:
    logits, weights = torch.tensor([[3.0, -1.0]]), torch.tensor([[1.0, 5.0]])
    kind = "multi_label_classification"
    each = [soft_loss(logits[:, [place]], -logits[:, [place]], kind, 1.0, weights[:, [place]]) for place in (0, 1)]
    both = soft_loss(logits, -logits, kind, 1.0, weights)
    assert both.item() == pytest.approx((each[0] + each[1]).item() / 2)
    assert both > soft_loss(logits, -logits, kind, 1.0)


@pytest.mark.parametrize(
    ("gold", "problem", "expected"),
    [
        ("good ", "single_label_classification", "good"),
        ("12345678901", "single_label_classification", "12345678901"),
        ("", "multi_label_classification", ()),
        ("nan", "regression", None),
        ("1e999", "regression", None),
        ("a, b,", "multi_label_classification", ("a", "b")),
        ('["a, b", "c"]', "multi_label_classification", ("a, b", "c")),
        ("[]", "multi_label_classification", ()),
        ("[" * 2_000, "multi_label_classification", ("[" * 2_000,)),
        ("[sic], b", "multi_label_classification", ("[sic]", "b")),
        (("a", "b", "a"), "multi_label_classification", ("a", "b")),
        ((), "multi_label_classification", ()),
        ("2.5", "regression", 2.5),
        (("a", "b"), "single_label_classification", None),
        ("two", "regression", None),
        ("", "single_label_classification", None),
    ],
)
def test_labels_are_read_as_the_problem_wants_them(gold: object, problem: str, expected: object) -> None:
    read = with_gold(Record("text", gold=gold, source="f:1"), problem)  # type: ignore[arg-type]
    assert (None if isinstance(read, BadRecord) else read.gold) == expected


GLUE_FILES = {
    "cola": ("CoLA", "gj04\t1\t\tThey sailed.\ngj04\t0\t*\tThey sail\td\n", [("They sailed.", None, "acceptable"),
             ("They sail", None, "unacceptable")]),
    "sst2": ("SST-2", "sentence\tlabel\na fine film \t1\n", [("a fine film ", None, "positive")]),
    "mrpc": ("MRPC", "\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\tHe \"said\tShe said\n",
             [('He "said', "She said", "not_equivalent")]),
    "stsb": ("STS-B", "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n"
             "0\tg\tf\t2012\t1\tn\tn\tA plane\tAn air plane\t4.5\n", [("A plane", "An air plane", 4.5)]),
    "qqp": ("QQP", "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n1\t2\t3\tWhy?\tHow?\t1\n",
            [("Why?", "How?", "duplicate")]),
    "qnli": ("QNLI", "index\tquestion\tsentence\tlabel\n0\tWho?\tShe.\tnot_entailment\n",
             [("Who?", "She.", "not_entailment")]),
    "rte": ("RTE", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\tentailment\n", [("A.", "B.", "entailment")]),
    "wnli": ("WNLI", "index\tsentence1\tsentence2\tlabel\n0\tA.\tB.\t1\n", [("A.", "B.", "entailment")]),
    "mnli": ("MNLI", "index\tpromptID\tsentence1\tsentence2\tlabel1\tgold_label\n0\t1\tA.\tB.\tneutral\tneutral\n",
             [("A.", "B.", "neutral")]),
}  # fmt: skip


@pytest.mark.parametrize("name", TASKS)
def test_glue_files_are_read_as_glue_lays_them_out(name: str, tmp_path: Path) -> None:
    folder, content, expected = GLUE_FILES[name]
    (tmp_path / folder).mkdir()
    dev_files = [file for file, _ in TASKS[name].dev]
    for file in (TASKS[name].train, *dev_files):
        (tmp_path / folder / file).write_text(content)
    dataset = glue_dataset(name, tmp_path)
    assert [split.name.rpartition("/")[2] for split in dataset.dev] == dev_files
    for split in (dataset.train, *dataset.dev):
        assert [(record.text, record.pair, record.gold) for record in split.records] == expected
        assert not split.bad
    assert {record.gold for record in dataset.train.records} <= {*dataset.head.labels, 4.5}


def test_the_original_sts_benchmark_without_a_header_is_read_too(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_text("main\tMSRvid\t2012\t0000\t5.000\tA man.\tOne man.\textra\n")
    (split,) = glue_dev("stsb", tmp_path)
    assert [(record.text, record.pair, record.gold) for record in split.records] == [("A man.", "One man.", 5.0)]


def test_glue_lines_that_cannot_be_used_are_kept_apart(tmp_path: Path) -> None:
    (tmp_path / "dev.tsv").write_bytes(b"sentence\tlabel\ngood\t1\nno label\n\t0\nodd\t7\n\xff\t1\n")
    (split,) = glue_dev("sst2", tmp_path)
    assert [record.text for record in split.records] == ["good"]
    assert [bad.source.rpartition(":")[2] for bad in split.bad] == ["3", "4", "5", "6"]


def test_the_commands_offer_every_task() -> None:
    assert set(get_args(TaskName)) == {*TASKS, "ner", "qa", "nli", "masked"}


def test_a_missing_glue_file_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(SqbertError, match=r"SST-2/dev\.tsv` does not exist") as caught:
        glue_dev("sst2", tmp_path)
    assert "holds `SST-2` with `train.tsv` and `dev.tsv`" in str(caught.value.hint)


def write_own(folder: Path, train: str, dev: str | None = None) -> Dataset:
    (folder / "train.csv").write_text(train)
    if dev is not None:
        (folder / "dev.csv").write_text(dev)
    fields, dev_path = Fields(label="label"), folder / "dev.csv" if dev is not None else None
    problem: ProblemType = "single_label_classification"
    train = read_split(folder / "train.csv", fields, problem)
    return own_dataset("own", train, read_split(dev_path, fields, problem) if dev_path else None, problem, 42)


def test_labels_of_own_data_are_discovered_and_sorted(tmp_path: Path) -> None:
    dataset = write_own(tmp_path, "text,label\none,b\ntwo,a\n", "text,label\nthree,a\n")
    assert dataset.head.labels == ("a", "b")


def test_without_dev_a_tenth_is_held_out_and_not_learnt() -> None:
    split = Split(name="all", records=tuple(Record(str(number)) for number in range(100)))
    train, dev = hold_out(split, 42)
    assert (len(train.records), len(dev.records)) == (90, 10)
    assert sorted(record.text for record in train.records + dev.records) == sorted(map(str, range(100)))
    assert hold_out(split, 42) == (train, dev)


def test_equal_texts_are_held_out_together() -> None:
    records = tuple(Record(f"text {n % 40}", gold="ab"[n % 2]) for n in range(120))
    train, dev = hold_out(Split(name="thrice", records=records), 42)
    assert len(dev.records) == 12
    assert not {record.text for record in train.records} & {record.text for record in dev.records}
    text = masked_dataset(Split(name="thrice", records=records), None, 42)
    assert (len(text.train.records), len(text.dev[0].records)) == (108, 12)


def test_a_label_is_never_held_out_wholly() -> None:
    records = [Record(str(number), gold=f"label {number // 2}") for number in range(40)]
    for seed in range(5):
        train, dev = hold_out(Split(name="all", records=tuple(records)), seed)
        assert {record.gold for record in dev.records} <= {record.gold for record in train.records}
    records = [Record(str(number), spans=(Span(0, 1, f"kind {number // 2}"),)) for number in range(40)]
    train, dev = hold_out(Split(name="all", records=tuple(records)), 42)
    assert {record.spans for record in dev.records} <= {record.spans for record in train.records}


def test_what_is_said_of_one_text_is_held_out_together() -> None:
    pairs = [Record(f"premise {number % 30}", f"{number}", gold="yn"[number % 2]) for number in range(90)]
    train, dev = hold_out(Split(name="all", records=tuple(pairs)), 42)
    assert len(dev.records) == 9
    assert not {record.text for record in train.records} & {record.text for record in dev.records}


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_a_tenth_is_a_tenth_however_few_the_texts(count: int) -> None:
    pairs = [Record(f"{number % count}", f"{number}", gold="yn"[number % 2]) for number in range(200)]
    train, dev = hold_out(Split(name="all", records=tuple(pairs)), 42)
    assert 20 <= len(dev.records) <= 40
    assert len(train.records) + len(dev.records) == 200


def test_too_few_examples_to_hold_some_out_is_said() -> None:
    with pytest.raises(SqbertError, match="too few examples to hold some out"):
        hold_out(Split(name="all", records=(Record("one", gold="a"), Record("two", gold="b"))), 42)


def test_a_correlation_of_one_number_or_with_a_constant_is_0() -> None:
    for golds, answers in (([1.0], [1.0]), ([1.0, 2.0], [3.0, 3.0])):
        results = [decode(Record("t", gold=g), [a], NUMBER, 0.5, 1) for g, a in zip(golds, answers, strict=True)]
        assert score(results, ("score",), "regression", ("pearson", "spearman")).metrics == {
            "pearson": 0, "spearman": 0,
        }  # fmt: skip


def test_f1_is_that_of_the_second_label_of_the_task_whatever_the_order_of_the_model() -> None:
    results = [
        decode(Record("t", gold=gold), [float(label == best) for label in ("yes", "no")],
               HeadConfig(name="h", kind="sequence", labels=("yes", "no")), 0.5, 1)
        for gold, best in (("yes", "yes"), ("yes", "no"), ("no", "no"), ("no", "no"))
    ]  # fmt: skip
    measured = score(results, ("no", "yes"), "single_label_classification", ("f1",))
    assert measured.metrics["f1"] == pytest.approx(2 / 3)


def test_of_very_many_labels_there_is_no_table_of_what_is_taken_for_what() -> None:
    labels = tuple(map(str, range(201)))
    head = HeadConfig(name="h", kind="sequence", labels=labels)
    results = [decode(Record("t", gold="7"), [float(label == "7") for label in labels], head, 0.5, 1)]
    measured = score(results, labels, "single_label_classification", ("accuracy",))
    assert (measured.metrics, measured.confusion, len(measured.classes)) == ({"accuracy": 1.0}, (), 201)


def test_what_is_wrong_with_the_data_is_said_before_training(tmp_path: Path) -> None:
    rows = "".join(f"text {number},{'ab'[number % 2]}\n" for number in range(20))
    dataset = write_own(tmp_path, f"text,label\n{rows},a\nrare,c\n", "text,label\ntext 3,b\nnew,a\n")
    bad, rare, twice = check(dataset)
    assert "1 line(s) of" in bad
    assert "train.csv:22" in bad
    assert rare == "labels with fewer than 5 examples: `c` (1)"
    assert "1 of 2 dev examples are among the training examples" in twice
    assert "train.csv:5" in twice


def test_one_label_only_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SqbertError, match="every example has the same label, `a`"):
        check(write_own(tmp_path, "text,label\none,a\ntwo,a\n", "text,label\none,a\n"))


def test_a_dev_label_that_training_never_saw_is_refused_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(SqbertError, match=r"1 label\(s\) that are not known: `z` \(.*dev\.csv:3\)"):
        check(write_own(tmp_path, "text,label\none,a\ntwo,b\n", "text,label\none,a\ntwo,z\n"))


def test_no_example_at_all_is_refused_with_the_first_reason(tmp_path: Path) -> None:
    with pytest.raises(SqbertError, match=r"has no examples; the first problem: .*train\.csv:2"):
        write_own(tmp_path, "text,label\n,a\n")


def test_metrics_are_those_of_the_standard_tools() -> None:
    golds, predicted = ["a", "a", "b", "c", "b"], [0, 1, 1, 2, 0]
    results = [
        decode(Record("t", gold=gold), [float(label == best) for label in range(3)], SINGLE, 0.5, 1)
        for gold, best in zip(golds, predicted, strict=True)
    ]
    measured = score(results, SINGLE.labels, SINGLE.problem_type, ("accuracy", "macro_f1"))
    assert measured.metrics == pytest.approx({"accuracy": 0.6, "macro_f1": (0.5 + 0.5 + 1) / 3})
    assert measured.confusion == ((1, 1, 0), (1, 1, 0), (0, 0, 1))
    assert [(row.label, row.precision, row.recall, row.support) for row in measured.classes] == [
        ("a", 0.5, 0.5, 2), ("b", 0.5, 0.5, 2), ("c", 1.0, 1.0, 1)
    ]  # fmt: skip


def test_several_labels_of_which_there_is_one_are_not_taken_for_two_classes() -> None:
    head = HeadConfig(name="h", kind="sequence", labels=("a",), problem_type="multi_label_classification")
    held: list[tuple[str, ...]] = [("a",), (), (), ("a",)]
    results = [
        decode(Record("t", gold=gold), [chance], head, 0.5, 1)
        for gold, chance in zip(held, [0.9, 0.9, 0.1, 0.1], strict=True)
    ]
    measured = score(results, head.labels, head.problem_type, ("micro_f1", "macro_f1", "accuracy"))
    assert measured.metrics == {"micro_f1": 0.5, "macro_f1": 0.5, "accuracy": 0.5}
    assert [(row.label, row.precision, row.recall, row.support) for row in measured.classes] == [("a", 0.5, 0.5, 2)]


def test_check_known_names_every_unknown_label_once() -> None:
    split = Split(name="dev", records=(Record("x", gold="q", source="f:1"), Record("y", gold="q", source="f:2")))
    with pytest.raises(SqbertError, match=r"1 label\(s\) that are not known: `q` \(f:1\)"):
        check_known(split, ("a",))


def test_examples_of_several_files_are_named_after_all_of_them(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one.csv", "two.csv")]
    for file, label in zip(files, ("good", "bad"), strict=True):
        file.write_text("text,label\n" + f"a film,{label}\n" * 10)
    dataset = choose_dataset(None, Source(train=files, fields=fields_of(None)))
    assert dataset.name == "one.csv, two.csv"
    assert dataset.head.labels == ("bad", "good")

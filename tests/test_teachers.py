"""Teachers: what they are asked, once or at each step, and those of another family."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch

from sqbert_cli.checkpoint import Checkpoint, read_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.evaluation import judge
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.predict.entities import find_entities
from sqbert_cli.predict.texts import classify
from sqbert_cli.records import Record, Span
from sqbert_cli.tasks.choose import Source, parse_named, parse_texts, read_unlabelled
from sqbert_cli.tasks.dataset import Dataset, Split
from sqbert_cli.tasks.entities import NOT_LEARNT, tags_of
from sqbert_cli.tasks.glue import glue_head
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.examples import masked_word_lesson, span_lesson, text_lesson, token_lesson
from sqbert_cli.training.foreign import _layout, load_foreign
from sqbert_cli.training.guides import AskedGuide, Guidance, guided
from sqbert_cli.training.heads import adopt_heads, network_with_heads
from sqbert_cli.training.run import Run
from sqbert_cli.training.teacher import (
    OwnTeacher,
    TeacherScores,
    ask,
    check_teacher,
    columns,
    read_rows,
    window_key,
    write_rows,
)
from sqbert_cli.training.unlabelled import joined
from tests.conftest import WORDS, run_sqbert
from tests.hub_server import lines, run, serve

CPU = torch.device("cpu")
TAGS = tags_of(["LOC", "PER"])
TEXTS = [("the film was unlikely good", None), ("it is a film", "not bad , very fun !"), ("a", "b"), ("", "great")]


@pytest.fixture(scope="module")
def make_mpnet(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write a random MPNet whose word pieces are our own, in another order and with its own special tokens."""
    transformers = pytest.importorskip("transformers")

    def make(kind: str, labels: tuple[str, ...] = (), without: str = "") -> Path:
        folder = tmp_path_factory.mktemp("mpnet")
        pieces = [word for word in dict.fromkeys(WORDS.split()) if not word.startswith("[") and word != without]
        words = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "[UNK]", *pieces[::-1]]
        (folder / "vocab.txt").write_text("\n".join(words) + "\n")
        tokenizer = transformers.MPNetTokenizerFast.from_pretrained(folder)
        tokenizer.save_pretrained(folder)
        names = dict(enumerate(labels))
        config = transformers.MPNetConfig(
            vocab_size=len(words), hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
            max_position_embeddings=64, initializer_range=0.5, pad_token_id=1, id2label=names or None,
        )  # fmt: skip
        torch.manual_seed(0)
        getattr(transformers, f"MPNetFor{kind}")(config).save_pretrained(folder)
        return folder

    return make


def test_a_teacher_of_numbers_may_call_its_label_what_it_likes(
    make_mpnet: Callable[..., Path], make_model: Callable[..., Path]
) -> None:
    student = read_checkpoint(make_model(labels=("score",), problem_type="regression"))
    teacher = load_foreign(make_mpnet("SequenceClassification", ("LABEL_0",)), "mpnet", student)
    lesson = text_lesson(student, student.heads[0], [Record("a film", gold=2.5)], 0.0, class_weights=False)
    check_teacher(teacher, student, lesson)
    assert columns(teacher.head(lesson.head), lesson.head) == [0]


def test_a_teacher_who_was_taught_one_label_a_text_is_none_of_several(make_model: Callable[..., Path]) -> None:
    several = read_checkpoint(make_model(labels=("up", "down"), problem_type="multi_label_classification"))
    teacher = OwnTeacher(read_checkpoint(make_model(labels=("up", "down"))))
    lesson = text_lesson(several, several.heads[0], [Record("a film", gold=("up",))], 0.0, class_weights=False)
    with pytest.raises(SqbertError, match="was taught single label classification, `test` is multi label"):
        check_teacher(teacher, several, lesson)


def windows_of(student: Checkpoint) -> list[Window]:
    tokenizer = student.tokenizer
    return [
        tokenizer.window(tokenizer.encode([a])[0], None if b is None else tokenizer.encode([b])[0]) for a, b in TEXTS
    ]


def reference(folder: Path, kind: str) -> list[Any]:
    """What transformers gives for the same texts, tokenized by the teacher's own tokenizer."""
    import transformers

    model = getattr(transformers, f"AutoModelFor{kind}").from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    found = []
    for a, b in TEXTS:
        encoded = tokenizer(a, b, return_tensors="pt")
        with torch.inference_mode():
            found.append((tokenizer.convert_ids_to_tokens(encoded["input_ids"][0]), model(**encoded)))
    return found


def test_scores_of_tokens_stand_where_the_students_tokens_stand(
    make_mpnet: Callable[..., Path], tiny_model: Path
) -> None:
    student, folder = read_checkpoint(tiny_model), make_mpnet("TokenClassification", TAGS)
    teacher = load_foreign(folder, "mpnet", student)
    windows = windows_of(student)
    rows = teacher.rows(teacher.own_head, windows, CPU)
    assert teacher.own_head.labels == TAGS
    for window, row, (tokens, out) in zip(windows, rows, reference(folder, "TokenClassification"), strict=True):
        assert row.shape == (len(window.input_ids), len(TAGS))
        ours = [student.tokenizer.pieces.id_to_token(token) for token in window.input_ids]
        words = [place for place, token in enumerate(ours) if not token.startswith("[")]
        theirs = [place for place, token in enumerate(tokens) if not token.startswith("<")]
        assert [ours[place] for place in words] == [tokens[place] for place in theirs]
        torch.testing.assert_close(row[[0, *words]], out.logits[0][[0, *theirs]], atol=1e-5, rtol=1e-4)


def test_scores_of_texts_and_of_answers_are_those_of_transformers(
    make_mpnet: Callable[..., Path], tiny_model: Path
) -> None:
    student = read_checkpoint(tiny_model)
    folder = make_mpnet("SequenceClassification", ("negative", "positive"))
    teacher = load_foreign(folder, "mpnet", student)
    rows = teacher.rows(teacher.own_head, windows_of(student), CPU)
    for row, (_, out) in zip(rows, reference(folder, "SequenceClassification"), strict=True):
        torch.testing.assert_close(row, out.logits[0], atol=1e-5, rtol=1e-4)
    folder = make_mpnet("QuestionAnswering")
    teacher = load_foreign(folder, "mpnet", student)
    rows = teacher.rows(teacher.own_head, windows_of(student), CPU)
    for row, (_, out) in zip(rows, reference(folder, "QuestionAnswering"), strict=True):
        expected = torch.stack([out.start_logits, out.end_logits], -1)[0]
        torch.testing.assert_close(row[:2], expected[:2], atol=1e-5, rtol=1e-4)


def test_a_head_of_another_task_with_the_same_labels_is_not_asked(make_model: Callable[..., Path]) -> None:
    known, wanted = glue_head("rte"), glue_head("wnli")
    checkpoint = read_checkpoint(make_model(heads=(known,)))
    records = [Record("good film", "bad film", gold=label) for label in wanted.labels]
    lesson = text_lesson(checkpoint, wanted, records, 0.0, class_weights=False)
    with pytest.raises(SqbertError, match=r"was taught `rte`, whose labels `wnli` has too"):
        check_teacher(OwnTeacher(checkpoint), checkpoint, lesson)
    split = Split(name="dev", records=tuple(records))
    with pytest.raises(SqbertError, match=r"has no head `wnli`; `rte` has the same labels"):
        judge(checkpoint, split, ("accuracy",), wanted)
    with pytest.raises(SqbertError, match=r"tells .*entailment; the task wants "):
        judge(checkpoint, split, ("accuracy",), glue_head("cola"))
    assert judge(checkpoint, split, ("accuracy",), wanted, "rte").metrics["accuracy"] in (0.0, 0.5, 1.0)


def test_the_pairs_of_a_teacher_with_token_types_are_those_of_its_own_tokenizer(
    tiny_model: Path, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    student = read_checkpoint(tiny_model)
    (tmp_path / "vocab.txt").write_text("\n".join(dict.fromkeys(WORDS.split())) + "\n")
    transformers.ElectraTokenizerFast.from_pretrained(tmp_path).save_pretrained(tmp_path)
    config = transformers.ElectraConfig(
        vocab_size=len(WORDS.split()), embedding_size=16, hidden_size=24, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.ElectraForSequenceClassification(config).save_pretrained(tmp_path)
    teacher = load_foreign(tmp_path, "electra", student)
    rows = teacher.rows(teacher.own_head, windows_of(student), CPU)
    for row, (_, out) in zip(rows, reference(tmp_path, "SequenceClassification"), strict=True):
        torch.testing.assert_close(row, out.logits[0], atol=1e-5, rtol=1e-4)


def test_a_teacher_of_another_family_may_be_of_the_hub(
    make_mpnet: Callable[..., Path], tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "hub/org").mkdir(parents=True)
    shutil.copytree(make_mpnet("TokenClassification", TAGS), tmp_path / "hub/org/mpnet")
    code = f"""
from pathlib import Path
from sqbert_cli.checkpoint import read_checkpoint
from sqbert_cli.training.foreign import load_teacher

def labels(name):
    return load_teacher(name, read_checkpoint(Path({str(tiny_model)!r}))).own_head.labels

show(labels, "org/mpnet")
"""
    with serve(tmp_path / "hub") as hub:
        assert lines(run(code, tmp_path, hub.url))[-1] == str(TAGS)
    assert lines(run(code, tmp_path, hub.url, HF_HUB_OFFLINE="1"))[-1] == str(TAGS)


def test_a_teacher_of_another_family_that_is_damaged_is_told(make_mpnet: Callable[..., Path], tiny_model: Path) -> None:
    student, folder = read_checkpoint(tiny_model), make_mpnet("TokenClassification", TAGS)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"id2label": {"0": "A"}, "label2id": {"A": 0}}))
    with pytest.raises(SqbertError, match="the teacher `mpnet` cannot be read: "):
        load_foreign(folder, "mpnet", student)
    (folder / "config.json").write_text(json.dumps(config))
    whole = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SqbertError, match="the teacher `mpnet` cannot be read: "):
        load_foreign(folder, "mpnet", student)


def test_a_word_piece_that_the_teacher_does_not_know_is_told(make_mpnet: Callable[..., Path], tiny_model: Path) -> None:
    student = read_checkpoint(tiny_model)
    teacher = load_foreign(make_mpnet("TokenClassification", TAGS, without="great"), "mpnet", student)
    with pytest.raises(SqbertError, match="does not know the word piece `great`"):
        teacher.rows(teacher.own_head, windows_of(student), CPU)


def test_a_teacher_whose_pieces_begin_with_a_mark_is_told() -> None:
    """As those of sentencepiece do, of DeBERTa and ALBERT."""
    transformers = pytest.importorskip("transformers")
    pieces = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({"\u2581a": 0, "\u2581b": 1, "a": 2, "b": 3, "?": 4}, "?")
    )
    pieces.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    with pytest.raises(SqbertError, match="marks where words begin"):
        _layout(transformers.PreTrainedTokenizerFast(tokenizer_object=pieces, unk_token="?"), is_pair=False)


def test_rows_are_kept_as_they_are(tmp_path: Path) -> None:
    for rows in ([torch.randn(3), torch.randn(3)], [torch.randn(4, 2), torch.randn(1, 2), torch.randn(7, 2)]):
        keys = [window_key(Window([number], [0])) for number in range(len(rows))]
        write_rows(tmp_path / "rows", keys, rows)
        for (key, row), (known, again) in zip(zip(keys, rows, strict=True), read_rows(tmp_path / "rows"), strict=True):
            assert key == known
            assert torch.equal(row, again)


def test_a_window_that_is_there_twice_is_asked_about_once(tiny_model: Path, tmp_path: Path) -> None:
    teacher, some = OwnTeacher(read_checkpoint(tiny_model)), Run(tmp_path, CPU, torch.float32)
    head, windows = teacher.checkpoint.heads[0], windows_of(teacher.checkpoint)
    assert [told.done for told in ask(teacher, head, windows * 3, some)] == [len(windows)]
    rows = returned(ask(teacher, head, windows * 3, some))
    assert torch.equal(torch.stack(rows), torch.stack(teacher.rows(head, windows, CPU) * 3))


def test_windows_that_were_asked_about_are_known_in_any_order_and_by_their_token_types(
    tiny_model: Path, tmp_path: Path
) -> None:
    teacher, some = OwnTeacher(read_checkpoint(tiny_model)), Run(tmp_path, CPU, torch.float32)
    head, windows = teacher.checkpoint.heads[0], windows_of(teacher.checkpoint)
    returned(ask(teacher, head, windows[1:], some))
    assert [told.done for told in ask(teacher, head, windows[::-1], some)] == [len(windows)]
    assert not list(ask(teacher, head, windows, some))
    other = replace(windows[0], token_type_ids=[1] * len(windows[0].input_ids))
    assert [told.done for told in ask(teacher, head, [other], some)] == [1]


@pytest.fixture
def names(tmp_path: Path) -> Path:
    lines = [f"{word} B-PER\nloved O\na O\n{place} B-LOC\n" for word in "bcdefg" for place in "xyz"]
    (tmp_path / "names.conll").write_text("\n".join(lines))
    return tmp_path / "names.conll"


@pytest.mark.slow
def test_a_student_of_entities_learns_from_a_foreign_teacher_asked_once(
    make_mpnet: Callable[..., Path], tiny_model: Path, names: Path, tmp_path: Path
) -> None:
    arguments = ["finetune", "--task", "ner", "--train", names, "--dev", names, "--model", tiny_model, "--epochs", "2"]
    arguments += ["--teacher", make_mpnet("TokenClassification", TAGS), "--teacher-weight", "1", "--threads", "1"]
    for name in ("one", "two"):
        ran = run_sqbert(*arguments, "--output", tmp_path / name)
        assert ran.status == 0, ran.err
    kept = list((tmp_path / "cache" / "teacher-scores").glob("*/*"))
    assert len(kept) == 1  # of up to 2,048 windows
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_a_teacher_who_was_interrupted_is_asked_for_the_rest(
    make_model: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = OwnTeacher(read_checkpoint(make_model()))
    head, texts = teacher.checkpoint.heads[0], ["good", "bad", "a film", "it was good", "good"]
    records = [Record(text, gold=head.labels[0]) for text in texts]
    windows = text_lesson(teacher.checkpoint, head, records, 0.0, class_weights=False).windows
    wanted = teacher.rows(head, windows, CPU)
    monkeypatch.setattr("sqbert_cli.training.teacher.TEACHER_WINDOWS", 2)
    run = Run(tmp_path, CPU, torch.float32)
    assert next(ask(teacher, head, windows, run)) == TeacherScores(2, 4)  # and no further
    asking = ask(teacher, head, windows, run)
    assert next(asking) == TeacherScores(4, 4)
    with pytest.raises(StopIteration) as ended:
        next(asking)
    torch.testing.assert_close(torch.stack(ended.value.value), torch.stack(wanted))


@pytest.mark.parametrize(("task", "header"), [("sst2", "sentence"), ("qnli", "question\tsentence")])
def test_glues_own_files_are_texts_without_labels(task: str, header: str, tmp_path: Path) -> None:
    pair = "not awful" if "\t" in header else None
    (tmp_path / "test.tsv").write_text(f"index\t{header}\n0\ta film" + (f"\t{pair}\n" if pair else "\n"))
    known = Split(name="", records=(Record("a", pair, gold=""),))
    dataset = Dataset(name=task, head=glue_head(task), metrics=(), train=known, dev=())
    (record,) = read_unlabelled(tmp_path / "test.tsv", dataset, Source()).records
    assert (record.text, record.pair) == ("a film", pair)


def test_of_texts_without_labels_the_teacher_tells_them(make_model: Callable[..., Path], tmp_path: Path) -> None:
    texts = ["the film was good", "it is bad", "unlikely fun , not awful"]
    records = [Record(text) for text in texts]
    tags = HeadConfig(name="names", kind="token", labels=TAGS)
    mood = HeadConfig(name="mood", kind="sequence", labels=("negative", "positive"))
    teacher = OwnTeacher(read_checkpoint(make_model(heads=(mood, tags))))
    student = read_checkpoint(make_model(heads=(mood, tags), hidden_size=16))
    some = Run(tmp_path, CPU, torch.float32)
    moods = text_lesson(student, mood, [Record("a film", gold="negative")], 0.0, class_weights=False)
    names = token_lesson(student, tags, [Record("a film", spans=())], 0.0)
    for lesson in (moods, names):
        guidance = Guidance(teachers={lesson.head.name: teacher}, unlabelled={lesson.head.name: records})
        (taught,), guide = returned(guided(guidance, student, [lesson], some))
        assert len(taught.windows) == 4
        assert isinstance(guide, AskedGuide)
        assert len(guide.scores[lesson.head.name]) == 4
        if lesson is moods:
            told = [result.label for result in classify(teacher.checkpoint, records)]  # type: ignore[union-attr]
            assert [mood.labels[index] for index in taught.targets[1:]] == told
        else:
            found = list(find_entities(teacher.checkpoint, records))
            for target, result in zip(taught.targets[1:], found, strict=True):
                learnt = [TAGS[index] for index in target.tolist() if index != NOT_LEARNT]
                assert learnt == list(result.tags)  # type: ignore[union-attr]


def test_of_pairs_and_questions_without_labels_the_teacher_tells_them_too(
    make_model: Callable[..., Path], tmp_path: Path
) -> None:
    likeness = HeadConfig(name="likeness", kind="sequence", labels=("other", "same"))
    answers = HeadConfig(name="answers", kind="span")
    teacher = OwnTeacher(read_checkpoint(make_model(heads=(likeness, answers))))
    student = read_checkpoint(make_model(heads=(likeness, answers), hidden_size=16))
    pairs = [Record("the film was good", "it is bad"), Record("a film", "not awful")]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps({"text": r.text, "pair": r.pair}) + "\n" for r in pairs))
    asked = "".join(json.dumps({"context": r.text, "question": r.pair}) + "\n" for r in pairs)
    (tmp_path / "questions.jsonl").write_text(asked)
    known = [Record("a film", "a film", gold="same", spans=(Span(2, 6, ""),))]
    for lesson, head, file in (
        (text_lesson(student, likeness, known, 0.0, class_weights=False), likeness, "pairs.jsonl"),
        (span_lesson(student, answers, known), answers, "questions.jsonl"),
    ):
        dataset = Dataset(name=head.name, head=head, metrics=(), train=Split(name="", records=tuple(known)), dev=())
        read = read_unlabelled(tmp_path / file, dataset, Source()).records
        assert [(record.text, record.pair) for record in read] == [(record.text, record.pair) for record in pairs]
        guidance = Guidance(teachers={head.name: teacher}, unlabelled={head.name: read})
        (taught,), _ = returned(guided(guidance, student, [lesson], Run(tmp_path, CPU, torch.float32)))
        rows = teacher.rows(head, taught.windows, CPU)
        assert len(rows) == 3
        for row, target in zip(rows[1:], taught.targets[1:].tolist(), strict=True):
            if head is likeness:
                assert target == row.argmax()
            (tmp_path / "pairs.txt").write_text((tmp_path / file).read_text())
            same = read_unlabelled(tmp_path / "pairs.txt", dataset, Source(format="jsonl")).records
            assert [(record.text, record.pair) for record in same] == [(record.text, record.pair) for record in pairs]
        (tmp_path / "texts.txt").write_text("a film\n")
        with pytest.raises(SqbertError, match="does not name its columns" if head is likeness else "single texts"):
            read_unlabelled(tmp_path / "texts.txt", dataset, Source())
        (tmp_path / "sick.txt").write_text("pair_ID\tsentence_A\tsentence_B\n1\ta film\tnot awful\n")
        if head is likeness:
            assert read_unlabelled(tmp_path / "sick.txt", dataset, Source()).records[0].pair == "not awful"
    guidance = Guidance(teachers={"answers": teacher}, unlabelled={"answers": [Record("a", "film " * 999)]})
    with pytest.raises(SqbertError, match="`answers`: nothing to learn from"):
        returned(guided(guidance, student, [span_lesson(student, answers, known)], Run(tmp_path, CPU, torch.float32)))


@pytest.mark.parametrize(
    ("scores", "target"),
    [
        ([(0, 0), (9, 9), (9, 9), (1, 0), (5, 3), (0, 4), (9, 9)], (4, 5)),
        ([(0, 0), (9, 9), (9, 9), (5, 6), (0, 0), (0, 2), (9, 9)], (3, 3)),
        ([(6, 4), (9, 9), (9, 9), (5, 4), (0, 0), (0, 2), (9, 9)], (0, 0)),
    ],
)
def test_the_teachers_answer_is_in_the_context_or_there_is_none(
    scores: list[tuple[int, int]], target: tuple[int, int], make_model: Callable[..., Path]
) -> None:
    answers = HeadConfig(name="answers", kind="span")
    student = read_checkpoint(make_model(heads=(answers,)))
    lesson = span_lesson(student, answers, [Record("a film good", "it", spans=(Span(2, 6, ""),))])
    (taught,) = joined(lesson, lesson, [torch.tensor(scores, dtype=torch.float32)]).targets[1:].tolist()  # type: ignore[attr-defined]
    assert lesson.windows[0].token_type_ids == [0, 0, 0, 1, 1, 1, 1]
    assert tuple(taught) == target


def test_what_softens_nothing_and_has_no_share_is_refused(make_model: Callable[..., Path], tmp_path: Path) -> None:
    student = read_checkpoint(make_model(labels=("score",), problem_type="regression"))
    (head,), teacher = student.heads, OwnTeacher(student)
    lesson = text_lesson(student, head, [Record("a film", gold=2.5)], 0.0, class_weights=False)
    words = masked_word_lesson(student, HeadConfig(name="words", kind="masked_word"), [Record("a film")])
    for settings, taught, said in (
        ({"temperature": 4.0}, lesson, "`--temperature` does nothing for these tasks"),
        ({"weight": 0.5, "state_weight": 1.0}, words, "`--teacher-weight` does nothing for these tasks"),
    ):
        guidance = Guidance(teachers={taught.head.name: teacher}, **settings)
        with pytest.raises(SqbertError, match=said):
            returned(guided(guidance, student, [taught], Run(tmp_path, CPU, torch.float32)))


def test_each_task_can_have_a_teacher_of_its_own(make_model: Callable[..., Path], tmp_path: Path) -> None:
    tags = HeadConfig(name="names", kind="token", labels=TAGS)
    mood = HeadConfig(name="mood", kind="sequence", labels=("negative", "positive"))
    rest = HeadConfig(name="rest", kind="sequence", labels=("negative", "positive"))
    student = read_checkpoint(make_model(heads=(mood, tags, rest)))
    of_mood, of_names = (OwnTeacher(read_checkpoint(make_model(heads=(head,)))) for head in (mood, tags))
    lessons = [
        text_lesson(student, mood, [Record("a film", gold="negative")], 0.0, class_weights=False),
        token_lesson(student, tags, [Record("a film", spans=())], 0.0),
        text_lesson(student, rest, [Record("a film", gold="negative")], 0.0, class_weights=False),
    ]
    some = Run(tmp_path, CPU, torch.float32)
    guidance = Guidance(teachers={"mood": of_mood, "names": of_names}, unlabelled={"names": [Record("it is bad")]})
    taught, guide = returned(guided(guidance, student, lessons, some))
    assert [len(lesson.windows) for lesson in taught] == [1, 2, 1]
    assert isinstance(guide, AskedGuide)
    assert {name: len(rows) for name, rows in guide.scores.items()} == {"mood": 1, "names": 2}
    for guidance, message in (
        (Guidance(teachers={"mood": of_mood}, unlabelled={"rest": [Record("a")]}), "no teacher to tell them"),
        (Guidance(teachers={"mood": of_mood}, state_weight=1.0), "one teacher of all tasks, and `names` has none"),
        (Guidance(teachers={"mood": of_mood, "names": of_names, "rest": of_mood}, state_weight=1.0), "one teacher of"),
        (Guidance(teachers={"mood": of_mood, "words": of_names}), "has nothing to say on `words`"),
    ):
        with pytest.raises(SqbertError, match=message):
            returned(guided(guidance, student, lessons, some))


def test_pairs_without_labels_have_the_names_of_the_training_data(tiny_model: Path, tmp_path: Path) -> None:
    train, more = tmp_path / "train.jsonl", tmp_path / "more.jsonl"
    train.write_text('{"a": "good", "b": "fun", "label": "x"}\n{"a": "bad", "b": "fun", "label": "y"}\n' * 4)
    more.write_text('{"a": "good", "b": "bad"}\n{"a": "good"}\n')
    words = ["finetune", "--train", train, "--dev", train, "--text-field", "a", "--pair-field", "b", "--epochs", "1"]
    taught = run_sqbert(*words, "--model", tiny_model, "--output", tmp_path / "taught", "--threads", "1")
    assert taught.status == 0, taught.err
    words += ["--model", tiny_model, "--teacher", tmp_path / "taught", "--unlabelled", more, "--threads", "1"]
    ran = run_sqbert(*words, "--output", tmp_path / "out")
    assert ran.status == 0, ran.err
    assert "1 examples without labels" in ran.err
    assert f"{more}:2: no field `b`" in ran.err


@pytest.mark.slow
def test_of_several_tasks_one_learns_from_a_foreign_teacher_and_from_texts(
    make_mpnet: Callable[..., Path], tiny_model: Path, names: Path, tmp_path: Path
) -> None:
    (tmp_path / "mood.jsonl").write_text(
        '{"text": "good fun", "label": "up"}\n{"text": "awful", "label": "down"}\n' * 9
    )
    (tmp_path / "text.txt").write_text("b loved x and it is a film that is good fun\n" * 3)
    mpnet = make_mpnet("TokenClassification", TAGS)
    ran = run_sqbert("finetune", "--model", tiny_model, "--output", tmp_path / "out", "--threads", "1", "--epochs", "1",
                     "--multi", f"mood={tmp_path / 'mood.jsonl'}:{tmp_path / 'mood.jsonl'}",
                     "--multi", f"ner={names}:{names}", "--teacher", f"ner={mpnet}",
                     "--unlabelled", f"ner={tmp_path / 'text.txt'}")  # fmt: skip
    assert ran.status == 0, ran.err
    assert len(list((tmp_path / "cache" / "teacher-scores").glob("*/*"))) == 2  # of the examples, and of the text
    training = json.loads((tmp_path / "out" / "training.json").read_text())
    assert (training["teacher"], training["unlabelled"]) == (f"ner={mpnet}", "ner=text.txt")


def test_what_is_named_for_a_task(tmp_path: Path) -> None:
    (tmp_path / "a=b").write_text("a text")
    both, file = ["mood", "ner"], str(tmp_path / "a=b")
    assert parse_named("--teacher", ["big", "ner=big=er"], both, both) == {"mood": "big", "ner": "big=er"}
    assert parse_named("--teacher", [], both, both) == {}
    assert parse_texts([file, f"ner={file}"], both) == {"mood": tmp_path / "a=b", "ner": tmp_path / "a=b"}
    for items, message in {
        ("ner=a", "ner=b"): "`--teacher ner=b`: another is given for the same task",
        ("a", "b"): "`--teacher b`: another is given for the same task",
        ("a", "mood=b", "ner=c"): "`--teacher a`: another is given for the same task",
        ("mer=a",): "`mer` is none of the tasks",
        ("ner=",): "names nothing",
        ("",): "names nothing",
    }.items():
        with pytest.raises(SqbertError, match=message) as raised:
            parse_named("--teacher", items, both, both)
        assert "mood, ner" in str(raised.value.hint)
    with pytest.raises(SqbertError, match="another is given"):
        parse_texts([f"mood={file}", file], both)
    with pytest.raises(SqbertError, match="is no file"):
        parse_texts([f"mood={tmp_path}"], both)


def test_a_teacher_is_asked_in_the_precision_of_the_run(make_model: Callable[..., Path], tmp_path: Path) -> None:
    mood = HeadConfig(name="mood", kind="sequence", labels=("negative", "positive"))
    teacher = OwnTeacher(read_checkpoint(make_model(heads=(mood,))))
    windows = windows_of(teacher.checkpoint)
    told = {
        dtype: torch.stack(returned(ask(teacher, mood, windows, Run(tmp_path, CPU, dtype))))
        for dtype in (torch.float32, torch.bfloat16)
    }
    assert not torch.equal(told[torch.float32], told[torch.bfloat16])
    torch.testing.assert_close(told[torch.float32], told[torch.bfloat16], atol=0.05, rtol=0.05)
    assert torch.equal(told[torch.float32], torch.stack(teacher.rows(mood, windows, CPU)))


def returned(generator: Generator[object, None, Any]) -> Any:
    """What a generator returns at its end."""
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


def test_new_heads_start_as_those_of_a_teacher_of_the_same_states(make_model: Callable[..., Path]) -> None:
    mood = HeadConfig(name="mood", kind="sequence", labels=("negative", "positive"))
    words = HeadConfig(name="words", kind="masked_word")
    teacher, base = (read_checkpoint(make_model(heads=heads)) for heads in ((mood,), ()))
    student = network_with_heads(base, [mood, words], dropout=0.0, seed=1)
    before = [tensor.clone() for tensor in student.network.heads["words"].state_dict().values()]
    adopt_heads(student, base, teacher)
    for name, tensor in teacher.network.heads["mood"].state_dict().items():
        assert torch.equal(tensor, student.network.heads["mood"].state_dict()[name])
    for was, tensor in zip(before, student.network.heads["words"].state_dict().values(), strict=True):
        assert torch.equal(was, tensor)

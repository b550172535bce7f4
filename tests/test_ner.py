"""`sqbert ner`: entities in their places, whatever the text and however it is cut."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sqbert_cli import find_entities
from sqbert_cli.checkpoint import Checkpoint, read_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.predict import rows
from sqbert_cli.records import Entities, Record, Word
from sqbert_cli.tasks.entities import Strategy, decode, judge_words, likeliest_tags
from sqbert_cli.text.fields import has_text
from sqbert_cli.text.tags import broken
from tests.conftest import run_sqbert

TEXT = "I loved the film, it was a great film! A boring one? Awful."


def entities(checkpoint: Checkpoint, *texts: str | Record, **options: object) -> list[Entities]:
    results = list(find_entities(checkpoint, texts, **options))  # type: ignore[arg-type]
    assert all(isinstance(result, Entities) for result in results)
    return results  # type: ignore[return-value]


@settings(max_examples=60)
@given(st.text(max_size=200).filter(has_text))
def test_entities_are_whole_words_of_any_text(many_heads: Path, text: str) -> None:
    if not text.isprintable() and "\ud800" <= max(text) <= "\udfff":
        return
    (result,) = entities(checkpoint_of(many_heads), text)
    edges = {word.start for word in result.words}, {word.end for word in result.words}
    for before, after in zip(result.entities, result.entities[1:], strict=False):
        assert before.end <= after.start
    for entity in result.entities:
        assert entity.text == text[entity.start : entity.end] != ""
        assert entity.start in edges[0]
        assert entity.end in edges[1]
        assert 0 < entity.score <= 1


CHECKPOINTS: dict[Path, Checkpoint] = {}


def checkpoint_of(folder: Path) -> Checkpoint:
    return CHECKPOINTS.setdefault(folder, read_checkpoint(folder))


def test_marks_stay_with_their_letter(many_heads: Path) -> None:
    (result,) = entities(checkpoint_of(many_heads), "a cafe\u0301 a")
    assert [(word.start, word.end) for word in result.words] == [(0, 1), (2, 7), (8, 9)]


def test_batches_do_not_change_what_is_found(many_heads: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = checkpoint_of(many_heads)
    texts = [TEXT * count for count in (1, 7, 2, 30, 1)]
    together = entities(checkpoint, *texts)
    monkeypatch.setattr(rows, "CPU_BATCH_TOKENS", 1)
    monkeypatch.setattr(rows, "GROUP_TOKENS", 40)
    for result, text in zip(together, texts, strict=True):
        (alone,) = entities(checkpoint, text)
        assert [(e.start, e.end, e.label) for e in alone.entities] == [
            (e.start, e.end, e.label) for e in result.entities
        ]
        assert [e.score for e in alone.entities] == pytest.approx([e.score for e in result.entities], abs=1e-5)
    assert together[3].windows > 10


def test_windows_do_not_change_what_a_model_without_surroundings_finds(many_heads: Path) -> None:
    checkpoint = read_checkpoint(many_heads)
    with torch.no_grad():  # a token knows only itself: wherever windows are cut, it must be judged the same
        checkpoint.network.transformer.embeddings.position_embeddings.weight.zero_()
        for block in checkpoint.network.transformer.encoder.layers:
            block.post_attention.conv1d.weight.zero_()  # type: ignore[union-attr,operator]
    found = [entities(checkpoint, TEXT * 20, stride=stride)[0].entities for stride in (0, 1, 7, 20)]
    assert len(found[0]) > 20
    for others in found[1:]:
        assert [(e.start, e.end, e.label) for e in others] == [(e.start, e.end, e.label) for e in found[0]]


def test_words_of_a_file_are_kept(many_heads: Path) -> None:
    words = (Word(0, 7), Word(8, 13))
    (result,) = entities(checkpoint_of(many_heads), Record("e.g.you don't", words=words))
    assert result.words == words
    assert all((e.start, e.end) in {(0, 7), (8, 13), (0, 13)} for e in result.entities)


def test_a_word_without_pieces_is_outside(many_heads: Path) -> None:
    (result,) = entities(checkpoint_of(many_heads), Record("a \u200b b", words=(Word(0, 1), Word(2, 3), Word(4, 5))))
    assert all(not e.start <= 2 < e.end for e in result.entities)


PIECES = torch.tensor([[0.1, 0.9, 0.0], [0.7, 0.3, 0.0], [0.2, 0.0, 0.8]])


@pytest.mark.parametrize(("strategy", "scores"), [("first", [0.9, 0.8]), ("average", [0.6, 0.8]), ("max", [0.9, 0.8])])
def test_the_pieces_of_a_word_agree(strategy: str, scores: list[float]) -> None:
    judged = judge_words(PIECES, [0, 0, 1], 2, strategy)  # type: ignore[arg-type]
    assert judged.argmax(-1).tolist() == [1, 2]
    assert judged.max(-1).values.tolist() == pytest.approx(scores)


def test_many_words_are_judged_right_by_many_threads() -> None:
    pieces = torch.rand(60_000, 3)
    owner = [place // 5 for place in range(len(pieces))]
    assert torch.equal(judge_words(pieces, owner, 12_000, "first"), pieces[::5])
    surest = pieces.view(12_000, 5, 3)[torch.arange(12_000), pieces.max(-1).values.view(12_000, 5).argmax(-1)]
    assert torch.equal(judge_words(pieces, owner, 12_000, "max"), surest)


def test_strategies_differ_where_pieces_do() -> None:
    pieces = torch.tensor([[0.6, 0.4], [0.1, 0.9]])
    strategies: tuple[Strategy, ...] = ("first", "average", "max")
    best = {strategy: judge_words(pieces, [0, 0], 1, strategy).argmax().item() for strategy in strategies}
    assert best == {"first": 0, "average": 1, "max": 1}
    assert judge_words(pieces, [-1, -1], 1, "first").tolist() == [[0.0, 0.0]]


TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG")


def test_tags_are_the_likeliest_that_iob2_allows() -> None:
    """Against all sequences, tried one by one."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(40):
        of_words = torch.rand(5, len(TAGS), generator=generator).softmax(-1)
        allowed = [path for path in product(range(len(TAGS)), repeat=5) if not broken([TAGS[tag] for tag in path])]
        best = max(allowed, key=lambda path: math.prod(of_words[range(5), path].tolist()))
        assert likeliest_tags(of_words, TAGS) == list(best)
    assert likeliest_tags(torch.zeros(0, len(TAGS)), TAGS) == []


def test_a_word_without_pieces_ends_an_entity() -> None:
    of_words = torch.tensor([[0.1, 0.8, 0.1, 0, 0], [0, 0, 0, 0, 0], [0.1, 0.2, 0.7, 0, 0]])
    assert [TAGS[tag] for tag in likeliest_tags(of_words, TAGS)] == ["B-PER", "O", "B-PER"]


def test_pieces_of_entities_are_not_told_by_a_head_that_learnt_iob2(many_heads: Path) -> None:
    base = checkpoint_of(many_heads)
    texts = [" ".join(f"word{n} Name{n * k}" for n in range(40)) for k in range(1, 9)]
    heads = tuple(replace(head, scheme="IOB2") if head.kind == "token" else head for head in base.heads)
    assert any(broken(result.tags) for result in entities(base, *texts))
    found = entities(replace(base, heads=heads), *texts)
    assert not any(broken(result.tags) for result in found)
    assert all(result.entities for result in found)


def test_neighbours_of_one_name_are_one_entity_with_the_mean_score() -> None:
    words = [Word(0, 3), Word(4, 7), Word(7, 8)]
    (entity,) = decode("Ann Lee.", words, ["B-PER", "I-PER", "O"], [0.9, 0.7, 1.0])
    assert (entity.text, entity.label, entity.score) == ("Ann Lee", "PER", pytest.approx(0.8))


def test_a_record_keeps_its_fields(many_heads: Path) -> None:
    record = {"id": 7, "entities": ["old"], "text": "I loved the film"}
    ran = run_sqbert("ner", "--model", many_heads, stdin=json.dumps(record) + '\n{"no": 1}\nnot json\n')
    assert ran.status == 1
    (line,) = map(json.loads, ran.out.splitlines())
    assert (line["id"], line["input_entities"]) == (7, ["old"])
    assert line["entities"]
    for entity in line["entities"]:
        assert list(entity) == ["text", "label", "start", "end", "score"]
        assert entity["text"] == record["text"][entity["start"] : entity["end"]]  # type: ignore[index]
        assert entity["label"] in ("LOC", "PER")
    assert "stdin:2: no field `text`" in ran.err
    assert "2 lines were skipped" in ran.err


def test_labels_and_threshold_leave_out(many_heads: Path) -> None:
    checkpoint = checkpoint_of(many_heads)
    (all_of_them,), (people,) = entities(checkpoint, TEXT), entities(checkpoint, TEXT, labels=["PER"], threshold=0.5)
    assert people.entities == tuple(e for e in all_of_them.entities if e.label == "PER" and e.score >= 0.5)
    with pytest.raises(SqbertError, match="has no entities called `GPE`") as caught:
        entities(checkpoint, TEXT, labels=["GPE"])
    assert caught.value.hint == "it has: LOC, PER"
    with pytest.raises(SqbertError, match="a window holds 30 tokens of the text, --stride is 30"):
        entities(checkpoint, TEXT, stride=30)


def test_conll_in_and_out(many_heads: Path, tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("I PRP O\nloved VBD O\n\nfilm NN B-X\n\nbad\n")
    ran = run_sqbert("ner", "--model", many_heads, "--input", tmp_path / "a.conll", "--format", "conll")
    assert (ran.status, ran.err) == (0, "")
    rows_of = [line.split(" ") for line in ran.out.splitlines() if line]
    assert [row[:-1] for row in rows_of] == [["I", "PRP", "O"], ["loved", "VBD", "O"], ["film", "NN", "B-X"], ["bad"]]
    assert {row[-1] for row in rows_of} <= {"O", "B-PER", "I-PER", "B-LOC", "I-LOC"}


def test_a_terminal_sees_entities_and_a_legend(many_heads: Path) -> None:
    ran = run_sqbert("ner", "--model", many_heads, "--format", "table", "I loved the film")
    (result,) = entities(checkpoint_of(many_heads), "I loved the film")
    text, *_, legend = ran.out.splitlines()
    for entity in result.entities:
        assert f"[{entity.text} {entity.label}]" in text
        assert entity.label in legend


def test_a_page_holds_every_text_though_a_line_was_bad(many_heads: Path) -> None:
    ran = run_sqbert("ner", "--model", many_heads, "--format", "html", stdin='{"text": "good film"}\n{"x": 1}\n')
    assert ran.status == 1
    assert ran.out.startswith("<!doctype html>")
    assert ran.out.rstrip().endswith("</html>")
    assert "1 line was skipped" in ran.err


def test_a_model_without_the_head_says_what_it_has(tiny_model: Path) -> None:
    ran = run_sqbert("ner", "--model", tiny_model, "a film")
    assert ran.status == 1
    assert "has no head for entities; it has: `test` (whole texts)" in ran.err


def test_of_two_heads_one_is_chosen(make_model: Callable[..., Path], many_heads: Path) -> None:
    names = next(head for head in read_checkpoint(many_heads).heads if head.kind == "token")
    folder = make_model(heads=(names, replace(names, name="other")))
    checkpoint = checkpoint_of(folder)
    assert entities(checkpoint, TEXT) == entities(checkpoint, TEXT, head="names")
    assert entities(checkpoint, TEXT) != entities(checkpoint, TEXT, head="other")
    ran = run_sqbert("ner", "--model", folder, "--head", "third", "a film")
    assert "no head for entities called `third`; it has: `names` (entities), `other` (entities)" in ran.err


def stdlib_docs(count: int) -> list[str]:
    """Ordinary English of every length: what Python's own modules say of themselves."""
    import argparse
    import asyncio
    import collections
    import decimal
    import email.message
    import logging
    import tarfile
    import threading
    import unittest.mock
    import zipfile

    modules = (argparse, asyncio, collections, decimal, email.message, logging, tarfile, threading, unittest.mock,
               zipfile, sys)  # fmt: skip
    things = [thing for module in modules for thing in vars(module).values()]
    things += [member for thing in things if isinstance(thing, type) for member in vars(thing).values()]
    found = {doc for thing in [*modules, *things] if isinstance(doc := getattr(thing, "__doc__", None), str)}
    found = {doc for doc in found if len(doc) > 60}
    docs = sorted(found, key=lambda doc: (len(doc), doc))
    step = len(docs) / (count - 20)
    picked = [docs[int(number * step)] for number in range(count - 20)]
    return picked + ["\n\n".join(docs[number::40]) for number in range(20)]


@pytest.mark.slow
def test_entities_equal_those_of_the_pipeline(tmp_path: Path) -> None:
    import transformers

    from sqbert_cli.places import shipped_models

    torch.manual_seed(0)
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
    sizes = {"vocab_size": 30522, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
             "intermediate_size": 64, "initializer_range": 0.4, "id2label": dict(enumerate(labels)),
             "embedding_size": 32}  # fmt: skip
    model = transformers.SqueezeBertForTokenClassification(transformers.SqueezeBertConfig(**sizes))
    tokenizer = transformers.AutoTokenizer.from_pretrained(next(iter(shipped_models().values())), model_max_length=512)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    pipeline = transformers.pipeline(
        "ner", model=str(tmp_path), aggregation_strategy="first", stride=128, dtype="float32"
    )
    texts = stdlib_docs(200)
    results = entities(checkpoint_of(tmp_path), *texts, stride=128)
    compared = windows = 0
    for text, result in zip(texts, results, strict=True):
        theirs = [(e["start"], e["end"], e["entity_group"], e["score"]) for e in pipeline(text)]
        ours = [(e.start, e.end, e.label, e.score) for e in result.entities]
        seams = seams_of(tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"])
        ours, theirs = (
            [e for e in some if all(e[1] + 60 < a or e[0] - 60 > b for a, b in seams)] for some in (ours, theirs)
        )
        assert [e[:3] for e in ours] == [e[:3] for e in theirs]
        assert [e[3] for e in ours] == pytest.approx([float(e[3]) for e in theirs], abs=1e-4)
        compared, windows = compared + len(ours), max(windows, result.windows)
    assert compared > 500
    assert windows >= 4


def seams_of(offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Where two windows of 510 pieces share 128: there the pipeline takes the longer of two spans, we the inner one."""
    starts = range(382, max(382, len(offsets) - 128), 382) if len(offsets) > 510 else ()
    return [(offsets[start][0], offsets[min(start + 127, len(offsets) - 1)][1]) for start in starts]

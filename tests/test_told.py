"""Hidden words, and how well entities are told."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from seqeval.metrics import classification_report, f1_score
from seqeval.scheme import IOB2

from sqbert_cli.records import Entities, Record, Span, Word
from sqbert_cli.tasks.masked_words import Draws, hide_words
from sqbert_cli.tasks.span_metrics import score_entities
from tests.conftest import run_sqbert


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

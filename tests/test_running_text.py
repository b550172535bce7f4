"""Running text: its word pieces in the cache, its passages, and how a step reads them."""

from __future__ import annotations

import gzip
import lzma
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from sqbert_cli.errors import SqbertError
from sqbert_cli.tasks.entities import NOT_LEARNT
from sqbert_cli.tasks.masked_words import Draws, continuations, hide_words
from sqbert_cli.tasks.running_text import read_text
from sqbert_cli.text.corpus import TokenFile, read_tokens, token_key, tokenize
from sqbert_cli.text.tokenizer import Tokenizer
from sqbert_cli.training.passages import Marks, Passages, split_documents
from sqbert_cli.training.processes import Processes
from sqbert_cli.training.reading import Reader
from tests.toys import tokens_of


@pytest.fixture
def tokenizer(vocabulary: Path) -> Tokenizer:
    return Tokenizer.read(vocabulary)


def test_a_text_that_changes_while_it_is_read_is_not_kept(tokenizer: Tokenizer, tmp_path: Path) -> None:
    text, folder = tmp_path / "a.txt", tmp_path / "cache"
    text.write_text("the film was good\n" * 3_000)
    reading = tokenize(text, tokenizer, folder)
    next(reading)
    with text.open("a") as file:
        file.write("the film was bad\n")
    with pytest.raises(SqbertError, match="has changed while it was read"):
        list(reading)
    assert list(folder.glob("*.edges")) == []


def test_a_pipe_is_no_text_to_be_read_twice(tokenizer: Tokenizer, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SqbertError, match="is no plain file"):
        token_key(tmp_path / "pipe", tokenizer)


@pytest.mark.parametrize("name", ["texts.jsonl", "texts.csv.gz", "texts.v2"])
def test_records_are_no_running_text(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    line = b'{"text": "the film was good and it was very fun"}\n' * 9
    (tmp_path / name).write_bytes(gzip.compress(line) if name.endswith(".gz") else line)
    for read in (
        lambda path: read_text([path], 1_000),
        lambda path: list(tokenize(path, tokenizer, tmp_path / "cache")),
    ):
        with pytest.raises(SqbertError, match="not running text"):
            read(tmp_path / name)


def test_a_blank_line_ends_a_document_and_without_any_each_line_is_one(tokenizer: Tokenizer, tmp_path: Path) -> None:
    cache, two, lines = tmp_path / "cache", tmp_path / "two.txt", tmp_path / "lines.txt"
    two.write_text("\n\nthe film\nwas good\n\n\nit\n")
    lines.write_text("the film\nwas good\nit")
    assert tokens_of(two, tokenizer, cache).edges.tolist() == [0, 4, 5]
    assert tokens_of(lines, tokenizer, cache).edges.tolist() == [0, 2, 4, 5]
    ids = tokens_of(two, tokenizer, cache).ids
    assert ids.tolist() == tokenizer.encode(["the film was good it"])[0]
    assert isinstance(ids, np.memmap)
    assert ids.dtype == np.uint16


def test_a_blank_line_at_the_end_separates_nothing_and_long_lines_are_whole(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    lines, long = tmp_path / "lines.txt", tmp_path / "long.txt"
    lines.write_text("the film\nwas good\n\n")
    assert tokens_of(lines, tokenizer, tmp_path).edges.tolist() == [0, 2, 4]
    long.write_text("the film was good " * 100_000 + "\nit\n")
    file = tokens_of(long, tokenizer, tmp_path)
    assert file.edges.tolist() == [0, 400_000, 400_001]
    assert file.ids[:400_000].reshape(-1, 4).tolist() == tokenizer.encode(["the film was good"]) * 100_000


def test_a_text_is_tokenized_once_and_named_by_its_content(tokenizer: Tokenizer, tmp_path: Path) -> None:
    one, other, packed = tmp_path / "one.txt", tmp_path / "other.txt", tmp_path / "packed.txt.xz"
    one.write_text("the film\nwas good\n")
    other.write_text("the film\nwas good\n")
    packed.write_bytes(lzma.compress(one.read_bytes()))
    assert list(tokenize(one, tokenizer, tmp_path))[-1].done == one.stat().st_size
    assert list(tokenize(other, tokenizer, tmp_path)) == []
    assert token_key(one, tokenizer) == token_key(other, tokenizer)
    other.write_text("the film\nwas bad\n")
    assert token_key(one, tokenizer) != token_key(other, tokenizer)
    assert tokens_of(packed, tokenizer, tmp_path).ids.tolist() == tokens_of(one, tokenizer, tmp_path).ids.tolist()


def test_a_text_without_words_and_a_cache_cut_short_are_told(tokenizer: Tokenizer, tmp_path: Path) -> None:
    empty, text = tmp_path / "empty.txt", tmp_path / "text.txt"
    empty.write_text("\n \n")
    with pytest.raises(SqbertError, match="no text in"):
        tokens_of(empty, tokenizer, tmp_path)
    text.write_text("the film was good")
    tokens_of(text, tokenizer, tmp_path)
    os.truncate(tmp_path / f"{token_key(text, tokenizer)}.ids", 4)
    with pytest.raises(SqbertError, match="damaged"):
        read_tokens(text, tokenizer, tmp_path)


UNMARKED = Marks(np.zeros(100_000, np.bool_), np.zeros(100_000, np.bool_))


def test_documents_are_learnt_from_or_held_out_whole_whatever_the_length() -> None:
    sizes = np.random.default_rng(0).integers(8, 300, 200)
    edges = np.concatenate([[0], np.cumsum(sizes)])
    file = TokenFile("key", np.arange(edges[-1], dtype=np.uint32), edges)
    held = []
    for max_tokens in (16, 100):
        learnt, held_out = split_documents([file], UNMARKED, max_tokens, 0.03, 42)
        assert max(learnt.lengths.max(), held_out.lengths.max()) <= max_tokens
        seen = np.concatenate([passages.ids(i) for passages in (learnt, held_out) for i in range(len(passages))])
        assert sorted(seen) == list(range(edges[-1]))
        held.append(sorted(np.concatenate([held_out.ids(i) for i in range(len(held_out))])))
    assert held[0] == held[1]
    documents = np.searchsorted(edges, held[0], "right")
    assert len(set(documents)) == 6
    assert len(held[0]) == sum(sizes[index - 1] for index in set(documents))


def test_too_little_text_is_told() -> None:
    file = TokenFile("key", np.arange(30, dtype=np.uint16), np.array([0, 26, 30]))
    with pytest.raises(SqbertError, match="too little text: 1 documents"):
        split_documents([file], UNMARKED, 16, 0.03, 42)


def reader(tokenizer: Tokenizer, **values: bool) -> Reader:
    chosen = {"order": True, "hide": True, "whole_words": False} | values
    return Reader(tokenizer=tokenizer, pad_token_id=0, seed=1, **chosen)


def passages_of(tokenizer: Tokenizer, texts: list[str]) -> Passages:
    rows = tokenizer.encode(texts)
    edges = np.cumsum([0, *map(len, rows)])
    ids = np.array([token for row in rows for token in row], np.uint16)
    file = TokenFile("key", ids, edges)
    return Passages((file,), np.array([[0, start, end] for start, end in pairwise(edges)]))


def test_half_of_the_pairs_have_changed_places_at_the_end_of_a_sentence(tokenizer: Tokenizer) -> None:
    passages = passages_of(tokenizer, ["the film was good . it was bad and boring ."] * 200)
    reading = reader(tokenizer, hide=False).read(passages, range(200), 3)
    first, second = (tokenizer.encode([text])[0] for text in ("the film was good .", "it was bad and boring ."))
    for row, swapped in zip(reading.batch.input_ids.tolist(), reading.swapped.tolist(), strict=True):
        assert row == tokenizer.window(*((second, first) if swapped else (first, second))).input_ids
    assert 70 < int(reading.swapped.sum()) < 130
    assert torch.equal(reading.shown, reading.batch.input_ids)


@pytest.mark.parametrize("together", [1, 3, 40])
def test_no_full_stop_tells_the_order(together: int, tokenizer: Tokenizer, tmp_path: Path) -> None:
    random, text = np.random.default_rng(0), tmp_path / "text.txt"
    words = ["film", "good", "bad", "unlikely", "boring", "lovedly", "great"]
    sentences = [" ".join(random.choice(words, random.integers(3, 9))) + " ." for _ in range(4_000)]
    documents = [" ".join(sentences[n : n + together]) for n in range(0, len(sentences), together)]
    text.write_text("\n\n".join(documents))
    learnt, _ = split_documents([tokens_of(text, tokenizer, tmp_path)], Marks.of(tokenizer), 40, 0.03, 42)
    reading = reader(tokenizer, hide=False).read(learnt, range(len(learnt)), 0)
    stop, sep = tokenizer.pieces.token_to_id("."), tokenizer.sep_id
    rows = zip(reading.batch.input_ids.tolist(), reading.swapped.tolist(), strict=True)
    ends = [([row[n - 1] == stop for n, i in enumerate(row) if i == sep], swapped) for row, swapped in rows]
    pairs = [(of_parts, swapped) for of_parts, swapped in ends if swapped != NOT_LEARNT]
    assert all(len(of_parts) == 1 + (swapped != NOT_LEARNT) for of_parts, swapped in ends)
    assert len(pairs) > 900 if together > 1 else len(pairs) < 20
    assert sum(first == second for (first, second), _ in pairs) >= 0.95 * len(pairs)
    if together > 1:
        assert 0.45 < np.mean([first == (not swapped) for (first, _), swapped in pairs]) < 0.55
        assert learnt.lengths.mean() > 20


def test_without_order_half_are_single_texts_and_half_pairs_in_order(tokenizer: Tokenizer) -> None:
    passages = passages_of(tokenizer, ["the film was good . it was bad"] * 100)
    rows = reader(tokenizer, order=False, hide=False).read(passages, range(100), 0).batch
    pairs = rows.token_type_ids.any(1)
    assert 30 < int(pairs.sum()) < 70
    plain = [[token for token in row if token > 3] for row in rows.input_ids.tolist()]
    assert plain == [tokenizer.encode(["the film was good . it was bad"])[0]] * 100


def test_hidden_words_differ_from_step_to_step_and_not_within_one(tokenizer: Tokenizer) -> None:
    passages = passages_of(tokenizer, ["the film was good . it was bad and boring and awful"] * 8)
    some = reader(tokenizer)
    again, other = some.read(passages, range(8), 5), some.read(passages, range(8), 6)
    assert torch.equal(some.read(passages, range(8), 5).hidden, again.hidden)
    assert not torch.equal(other.hidden, again.hidden)
    part = again.part([1, 4])
    assert torch.equal(part.shown, again.shown[[1, 4]][:, : part.shown.shape[1]])


def test_each_process_reads_its_own_rows_of_a_step_as_one_alone_does(tokenizer: Tokenizer) -> None:
    passages = passages_of(tokenizer, ["the film was good . it was bad", "it was boring", "a b . c d and a film"] * 3)
    for order in (True, False):
        some = reader(tokenizer, order=order)
        alone = some.read(passages, range(9), 5)
        for rank in (0, 1):
            own = some.read(passages, range(9), 5, Processes(rank, 2))
            length = own.shown.shape[1]
            assert torch.equal(own.shown, alone.shown[rank::2, :length])
            assert torch.equal(own.hidden, alone.hidden[rank::2, :length])
            assert torch.equal(own.swapped, alone.swapped[rank::2])
        assert len(some.read(passages, range(1), 5, Processes(1, 2)).swapped) == 0


def test_whole_words_are_hidden_with_all_their_pieces(tokenizer: Tokenizer) -> None:
    ids = torch.tensor(tokenizer.encode(["unlikely films loved un lovedly"])[0] * 50)[None]
    goes_on = continuations(tokenizer)
    draws = Draws.of(ids.shape, 60, torch.Generator().manual_seed(0))
    _, hidden = hide_words(ids, torch.zeros_like(ids, dtype=torch.bool), 4, draws, goes_on)
    pieces = goes_on[ids[0]]
    assert pieces.any()
    assert torch.equal(hidden[0, 1:][pieces[1:]], hidden[0, :-1][pieces[1:]])
    assert 0.08 < hidden.float().mean() < 0.25

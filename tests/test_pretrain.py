"""Pretraining: what is read of running text, what is learnt from it, and runs that are killed or shared."""

from __future__ import annotations

import gzip
import json
import lzma
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from sqbert_cli.batch import collate
from sqbert_cli.checkpoint import Checkpoint, read_checkpoint
from sqbert_cli.console import talk
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.model.weights import from_disk, reference_names, to_disk
from sqbert_cli.tasks.masked_words import Draws, continuations, hide_words
from sqbert_cli.tasks.running_text import read_text
from sqbert_cli.text.corpus import TokenFile, read_tokens, token_key, tokenize
from sqbert_cli.text.tokenizer import Tokenizer, Window
from sqbert_cli.training.arrange import arranged, choose_arrangement
from sqbert_cli.training.distil import (
    diagonal_blocks,
    layer_variances,
    matched_layers,
    relation_loss,
    states_loss,
    student_of,
)
from sqbert_cli.training.lamb import Lamb
from sqbert_cli.training.objectives import parse_objectives
from sqbert_cli.training.optimise import Finished
from sqbert_cli.training.passages import Marks, Passages, split_documents
from sqbert_cli.training.presets import PRESETS, SMALL, choose_settings
from sqbert_cli.training.pretrain import pretrain
from sqbert_cli.training.processes import Processes
from sqbert_cli.training.reading import Reader
from sqbert_cli.training.run import Run
from sqbert_cli.views.training import show_training
from tests.conftest import ROOT, run_sqbert

CPU = torch.device("cpu")


def tokens_of(path: Path, tokenizer: Tokenizer, folder: Path) -> TokenFile:
    for _ in tokenize(path, tokenizer, folder):
        pass
    return read_tokens(path, tokenizer, folder)


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


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Paragraphs in which the second word of each sentence tells the fourth."""
    draw = random.Random(0)
    pairs = {"film": "good", "loved": "great", "bad": "awful", "boring": "fun"}
    lines = []
    for _ in range(400):
        keys = draw.choices(list(pairs), k=draw.randint(2, 6))
        lines.append(" ".join(f"the {key} was {pairs[key]} ." for key in keys))
        lines += [""] * draw.randint(0, 1)
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text("\n".join(lines))
    return path


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


def test_no_full_stop_tells_the_order(tokenizer: Tokenizer, tmp_path: Path) -> None:
    random, text = np.random.default_rng(0), tmp_path / "text.txt"
    words = ["film", "good", "bad", "unlikely", "boring", "lovedly", "great"]
    sentences = [" ".join(random.choice(words, random.integers(3, 9))) + " ." for _ in range(4_000)]
    text.write_text("\n\n".join(" ".join(sentences[n : n + 40]) for n in range(0, len(sentences), 40)))
    for _ in tokenize(text, tokenizer, tmp_path):
        pass
    learnt, _ = split_documents([read_tokens(text, tokenizer, tmp_path)], Marks.of(tokenizer), 40, 0.03, 42)
    reading = reader(tokenizer, hide=False).read(learnt, range(len(learnt)), 0)
    stop, sep = tokenizer.pieces.token_to_id("."), tokenizer.sep_id
    rows = reading.batch.input_ids.tolist()
    first_ends, second_ends = zip(
        *([row[n - 1] == stop for n, i in enumerate(row) if i == sep] for row in rows), strict=True
    )
    in_order = (reading.swapped == 0).tolist()
    for ends in (first_ends, second_ends):
        assert 0.4 < np.mean([one == other for one, other in zip(ends, in_order, strict=True)]) < 0.6
    assert learnt.lengths.mean() > 25


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


def test_lamb_takes_adams_direction_and_the_length_of_the_weights() -> None:
    torch.manual_seed(0)
    weights = torch.nn.Parameter(torch.randn(5, 3))
    mean, square = torch.zeros(5, 3), torch.zeros(5, 3)
    lamb = Lamb([weights], lr=0.1, weight_decay=0.01)
    for step in range(1, 4):
        weights.grad = torch.randn(5, 3)
        mean, square = 0.9 * mean + 0.1 * weights.grad, 0.999 * square + 0.001 * weights.grad**2
        update = mean / (1 - 0.9**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-6) + 0.01 * weights.detach()
        expected = weights.detach() - 0.1 * weights.detach().norm() / update.norm() * update
        lamb.step()
        torch.testing.assert_close(weights.detach(), expected)
    zero = torch.nn.Parameter(torch.zeros(3))
    zero.grad = torch.ones(3)
    Lamb([zero], lr=0.1).step()
    torch.testing.assert_close(zero.detach(), torch.full((3,), -0.1), atol=1e-5, rtol=0)
    bias = torch.nn.Parameter(torch.full((3,), 1e-3))
    bias.grad = torch.ones(3)
    Lamb([{"params": [bias], "adapted": False}], lr=0.1).step()
    torch.testing.assert_close(bias.detach(), torch.full((3,), -0.099), atol=1e-5, rtol=0)


def test_the_papers_settings_are_the_published_ones() -> None:
    paper = choose_settings("paper")
    assert (paper.steps, paper.max_length, paper.long_steps, paper.long_length) == (56_000, 128, 6_000, 512)
    assert paper.batch_size * paper.accumulation == 8_192
    assert (paper.optimiser, paper.learning_rate, paper.warmup_fraction) == ("lamb", 2.5e-3, 0.28)
    assert choose_settings("paper", steps=5, seed=None).steps == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--objectives", "words"], "no objective `words`"),
        (["--objectives", "masked-words=much"], "not a number"),
        (["--objectives", "masked-words=-1"], "not a number above 0"),
        (["--objectives", "masked-words,masked-words"], "named twice"),
        (["--max-length", "600"], "reads 512 tokens at most"),
        (["--objectives", "states"], "needs a teacher"),
        (["--teacher", "MODEL", "--objectives", "masked-words"], "nothing is learnt from the teacher"),
        (["--teacher", "MODEL", "--objectives", "logits"], "no head for masked words"),
        (["--model", "MODEL", "--layers", "3"], "--layers goes with a new model"),
    ],
)
def test_what_does_not_fit_together_is_told(
    arguments: list[str], message: str, make_model: Callable[..., Path], corpus: Path, tmp_path: Path
) -> None:
    model = str(make_model(model_type="bert"))
    if "--model" not in arguments:
        arguments = [*arguments, "--model", model]
    ran = run_sqbert(
        "pretrain", corpus, "--output", tmp_path / "out", *(model if a == "MODEL" else a for a in arguments)
    )
    assert ran.status in (1, 2)
    assert message in " ".join(ran.err.split())


def arguments_of(corpus: Path, model: Path, *more: str) -> list[str]:
    return ["pretrain", str(corpus), "--model", str(model), "--batch-size", "8", "--accumulation", "2", "--max-length",
            "32", "--learning-rate", "1e-2", "--threads", "1", *more]  # fmt: skip


def history(folder: Path) -> list[dict[str, float]]:
    return json.loads((folder / "training.json").read_text())["history"]


def weights(folder: Path) -> bytes:
    return (folder / "model.safetensors").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("guided", [False, True], ids=["text alone", "a teacher"])
def test_held_out_text_is_told_better_and_a_killed_run_goes_on_to_the_same_bits(
    guided: bool, make_model: Callable[..., Path], tiny_model: Path, corpus: Path, tmp_path: Path
) -> None:
    more = ["--steps", "180", "--long-steps", "20", "--save-steps", "20", "--whole-words"]
    if guided:
        more += ["--teacher", str(make_model(model_type="bert")), "--objectives", "states,relations,masked-words=0.5"]
    arguments = arguments_of(corpus, tiny_model, *more)
    ran = run_sqbert(*arguments, "--output", tmp_path / "whole")
    assert ran.status == 0, ran.err
    losses = [row["states loss" if guided else "masked-words loss"] for row in history(tmp_path / "whole")]
    assert losses[-1] < 0.9 * losses[0]
    killed = subprocess.Popen(
        [sys.executable, "-m", "sqbert_cli", *arguments, "--output", str(tmp_path / "killed")],
        cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while not (tmp_path / "killed" / ".resume" / "progress.pt").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    ran = run_sqbert(*arguments, "--output", tmp_path / "killed", "--resume")
    assert ran.status == 0, ran.err
    assert weights(tmp_path / "whole") == weights(tmp_path / "killed")


@pytest.mark.slow
def test_the_commands_of_the_readme_start_from_nothing_or_from_a_teacher(
    make_model: Callable[..., Path], corpus: Path, tmp_path: Path
) -> None:
    words = HeadConfig(name="words", kind="masked_word")
    teacher = make_model(model_type="bert", hidden_size=64, num_attention_heads=8, heads=(words,))
    same = ["--steps", "3", "--batch-size", "4", "--max-length", "32", "--threads", "1"]
    ran = run_sqbert("pretrain", corpus, "--output", tmp_path / "new", *same, "--layers", "1")
    assert ran.status == 0, ran.err
    assert "1 layers, width 384" in ran.err
    assert "to learn from, " in ran.err
    assert [line.split()[1] for line in ran.err.splitlines() if "held-out loss" in line] == ["0", "3"]
    ran = run_sqbert("pretrain", corpus, "--output", tmp_path / "student", *same, "--teacher", teacher,
                     "--hidden-size", "32", "--objectives", "relations,logits=0.5")  # fmt: skip
    assert ran.status == 0, ran.err
    student = read_checkpoint(tmp_path / "student")
    assert (student.config.hidden_size, [head.kind for head in student.heads]) == (32, ["masked_word"])
    last = history(tmp_path / "student")[-1]
    assert last["loss"] == pytest.approx(last["relations loss"] + 0.5 * last["logits loss"], rel=1e-4)
    ran = run_sqbert("pretrain", corpus, "--output", tmp_path / "on", *same, "--model", tmp_path / "new",
                     "--objectives", "masked-words")  # fmt: skip
    assert ran.status == 0, ran.err
    assert "heads that stay behind: order" in ran.err
    assert "held-out text | masked accuracy" in (tmp_path / "on/README.md").read_text()


def test_the_help_tells_the_presets_numbers() -> None:
    shown = " ".join(run_sqbert("pretrain", "--help").out.replace("│", " ").split())
    small, distil = PRESETS["small"], PRESETS["distil"]
    assert f"Updates of the weights. Default: {small.steps:,}; of distil {distil.steps:,}." in shown
    assert f"Highest learning rate. Default: {small.learning_rate:g}; of distil {distil.learning_rate:g}." in shown
    assert f"warming up. Default: {small.warmup_fraction:g}; of distil {distil.warmup_fraction:g}." in shown
    assert f"in a part of it. Default: {small.batch_size}." in shown
    assert f"Default: {SMALL.num_hidden_layers}, or those of the teacher." in shown


ODD = {
    "% of the text is held out": "the film was good and very fun .\n" * 40 + "\n" + "a bad film , was it not fun ?\n",
    "documents of 9 word pieces in windows of 128 tokens": "the film was good and fun and great .\n" * 40,
}


@pytest.mark.parametrize(("said", "text"), ODD.items(), ids=["one of two documents", "a sentence a line"])
def test_a_text_that_is_divided_oddly_is_told(said: str, text: str, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(text)
    model = read_checkpoint(tiny_model)
    files = [tokens_of(tmp_path / "text.txt", model.tokenizer, tmp_path)]
    settings = replace(choose_settings("small"), steps=1, seed=1)
    run = Run(tmp_path, CPU, torch.float32)
    with talk.capture() as shown:
        show_training([next(pretrain(model, files, settings, run)), Finished(0, [])], run)
    assert said in " ".join(shown.get().split())


def test_relations_are_alike_between_equals_whatever_their_widths(make_model: Callable[..., Path]) -> None:
    teacher = read_checkpoint(make_model(model_type="bert", hidden_size=48, num_attention_heads=6))
    student = read_checkpoint(make_model(model_type="bert"))
    batch = collate([Window([2, 5, 6, 7, 3], [0] * 5), Window([2, 9, 3], [0] * 3)], 0, CPU)

    def loss(one: Checkpoint, other: Checkpoint) -> torch.Tensor:
        ours, theirs = one.network.transformer, other.network.transformer
        return relation_loss(
            ours, theirs, ours.hidden_states(*batch.inputs()), theirs.hidden_states(*batch.inputs()), batch
        )

    assert loss(student, student).item() == pytest.approx(0, abs=1e-6)
    apart = loss(student, teacher)
    assert apart.item() > 0.01
    apart.backward()
    assert student.network.transformer.embeddings.word_embeddings.weight.grad.abs().sum() > 0


def test_objectives_are_weighed() -> None:
    assert parse_objectives("states, masked-words=0.25") == {"states": 1.0, "masked-words": 0.25}


def test_diagonal_blocks_are_the_columns_of_the_own_group() -> None:
    dense = torch.arange(24).view(4, 6)
    assert diagonal_blocks(dense, 3).tolist() == [[0, 1, 2], [6, 7, 8], [15, 16, 17], [21, 22, 23]]


@pytest.mark.parametrize(
    ("student", "teacher", "pairs"),
    [(2, 2, [(1, 1), (2, 2)]), (4, 2, [(2, 1), (4, 2)]), (1, 3, [(1, 3)]), (3, 2, [(3, 2)])],
)
def test_layers_of_equal_depth_are_matched(student: int, teacher: int, pairs: list[tuple[int, int]]) -> None:
    assert matched_layers(student, teacher) == pairs


def test_a_student_of_a_block_diagonal_teacher_is_its_equal(make_model: Callable[..., Path]) -> None:
    dense = read_checkpoint(make_model(model_type="bert"))
    state = reference_names(to_disk(dense.network, dense.heads))
    for name, tensor in state.items():
        if re.search(r"attention\.(query|key|value)\.weight|(intermediate|output)\.conv1d\.weight", name):
            rows, columns = (size // 4 for size in tensor.shape)
            tensor *= torch.block_diag(*[torch.ones(rows, columns)] * 4)
    teacher = replace(dense, network=from_disk(dense.config, dense.heads, state))
    batch = collate([Window([2, 5, 6, 7, 3], [0] * 5)], 0, torch.device("cpu"))
    ours, theirs = student_of(teacher).network.transformer, teacher.network.transformer
    states, variances = (
        (ours.hidden_states(*batch.inputs()), theirs.hidden_states(*batch.inputs())),
        layer_variances(theirs, batch),
    )
    loss = states_loss(*states, batch, variances)
    assert loss.item() < 1e-10


def dense_state(checkpoint: Checkpoint) -> dict[str, torch.Tensor]:
    return reference_names(to_disk(checkpoint.network, checkpoint.heads))


def test_heads_and_neurons_in_another_order_compute_the_same(make_model: Callable[..., Path]) -> None:
    dense = read_checkpoint(make_model(model_type="bert"))
    state, grouped = (
        dense_state(dense),
        replace(dense.config, model_type="squeezebert", q_groups=4, intermediate_groups=4),
    )
    arrangement = choose_arrangement(state, dense.config, grouped)
    assert arrangement.channels.tolist() == list(range(32))
    assert any(order.tolist() != sorted(order.tolist()) for order in (*arrangement.heads, *arrangement.neurons))
    again = from_disk(dense.config, dense.heads, state | arranged(state, arrangement))
    batch = collate([Window([2, 5, 6, 7, 3], [0] * 5)], 0, CPU)
    for before, after in zip(
        dense.network.transformer.hidden_states(*batch.inputs()),
        again.transformer.hidden_states(*batch.inputs()),
        strict=True,
    ):
        torch.testing.assert_close(before, after, atol=1e-5, rtol=1e-5)


def test_the_order_keeps_more_weight_within_the_groups(make_model: Callable[..., Path]) -> None:
    dense = read_checkpoint(make_model(model_type="bert"))
    state = dense_state(dense)
    config = replace(dense.config, model_type="squeezebert", q_groups=4, intermediate_groups=4)

    def kept(tensors: dict[str, torch.Tensor]) -> float:
        weight = tensors["transformer.encoder.layers.0.intermediate.conv1d.weight"]
        return diagonal_blocks(weight, 8).square().sum().item()

    assert kept(arranged(state, choose_arrangement(state, dense.config, config))) > 1.1 * kept(state)


def test_a_student_may_be_narrower_than_its_teacher(make_model: Callable[..., Path]) -> None:
    teacher = read_checkpoint(
        make_model(model_type="bert", hidden_size=64, num_attention_heads=8, intermediate_size=128)
    )
    student = student_of(teacher, layers=1, hidden_size=32)
    assert (student.config.hidden_size, student.config.num_attention_heads, student.config.intermediate_size) == (
        32,
        4,
        64,
    )
    with pytest.raises(SqbertError, match="cannot be cut out"):
        student_of(teacher, hidden_size=128)

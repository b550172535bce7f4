"""Pretraining: what is read of running text, what is learnt from it, and runs that are killed or shared."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sqbert_cli.checkpoint import read_checkpoint
from sqbert_cli.console import talk
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.training.lamb import Lamb
from sqbert_cli.training.objectives import parse_objectives
from sqbert_cli.training.optimise import Finished
from sqbert_cli.training.presets import PRESETS, SMALL, choose_settings
from sqbert_cli.training.pretrain import HeldOut, pretrain
from sqbert_cli.training.run import Run
from sqbert_cli.training.starts import prepare
from sqbert_cli.views.training import show_training
from tests.conftest import ROOT, run_sqbert
from tests.toys import tokens_of

CPU = torch.device("cpu")


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
    if not guided:  # killed at any moment in test_kills
        return
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
    "100% of the windows are a single sentence": "the film was good and fun and great .\n" * 40,
    "documents of 9 word pieces in windows of 128 tokens": "the film was good and fun and great .\n" * 40,
}


@pytest.mark.parametrize(
    ("said", "text"), ODD.items(), ids=["one of two documents", "a sentence a line", "short documents"]
)
def test_a_text_that_is_divided_oddly_is_told(said: str, text: str, tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text(text)
    model = read_checkpoint(tiny_model)
    files = [tokens_of(tmp_path / "text.txt", model.tokenizer, tmp_path)]
    settings = replace(choose_settings("small"), steps=1, seed=1)
    run = Run(tmp_path, CPU, torch.float32)
    with talk.capture() as shown:
        show_training([next(pretrain(model, files, settings, run)), Finished(0, [])], run)
    assert said in " ".join(shown.get().split())


def test_order_that_is_not_there_is_not_scored(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the film was good and fun and great .\n" * 40)
    model = read_checkpoint(tiny_model)
    settings = replace(choose_settings("small"), steps=1, seed=1)
    events = pretrain(
        prepare(model, settings, None),
        [tokens_of(tmp_path / "text.txt", model.tokenizer, tmp_path)],
        settings,
        Run(tmp_path, CPU, torch.float32),
    )
    told = [event.metrics for event in events if isinstance(event, HeldOut)]
    assert [set(metrics) for metrics in told] == [{"loss", "masked-words loss", "masked accuracy"}] * 2


def test_a_text_that_comes_twice_is_refused(tiny_model: Path, corpus: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.txt"
    copy.write_bytes(corpus.read_bytes())
    ran = run_sqbert("pretrain", corpus, copy, "--output", tmp_path / "out", "--model", tiny_model)
    assert ran.status == 1
    assert f"`{copy}` is the same text as `{corpus}`" in "".join(ran.err.split("\n"))
    ran = run_sqbert("pretrain", copy, copy, "--output", tmp_path / "twice", "--model", tiny_model)
    assert "is the same text as" in ran.err


def test_objectives_are_weighed() -> None:
    assert parse_objectives("states, masked-words=0.25") == {"states": 1.0, "masked-words": 0.25}

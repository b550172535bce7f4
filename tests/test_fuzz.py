"""A little of `python -m tests.fuzz` each time; and what its long runs found, each mended."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from sqbert_cli.errors import MOST, SqbertError
from sqbert_cli.phone.facts import parse_conditions
from sqbert_cli.phone.links import Ran
from sqbert_cli.phone.problems import PhoneError
from sqbert_cli.phone.result import MARK, read_result
from sqbert_cli.records import BadRecord, Record
from sqbert_cli.text import files, tables
from sqbert_cli.text.corpus import read_tokens, token_key, tokenize
from sqbert_cli.text.files import read_text
from sqbert_cli.text.pieces import read_pieces
from sqbert_cli.text.readers import read_records
from sqbert_cli.text.tokenizer import Tokenizer
from sqbert_cli.training.optimise import Trainer, make_trainer
from sqbert_cli.training.run import Run, take_best
from sqbert_cli.training.settings import OptimiserSettings
from tests.conftest import ROOT, run_sqbert
from tests.fuzz.engine import Fuzzed, fuzz
from tests.fuzz.phones import RESULT, with_mark
from tests.fuzz.targets import TARGETS, make_target

CASES = 300
SETTINGS = OptimiserSettings(learning_rate=0.1)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore")  # of torch's unpickler, at each odd pickle
def test_whatever_bytes_come_nothing_crashes(name: str, tmp_path: Path) -> None:
    tally = fuzz(make_target(name, tmp_path / "work"), tmp_path / "findings", cases=CASES, seconds=30)
    assert tally.findings == {}
    assert tally.cases >= CASES or tally.seconds >= 30
    assert tally.worst < 5


def test_a_crash_and_a_message_of_no_use_are_found_and_kept(tmp_path: Path) -> None:
    def attempt(data: bytes) -> None:
        if b"\xff" in data:
            raise KeyError("not ours")
        if len(data) > 100:
            raise SqbertError("")

    tally = fuzz(Fuzzed("target", attempt, [b"abc" * 30]), tmp_path, cases=2_000)
    assert set(tally.findings) == {"KeyError at ?", "a message of no use"}
    assert b"\xff" in tally.findings["KeyError at ?"].read_bytes()


@pytest.mark.slow
def test_the_tool_counts_and_repeats(tmp_path: Path) -> None:
    tool = [sys.executable, "-m", "tests.fuzz", "marked", "--folder", str(tmp_path)]
    ended = subprocess.run([*tool, "--cases", "500"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("marked (mutated, seed 0): 500 cases in ")
    (tmp_path / "one").write_bytes(b"no result")
    ended = subprocess.run(
        [*tool, "--repeat", str(tmp_path / "one")], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert "PhoneError" in ended.stderr


# What was found


def test_a_message_about_ten_thousand_fields_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text(",".join(f"column {number}" for number in range(10_000)) + "\n1\n")
    with pytest.raises(SqbertError, match="has no field `text`; found: `column 0`") as caught:
        list(read_records(tmp_path / "wide.csv"))
    assert len(caught.value.message) < MOST + 100
    assert caught.value.hint == "name the right one with `--text-field`"


@pytest.mark.parametrize("ending", [".txt", ".jsonl", ".csv", ".txt.gz", ".json"])
def test_a_line_without_an_end_does_not_fill_the_memory(
    ending: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gzip

    monkeypatch.setattr(files, "MOST_BYTES", 1_000)
    path = tmp_path / f"in{ending}"
    path.write_bytes((gzip.compress if ending.endswith("gz") else bytes)(b"text\n" + b"x" * 1_001))
    with pytest.raises(SqbertError, match="has a line of more than 1,000 bytes"):
        list(read_records(path))


def test_quotes_that_are_never_closed_do_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_ROW_CHARACTERS", 100)
    monkeypatch.setattr(csv, "field_size_limit", lambda limit: None)  # of the whole process, tests after this one too
    (tmp_path / "in.csv").write_text("text\n" + '"never closed\n' + "a line\n" * 20 + "good\n")
    items = list(read_records(tmp_path / "in.csv"))
    assert isinstance(items[0], BadRecord)
    assert items[0].reason == "not CSV: a row of more than 100 characters; lines 2 to 15 are lost"
    assert items[0].source.endswith("in.csv:2")
    assert isinstance(items[-1], Record)
    assert items[-1].text == "good"


def test_what_is_read_as_a_whole_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 1_000)
    (tmp_path / "book.txt").write_text("a line\n" * 1_000)
    with pytest.raises(SqbertError, match=r"has more than 1,000 bytes, and must be read as a whole"):
        read_text(tmp_path / "book.txt")
    assert len(list(read_records(tmp_path / "book.txt"))) == 1_000


@pytest.mark.parametrize("tail", ["9" * 5_000, " " * 300_000 + "x", " -" + " " * 300_000 + "x"])
def test_an_odd_last_line_from_a_phone_is_neither_a_crash_nor_a_hang(tail: str) -> None:
    began = time.process_time()
    with pytest.raises(PhoneError, match="did not come back whole"):
        read_result(Ran(0, f"{{}}\n{MARK} {'0' * 64}  {tail}\n", ""), "native", "")
    assert time.process_time() - began < 2


def test_an_odd_line_about_the_battery_is_passed_over() -> None:
    assert parse_conditions(["battery|level|a: b", "battery|level: 85"]).battery_percent == 85


def test_control_characters_around_a_number_are_no_part_of_it() -> None:
    assert parse_conditions(["battery|level: \x1f85", "cpu|\x1f7|\x1e1000|x|y"]).cpus[0].max_khz == 1000


@pytest.mark.parametrize(
    "values", [{"threads": 10**400}, {"watched": [[-1]]}, {"peak_kb": 1e300}, {"affinity": [10**13]}, {"models": 3}]
)
def test_a_result_of_impossible_numbers_is_none_of_ours(values: dict[str, Any]) -> None:
    body = json.dumps(RESULT | values).encode()
    with pytest.raises(PhoneError, match="the result is none of ours"):
        read_result(Ran(0, with_mark(body).decode(), ""), "native", "")


def test_logits_in_rows_of_several_lengths_are_none_of_ours() -> None:
    body = json.dumps(RESULT).encode().replace(b"[[0.1, 0.2]]", b"[[0.1, 0.2], [0.3]]")
    with pytest.raises(PhoneError, match="rows of several lengths"):
        read_result(Ran(0, with_mark(body).decode(), ""), "native", "")


def test_a_vocabulary_without_its_unknown_word_is_told(make_model: Callable[..., Path]) -> None:
    model = make_model()
    values = json.loads((model / "tokenizer.json").read_text())
    values["added_tokens"] = [one for one in values["added_tokens"] if one["content"] != "[UNK]"]
    del values["model"]["vocab"]["[UNK]"]
    (model / "tokenizer.json").write_text(json.dumps(values))
    ran = run_sqbert("classify", "\u65e5\u672c", "--model", model)
    assert (ran.status, ran.out) == (1, "")
    assert "error: the model's tokenizer cannot read a text: " in ran.err
    with pytest.raises(SqbertError, match="cannot read a text"):  # as entities and answers are read
        list(read_pieces(Tokenizer.read(model), "\u65e5\u672c"))


def test_word_pieces_whose_places_are_lost_are_told(vocabulary: Path, tmp_path: Path) -> None:
    tokenizer, text = Tokenizer.read(vocabulary), tmp_path / "text.txt"
    text.write_text("the film\nwas good\n")
    list(tokenize(text, tokenizer, tmp_path))
    edges = tmp_path / f"{token_key(text, tokenizer)}.edges"
    whole = edges.read_bytes()
    for damaged in (b"", whole[:-8], whole[8:], whole + bytes(8), whole[:8] + b"\xff" * 8 + whole[16:]):
        edges.write_bytes(damaged)
        with pytest.raises(SqbertError, match="is damaged"):
            read_tokens(text, tokenizer, tmp_path)


def trainer() -> Trainer:
    network = torch.nn.Linear(2, 3)
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    return make_trainer(network, SETTINGS, 10)


def set_value(*path: Any, value: Any) -> Callable[[dict[str, Any]], None]:
    def spoil(saved: dict[str, Any]) -> None:
        place: Any = saved
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return spoil


SPOILT: list[Callable[[dict[str, Any]], Any]] = [
    lambda saved: saved.pop("identity"),
    lambda saved: saved.pop("optimiser"),
    lambda saved: saved["optimiser"]["param_groups"][0].pop("eps"),
    lambda saved: saved["network"].pop("bias"),
    set_value("identity", value=3),
    set_value("network", "weight", value=torch.zeros(7)),
    set_value("optimiser", "state", 0, "exp_avg", value=torch.zeros(7)),
    lambda saved: saved["optimiser"]["state"][0].pop("exp_avg"),
    set_value("optimiser", "param_groups", 0, "betas", value=(0.9,)),
    set_value("progress", "history", value="x"),
    set_value("progress", "best_score", value="x"),
    set_value("progress", "step", value=11),
    set_value("progress", "step", value="x"),
    set_value("progress", "another", value=1),
]


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_resume_file_that_is_not_as_we_wrote_it_is_told(
    spoil: Callable[[dict[str, Any]], Any], tmp_path: Path
) -> None:
    run, first = Run(tmp_path, torch.device("cpu"), torch.float32, resume=True), trainer()
    first.optimiser.step()
    identity = run.identity(SETTINGS, {})
    run.save(first, identity)
    list(run.start(trainer(), identity))
    saved = torch.load(run.file, weights_only=True)
    spoil(saved)
    torch.save(saved, run.file)
    with pytest.raises(SqbertError, match=r"progress\.pt` is damaged: ") as caught:
        list(run.start(trainer(), identity))
    assert caught.value.hint == f"remove `{tmp_path}` to start anew"


def test_best_weights_that_are_damaged_are_told(tmp_path: Path) -> None:
    run = Run(tmp_path, torch.device("cpu"), torch.float32)
    run.best_file.write_bytes(b"no weights")
    with pytest.raises(SqbertError, match=r"best\.safetensors` is damaged"):
        take_best(run, torch.nn.Linear(2, 3))


def test_a_bad_line_that_quotes_a_million_characters_is_told_briefly(tmp_path: Path) -> None:
    ran = run_sqbert("evaluate", "--task", "ner", "--input", _entities(tmp_path))
    assert ran.status == 1
    assert len(ran.err) < 2 * MOST


def _entities(folder: Path) -> Path:
    path = folder / "entities.jsonl"
    path.write_text(json.dumps({"text": "good", "entities": ["y" * 1_000_000]}) + "\n")
    return path

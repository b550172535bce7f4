"""Where little is as it should be: a plain locale, a narrow terminal, no home, odd names, other line ends."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from sqbert_cli.process import SETTINGS, SPINS, environment_of_others, keep_few_kernels, wait_briefly
from tests.conftest import ROOT, sqbert

ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
COLOURS = re.compile(r"\x1b\[(?:[0-9]+;)*3[0-9]")
PLAIN = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
TEXT = "the film was good"
CONLL = "Ann NNP B-PER\r\nsaw VBD O\r\nRome NNP B-LOC\r\n\r\nbad NNP B-PER\r\nfilm NN O\r\n"
SQUAD = {"version": "1.1", "data": [{"paragraphs": [{"context": "the film was good", "qas": [
    {"id": "é 1", "question": "what was good ?", "answers": [{"text": "film", "answer_start": 4}]}]}]}]}  # fmt: skip


@pytest.fixture(scope="module")
def place(many_heads: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a name that few programs expect, with files of Windows' line ends."""
    place = tmp_path_factory.mktemp("odd") / "Ünï cödé 日本 $x 'q'"
    place.mkdir()
    shutil.copytree(many_heads, place / "my model é")
    for name in ("config.json", "tokenizer_config.json"):
        file = place / "my model é" / name
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    rows = [("good film", "positive"), ("bad film é", "negative")] * 12
    (place / "in put.jsonl").write_text("".join(json.dumps({"text": t, "label": g}) + "\r\n" for t, g in rows))
    (place / "in put.csv").write_text("text,label\r\n" + "".join(f'"{t}",{g}\r\n' for t, g in rows))
    (place / "in put.txt").write_text("".join(f"{t}\r\n" for t, _ in rows), encoding="utf-8")
    (place / "names.conll").write_text(CONLL)
    (place / "squad é.json").write_text(json.dumps(SQUAD, indent=1).replace("\n", "\r\n"))
    (place / "labels.txt").write_text("sport\r\nmusic\r\n")
    return place


def environment(**values: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("HOME", "COLUMNS", "NO_COLOR", "TERM")}
    return kept | {"PYTHONPATH": str(ROOT), **values}


def run(place: Path, *arguments: str, **values: str) -> str:
    locale = ("env", *(f"{name}={value}" for name, value in PLAIN.items())) if values.items() >= PLAIN.items() else ()
    ended = subprocess.run(
        sqbert(*arguments, inside=locale),
        cwd=place, env=environment(**values), capture_output=True, stdin=subprocess.DEVNULL, timeout=300,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr.decode()
    assert b"Traceback" not in ended.stderr
    return ended.stdout.decode()


COMMANDS: dict[str, list[str]] = {
    "classify jsonl": ["classify", "--input", "in put.jsonl"],
    "classify csv": ["classify", "--input", "in put.csv", "--format", "csv"],
    "classify text": ["classify", "--input", "in put.txt"],
    "own labels": ["classify", "--input", "in put.txt", "--labels-file", "labels.txt", "--method", "embedding"],
    "ner": ["ner", "--input", "in put.txt"],
    "ner html": ["ner", "--input", "in put.txt", "--format", "html"],
    "ner conll": ["ner", "--input", "names.conll", "--format", "conll"],
    "qa": ["qa", "--input", "squad é.json"],
    "fill-mask": ["fill-mask", "the film é was [MASK]"],
    "embed": ["embed", "--input", "in put.txt"],
    "evaluate": ["evaluate", "--input", "in put.jsonl"],
    "info": ["models", "info", "my model é"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_neither_locale_nor_home_nor_names_nor_line_ends_matter(name: str, place: Path) -> None:
    model = [] if name == "info" else ["--model", "my model é"]
    said = run(place, *COMMANDS[name], *model, **PLAIN)
    assert "\r" not in said
    assert "\\r" not in said
    assert name in ("evaluate", "ner conll", "info") or "é" in said
    if name == "ner conll":
        assert [line.split()[0] for line in said.splitlines() if line] == ["Ann", "saw", "Rome", "bad", "film"]


@pytest.mark.slow
def test_a_model_is_trained_and_vectors_are_written_in_a_place_of_an_odd_name(place: Path) -> None:
    same = ("--model", "my model é", "--threads", "1")
    run(place, "embed", "--input", "in put.txt", "--output", "aus gang ü.npy", *same, **PLAIN)
    assert (place / "aus gang ü.npy").stat().st_size > 24 * 32 * 4
    train = ("--train", "in put.csv", "--dev", "in put.jsonl", "--epochs", "1", "--output", "neu é")
    run(place, "finetune", *train, *same, **PLAIN)
    (row,) = run(place, "classify", "good film é", "--model", "neu é", **PLAIN).splitlines()
    assert json.loads(row)["text"] == "good film é"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the threads are not those of GNU's OpenMP")
@pytest.mark.parametrize(
    ("own", "spins"), [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, 7), ({"OMP_WAIT_POLICY": "passive"}, 0)]
)
def test_waiting_threads_soon_leave_the_processor_to_others(place: Path, own: dict[str, str], spins: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "sqbert_cli", "classify", "good film", "--model", "my model é"],
        cwd=place, env=environment(OMP_DISPLAY_ENV="verbose", **own), capture_output=True, timeout=300,
    )  # fmt: skip
    assert f"GOMP_SPINCOUNT = '{spins}'" in ended.stderr.decode()


def test_programs_of_others_are_run_as_they_are_by_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    before = environment_of_others()
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")  # somebody else's
    keep_few_kernels()
    wait_briefly()
    after = environment_of_others()
    for name in SETTINGS:
        monkeypatch.delenv(name)
    assert after == before | {"GOMP_SPINCOUNT": "7"}


def on_terminal(place: Path, columns: int, *arguments: str, **values: str) -> str:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        sqbert(*arguments),
        cwd=place, env=environment(TERM="xterm-256color", **values), stdin=theirs, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while chunk := _read(ours):
        said += chunk
    os.close(ours)
    assert process.wait(60) == 0, said.decode()
    return said.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux tells that nobody writes any more
        return b""


NARROW: dict[str, tuple[list[str], list[str]]] = {
    "classify": (["classify", TEXT], ["."]),
    "ner": (["ner", TEXT], ["film", "good"]),
    "qa": (["qa", "what was good ?", "--context", "in put.txt", "--no-answer-threshold", "1"], ["what was"]),
    "fill-mask": (["fill-mask", "the film was [MASK]"], ["."]),
    "evaluate": (["evaluate", "--input", "in put.jsonl"], ["accuracy", "F1"]),
    "info": (["models", "info", "my model é"], ["parameters", "mood"]),
    "list": (["models", "list", "my model é"], ["sqbert-small", "my model é", "parameters"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NARROW)
def test_a_terminal_of_twenty_columns_is_never_overrun_and_shows_what_matters(name: str, place: Path) -> None:
    arguments, wanted = NARROW[name]
    model = [] if name in ("info", "list") else ["--model", "my model é"]
    said = ESCAPES.sub("", on_terminal(place, 20, *arguments, *model))
    assert all(len(line.rstrip()) <= 20 for line in said.splitlines()), said
    assert all(word in said for word in wanted), said


@pytest.mark.slow
def test_on_a_narrow_terminal_the_room_is_the_texts_not_the_bars(place: Path) -> None:
    arguments = ("classify", TEXT, "--model", "my model é")
    wide, narrow = (ESCAPES.sub("", on_terminal(place, columns, *arguments)) for columns in (80, 30))
    assert "━" in wide
    assert TEXT in wide
    assert "━" not in narrow
    assert "the film" in narrow


@pytest.mark.slow
def test_no_color_means_no_colours(place: Path) -> None:
    arguments = ("classify", TEXT, "--model", "my model é")
    assert COLOURS.search(on_terminal(place, 80, *arguments))
    assert not COLOURS.search(on_terminal(place, 80, *arguments, NO_COLOR="1"))

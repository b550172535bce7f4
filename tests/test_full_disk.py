"""A disk that is full, a folder that may only be read: the place is told, and nothing is half-written."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from sqbert_cli.engines.graphs import WRITERS
from sqbert_cli.files import UNFINISHED
from tests.conftest import mount, run_sqbert, unmount

WORDS = ["the", "a", "film", "was", "is", "good", "bad", "very", "and"]


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Path]:
    """Root may write wherever a mode forbids it; here not."""
    place = tmp_path / "read only"
    place.mkdir()
    mount("--bind", place, place)
    mount("-o", "remount,ro,bind", place)
    yield place
    unmount(place)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    draw, path = random.Random(0), tmp_path / "texts.jsonl"
    rows = [{"text": " ".join(draw.choices(WORDS, k=8)), "label": draw.choice("xy")} for _ in range(1_000)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    path.with_suffix(".txt").write_text("\n".join(row["text"] for row in rows))
    return path


def commands(texts: Path, model: Path, place: Path) -> dict[str, list[str]]:
    same = ["--model", str(model), "--threads", "1", "--output"]
    train = ["--train", str(texts), "--dev", str(texts), "--epochs", "0.1", "--save-steps", "1", "--max-length", "16"]
    steps = ["--steps", "3", "--long-steps", "0", "--batch-size", "4", "--max-length", "16"]
    return {
        "embed": ["embed", "--input", str(texts), *same, str(place / "out.npy")],
        "finetune": ["finetune", *train, *same, str(place / "out")],
        "pretrain": ["pretrain", str(texts.with_suffix(".txt")), *steps, *same, str(place / "out")],
        "convert": ["models", "convert", str(model), str(place / "out")],
        **{name: ["models", "export", str(model), str(place / "out"), "--format", name] for name in WRITERS},
    }


def files_in(place: Path) -> list[str]:
    """All but what two runs keep out of one another's way by."""
    return [file.name for file in place.rglob("*") if file.is_file() and file.name != "lock"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["embed", "finetune", "pretrain", "convert", *WRITERS])
def test_a_full_disk_is_told_with_its_place_and_when_there_is_room_the_command_goes_on(
    name: str, texts: Path, tiny_model: Path, small: Path
) -> None:
    command = commands(texts, tiny_model, small)[name]
    ran = run_sqbert(*command)
    assert (ran.status, ran.out) == (1, "")
    assert f"error: No space left on device: `{small}/" in ran.err
    assert "hint: free some space, or name another place; nothing is half-written" in ran.err
    assert "Traceback" not in ran.err
    assert UNFINISHED not in ran.err
    assert files_in(small) == []
    if name in WRITERS:
        return
    subprocess.run(["mount", "-o", "remount,size=8m", small], check=True)
    ran = run_sqbert(*command)
    assert ran.status == 0, ran.err
    assert files_in(small)


@pytest.mark.slow
def test_a_cache_that_is_full_is_told_and_has_no_half_of_a_text(
    texts: Path, tiny_model: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQBERT_CACHE", str(small))
    texts.with_suffix(".txt").write_text("\n".join([" ".join(WORDS)] * 10_000))
    ran = run_sqbert(*commands(texts, tiny_model, tmp_path)["pretrain"])
    assert ran.status == 1
    assert f"error: No space left on device: `{small}/tokens/" in ran.err
    assert files_in(small) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["embed", "finetune", "pretrain", "convert", "onnx"])
def test_a_folder_that_may_only_be_read_is_told(name: str, texts: Path, tiny_model: Path, read_only: Path) -> None:
    ran = run_sqbert(*commands(texts, tiny_model, read_only)[name])
    assert (ran.status, ran.out) == (1, "")
    place = read_only / ("out.npy" if name == "embed" else "out")
    hint = "hint: nothing can be written there; name another place"
    assert ran.err.endswith(f"error: Read-only file system: `{place}`\n\n{hint}\n")
    assert files_in(read_only) == []


def test_a_folder_that_is_not_there_is_told_by_the_name_that_was_given(tiny_model: Path, tmp_path: Path) -> None:
    ran = run_sqbert("embed", "good", "--model", tiny_model, "--output", tmp_path / "none" / "out.npy")
    assert ran.status == 1
    assert ran.err.splitlines()[-1] == f"error: No such file or directory: `{tmp_path / 'none' / 'out.npy'}`"

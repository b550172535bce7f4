"""Killed at any moment, nothing is lost. `python -m tests.kills` does this at length."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from sqbert_cli.checkpoint import read_checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import UNFINISHED, sweep, whole_file, whole_path
from sqbert_cli.training.run import finish_run, open_run
from tests.kills import Scenario, content, prepared, start, survive

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kills")


@pytest.fixture(scope="module")
def scenarios(root: Path) -> Iterator[dict[str, Scenario]]:
    with prepared(root) as some:
        yield {scenario.name: scenario for scenario in some}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["finetune", "pretrain", "embed", "pull", "convert"])
def test_each_file_is_whole_after_each_kill_and_the_end_is_the_same(
    name: str, scenarios: dict[str, Scenario], tmp_path: Path
) -> None:
    assert survive(scenarios[name], tmp_path, kills=3, seed=0).kills == 3


@pytest.mark.slow
def test_a_run_killed_between_its_model_and_its_tidying_up_ends_as_it_would_have(
    scenarios: dict[str, Scenario], tmp_path: Path
) -> None:
    """Seldom hit by chance: the model is there, and so is what it takes to go on."""
    scenario = scenarios["finetune"]
    process = start(scenario, tmp_path)
    while process.is_alive() and not (tmp_path / "out" / ".resume" / "progress.pt").exists():
        time.sleep(0.001)
    while process.is_alive():  # the last state before the end; files that go meanwhile were copied a round before
        with suppress(FileNotFoundError, shutil.Error):
            shutil.copytree(tmp_path / "out" / ".resume", tmp_path / "kept", dirs_exist_ok=True, ignore=_unfinished)
        time.sleep(0.01)
    process.join()
    before = content(tmp_path / "out")
    (tmp_path / "kept").rename(tmp_path / "out" / ".resume")
    start(scenario, tmp_path).join()
    assert "saved to" in (tmp_path / "log").read_text()
    assert content(tmp_path / "out") == before
    assert not (tmp_path / "out" / ".resume").exists()


def _unfinished(_: str, names: list[str]) -> list[str]:
    return [name for name in names if name.endswith(UNFINISHED)]


def test_what_killed_processes_left_goes_when_the_run_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    run = open_run(tmp_path / "out", CPU, torch.float32, resume=False)
    for folder in (run.folder, run.folder.parent):
        (folder / f".model.safetensors.abc{UNFINISHED}").write_bytes(b"half")
    run.file.write_bytes(b"")
    (run.folder.parent / "README.md").write_text("half a model")
    run = open_run(tmp_path / "out", CPU, torch.float32, resume=True)
    assert list((tmp_path / "out").rglob(f"*{UNFINISHED}")) == []
    finish_run(run, read_checkpoint(tiny_model), "float32", {"command": "finetune", "task": "", "scores": {},
               "settings": {}, "data": {}, "seconds": 0.0, "history": []})  # fmt: skip
    with pytest.raises(SqbertError, match="already holds a model"):
        open_run(tmp_path / "out", CPU, torch.float32, resume=True)


def test_what_another_process_may_still_write_stays(tmp_path: Path) -> None:
    with whole_file(tmp_path / "a.json") as file:
        file.write(json.dumps({}).encode())
        sweep(tmp_path, seconds=60)
    assert (tmp_path / "a.json").read_text() == "{}"
    (tmp_path / f".old{UNFINISHED}").touch()
    sweep(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(SqbertError, match="is no plain file"), whole_file(tmp_path / "pipe"):
        pass
    with pytest.raises(SqbertError, match="neither a file nor a folder"), whole_path(tmp_path / "pipe"):
        pass
    assert (tmp_path / "pipe").is_fifo()


def test_what_is_written_over_keeps_its_link_and_who_may_read_it(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"real {name}").write_text("old")
        (tmp_path / f"real {name}").chmod(0o600)
        (tmp_path / name).symlink_to(f"real {name}")
    with whole_file(tmp_path / "a") as file:
        file.write(b"new")
    with whole_path(tmp_path / "b") as place:
        place.write_text("new")
    for name in ("a", "b"):
        target = tmp_path / f"real {name}"
        assert (tmp_path / name).is_symlink()
        assert (target.read_text(), target.stat().st_mode & 0o777) == ("new", 0o600)


def test_a_link_to_an_empty_folder_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with whole_path(tmp_path / "link") as place:
        place.mkdir()
        (place / "a").touch()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").is_file()


def test_only_what_was_to_have_the_name_goes(tmp_path: Path) -> None:
    for name in ("a[b]", "ab"):
        (tmp_path / f".{name}.x{UNFINISHED}").mkdir()
    sweep(tmp_path, name="a[b].")
    assert [folder.name for folder in tmp_path.iterdir()] == [f".ab.x{UNFINISHED}"]

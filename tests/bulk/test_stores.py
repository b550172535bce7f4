"""A folder and S3 give and take the same: files whole or absent, patterns that stay in a folder."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import pytest

from sqbert_cli.bulk.inputs import find_inputs
from sqbert_cli.bulk.plan import Reading, Request
from sqbert_cli.bulk.run import _inputs, _pinned
from sqbert_cli.bulk.stores import make_folder, names_in, read_bytes, sweep, whole
from sqbert_cli.errors import SqbertError
from sqbert_cli.places import HubName


@pytest.fixture(params=["a disk", "S3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new folder that files can be written to."""
    if request.param == "a disk":
        return str(tmp_path)
    pytest.importorskip("pyarrow", reason="Ray Data is not installed: pip install 'sqbert[ray]'")
    return f"{request.getfixturevalue('s3')}/{tmp_path.name}"


def write(name: str, content: bytes = b"x\n") -> str:
    make_folder(os.path.dirname(name))
    with whole(name) as file:
        file.write(content)
    return name


def test_a_file_whose_writing_fails_is_not_there(root: str) -> None:
    write(f"{root}/a")
    with suppress(ZeroDivisionError), whole(f"{root}/b") as file:
        file.write(b"half" * 1_000_000)
        raise ZeroDivisionError
    assert names_in(root) == {"a"}
    assert read_bytes(write(f"{root}/a", b"new")) == b"new"


def test_an_upload_that_breaks_off_leaves_nothing_under_the_name(
    s3: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow", reason="Ray Data is not installed: pip install 'sqbert[ray]'")

    def half(source: IO[bytes], target: Any, _: int) -> None:
        target.write(source.read(3))
        raise OSError("the network is gone")

    monkeypatch.setattr(shutil, "copyfileobj", half)
    with pytest.raises(SqbertError, match="the network is gone"):
        write(f"{s3}/{tmp_path.name}/part-0", b"whole")
    assert names_in(f"{s3}/{tmp_path.name}") == set()


def test_what_another_process_may_still_write_is_not_swept(root: str) -> None:
    for name in (".part-0.jsonl.abc.part", "part-0.jsonl", ".other"):
        write(f"{root}/{name}")
    sweep(root, 60)
    assert names_in(root) == {".part-0.jsonl.abc.part", "part-0.jsonl", ".other"}
    sweep(root, 0)
    assert names_in(root) == {"part-0.jsonl", ".other"}
    sweep(f"{root}/none", 0)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.txt", ["a.txt"]),
        ("**/*.txt", ["a.txt", "sub/b.txt", "sub/deep/c.txt"]),
        ("sub/**", ["sub/b.txt", "sub/deep/c.txt"]),
        ("*/[!c].txt", ["sub/b.txt"]),
        ("s?b/*/*", ["sub/deep/c.txt"]),
        ("**/.*/*.txt", [".hidden/e.txt"]),
        ("**/.d.txt*", [".d.txt.part"]),
    ],
)
def test_a_pattern_means_the_same_everywhere(pattern: str, found: list[str], root: str) -> None:
    for name in ("a.txt", "sub/b.txt", "sub/deep/c.txt", ".d.txt.part", ".hidden/e.txt"):
        write(f"{root}/{name}")
    files, _ = find_inputs(f"{root}/{pattern}", any_ending=False)
    assert [file.name.removeprefix(f"{root}/") for file in files] == found


def test_a_name_with_letters_of_patterns_is_a_name_where_there_is_one(root: str) -> None:
    wanted = write(f"{root}/data[1].jsonl", b'{"text": "a"}\n')
    assert [file.name for file in find_inputs(wanted, any_ending=False)[0]] == [wanted]
    with pytest.raises(SqbertError, match="no file is named as"):
        find_inputs(f"{root}/none*.jsonl", any_ending=False)


def test_what_a_job_has_written_is_not_its_input(root: str) -> None:
    for name in ("a.jsonl", "sub/b.jsonl", "out/part-0.jsonl", "out2/c.jsonl"):
        write(f"{root}/{name}")

    def inputs(wanted: str) -> list[str]:
        request = Request(f"{root}/{wanted}", f"{root}/out", Reading(), "jsonl", "local", None, 1)
        return [file.name.removeprefix(f"{root}/") for file in _inputs(request, f"{root}/out")[0]]

    assert inputs("**/*.jsonl") == ["a.jsonl", "out2/c.jsonl", "sub/b.jsonl"]
    for refused in ("", "out", "out/*"):
        with pytest.raises(SqbertError, match="lies in the input"):
            inputs(refused)


def test_workers_are_told_the_commit_of_a_model_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQBERT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    commit = "c" * 40
    for name in ("org/name", "org/name@main", f"org/name@{commit}"):
        assert _pinned(name, HubName("org/name").folder / commit) == f"org/name@{commit}"
    assert _pinned("org/name", Path("org/name")) == str(tmp_path / "org/name")  # a folder that is called so
    assert _pinned("sqbert-small", Path("weights/sqbert-small")) == "sqbert-small"
    assert _pinned(None, Path("weights/sqbert-small")) is None

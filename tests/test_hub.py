"""Downloads from a hub of our own, each in a process of its own."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from sqbert_cli import hub
from sqbert_cli.errors import SqbertError
from tests.hub_server import Hub, commit_of, lines, run, serve

FILES = {
    "config.json": b"{}",
    "vocab.txt": b"[CLS]\n",
    "README.md": b"# card",
    "model.safetensors": b"0123456789" * 9999,
}
DOWNLOAD = "from sqbert_cli.hub import download, find_commit\n"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Hub]:
    with serve(tmp_path / "hub") as hub:
        add_repository(hub, "org/name", FILES)
        yield hub


def add_repository(server: Hub, name: str, files: dict[str, bytes]) -> Path:
    folder = server.root / name
    folder.mkdir(parents=True)
    for file, content in files.items():
        (folder / file).write_bytes(content)
    return folder


def download(server: Hub, home: Path, name: str = "org/name", **environment: str) -> str:
    return lines(run(f"{DOWNLOAD}show(download, {name!r})", home, server.url, **environment))[0]


def test_importing_the_module_does_not_import_the_client(tmp_path: Path) -> None:
    code = "import sys, sqbert_cli.hub; print('huggingface_hub' in sys.modules)"
    assert lines(run(code, tmp_path, "http://127.0.0.1:9")) == ["False"]


def test_a_download_is_the_files_that_we_read_and_happens_once(server: Hub, tmp_path: Path) -> None:
    (server.root / "org/name/pytorch_model.bin").write_bytes(b"the same weights again")
    (server.root / "org/name/model.onnx").write_bytes(b"for others")
    shown = lines(run(f"{DOWNLOAD}show(download, 'org/name')\nshow(find_commit, 'org/name')", tmp_path, server.url))
    folder = Path(shown[0])
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == FILES
    assert folder.name == shown[1] == commit_of(server.root / "org/name")
    before = len(server.downloads())
    assert download(server, tmp_path) == str(folder)
    assert len(server.downloads()) == before == len(FILES)


def test_offline_needs_a_download_and_no_server(server: Hub, tmp_path: Path) -> None:
    code = f"{DOWNLOAD}show(download, 'org/name', offline=True)\nshow(find_commit, 'org/name', offline=True)"
    for problem in lines(run(code, tmp_path, server.url)):
        assert problem.startswith("error: `org/name` is not downloaded")
        assert "run once without `--offline`" in problem
    assert not server.requests
    folder = download(server, tmp_path)
    asked = len(server.requests)
    assert lines(run(code, tmp_path, server.url)) == [folder, Path(folder).name]
    assert download(server, tmp_path, HF_HUB_OFFLINE="1") == folder
    assert len(server.requests) == asked


def test_an_interrupted_download_goes_on_where_it_stopped(server: Hub, tmp_path: Path) -> None:
    content = bytes(range(256)) * 100_000  # `huggingface_hub` keeps what came in pieces of 10 MiB
    (server.root / "org/name/model.safetensors").write_bytes(content)
    server.cut_once.add("model.safetensors")
    folder = Path(download(server, tmp_path))
    assert (folder / "model.safetensors").read_bytes() == content
    ranges = [asked.range for asked in server.downloads() if asked.path.endswith(".safetensors")]
    assert ranges == [None, f"bytes={10 << 20}-"]


def test_damaged_weights_are_refused_and_fetched_again(server: Hub, tmp_path: Path) -> None:
    server.damaged.add("model.safetensors")
    for _ in range(2):  # the damaged file does not stay in the cache
        assert download(server, tmp_path).startswith("error: `model.safetensors` arrived damaged: its SHA-256 is")
    server.damaged.clear()
    assert (Path(download(server, tmp_path)) / "model.safetensors").read_bytes() == FILES["model.safetensors"]


PROBLEMS = {
    "'org/none'": "`org/none` is not found at URL | hint: check the spelling",
    "'org/name', revision='v9'": "`org/name@v9` has no such revision at URL | hint: leave out `@",
    "'org/sharded'": "`org/sharded` has its weights in several files, which is not supported",
    "'org/empty'": "`org/empty` has no weights | hint: expected `model.safetensors` or `pytorch_model.bin`",
    "'a--b/c'": "`a--b/c` is no name of a repository | hint: expected `org/name`",
}


def test_each_problem_says_what_where_and_what_next(server: Hub, tmp_path: Path) -> None:
    add_repository(server, "org/sharded", {"config.json": b"{}", "model.safetensors.index.json": b"{}"})
    add_repository(server, "org/empty", {"config.json": b"{}"})
    code = DOWNLOAD + "\n".join(f"show(download, {arguments})" for arguments in PROBLEMS)
    for line, problem in zip(lines(run(code, tmp_path, server.url)), PROBLEMS.values(), strict=True):
        assert line.startswith("error: " + problem.replace("URL", server.url))


def test_a_gated_repository_says_how_to_get_in(server: Hub, tmp_path: Path) -> None:
    server.is_gated = True
    assert download(server, tmp_path).startswith(f"error: `org/name` is gated at {server.url} | hint: accept its terms")


def test_without_network_the_reason_and_the_ways_out_are_named(tmp_path: Path) -> None:
    with serve(tmp_path) as gone:
        pass
    problem = download(gone, tmp_path)
    assert problem.startswith(f"error: `org/name` cannot be downloaded from {gone.url}: ")
    assert "refused" in problem
    assert "`HF_ENDPOINT`" in problem
    assert "`--offline`" in problem


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("HTTPS_PROXY", "http://host:abc", "error: `HTTPS_PROXY` is no address"),
        ("HTTPS_PROXY", "host:abc", "error: `HTTPS_PROXY` is no address"),
        ("HF_ENDPOINT", "http://[bad", "error: `HF_ENDPOINT` is no address"),
        ("HTTP_PROXY", "socks5://localhost:1", "error: `org/name` cannot be downloaded"),
    ],
)
def test_a_proxy_or_a_mirror_that_is_none_is_told(
    name: str, value: str, expected: str, server: Hub, tmp_path: Path
) -> None:
    assert download(server, tmp_path, **{name: value}).startswith(expected)


def test_a_full_disk_and_a_short_file_are_explained() -> None:
    with pytest.raises(SqbertError, match="does not fit on the disk of"), hub._explained("org/name", None):
        raise OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(SqbertError, match="file should be of size 2 but has size 1"),
        hub._explained("org/name", None),
    ):
        raise OSError("Consistency check failed: file should be of size 2 but has size 1 (x).\nThis is usually ...")

"""`sqbert models list`, `pull`, `info` and `rm`, in processes of their own, with a hub of our own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from sqbert_cli.files import UNFINISHED
from tests.conftest import Ran, run_sqbert
from tests.hub_server import Hub, commit_of, run, serve
from tests.proxy import serve_proxy

CARD = "---\nlanguage: en\nlicense: bsd\n---\n# A model of moods\n"
NO_PROXIES = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"), "")
NO_PROXIES |= {name.lower(): "" for name in NO_PROXIES}


@pytest.fixture
def server(tiny_model: Path, tmp_path: Path) -> Iterator[Hub]:
    """With the repository `tiny/mood`."""
    shutil.copytree(tiny_model, tmp_path / "hub/tiny/mood")
    (tmp_path / "hub/tiny/mood/README.md").write_text(CARD)
    (tmp_path / "hub/tiny/mood/training.json").write_text('{"command": "finetune", "task": "sst2"}')
    with serve(tmp_path / "hub") as hub:
        yield hub


def sqbert(home: Path, url: str, *arguments: str, **environment: str) -> Ran:
    code = f"import sys; sys.argv = {['sqbert', *arguments]!r}\nfrom sqbert_cli.cli import main; main()"
    process = run(code, home, url, **NO_PROXIES | environment)
    out, err = process.communicate(timeout=100)
    return Ran(process.returncode, out, err)


def rows(ran: Ran) -> list[dict[str, Any]]:
    assert "Traceback" not in ran.err
    return [json.loads(line) for line in ran.out.splitlines()]


def test_pulled_listed_used_and_removed(server: Hub, tmp_path: Path) -> None:
    commit = commit_of(server.root / "tiny/mood")
    pulled = sqbert(tmp_path, server.url, "models", "pull", "tiny/mood", f"tiny/mood@{commit}")
    assert (pulled.status, pulled.err) == (0, f"pulling tiny/mood\npulling tiny/mood@{commit}\n")
    one, again = rows(pulled)
    assert {**again, "name": "tiny/mood"} == one
    assert one.items() >= {"origin": "pulled", "commit": commit, "license": "bsd", "dtype": "float32"}.items()
    assert one["made_by"] == {"command": "finetune", "task": "sst2"}
    assert Path(one["card"]).read_text() == CARD
    assert one["bytes"] == Path(one["folder"], "model.safetensors").stat().st_size

    offline = {"HF_HUB_OFFLINE": "1"}
    [shipped, listed] = rows(sqbert(tmp_path, server.url, "models", "list", **offline))
    assert (shipped["name"], shipped["origin"]) == ("sqbert-small", "shipped")
    assert listed == one
    about = rows(sqbert(tmp_path, server.url, "models", "info", "tiny/mood", **offline))[0]
    assert {key: about[key] for key in one} == one
    assert about["config"]["hidden_size"] == 32

    removed = sqbert(tmp_path, server.url, "models", "rm", "tiny/mood", **offline)
    assert removed.out.startswith(f"tiny/mood@{commit}: 0.1 MB freed")
    left = tmp_path / "hf/hub/models--tiny--mood"
    assert removed.err.strip().endswith(f"remove {left}")
    assert left.is_dir()
    assert not list((tmp_path / "sqbert/models").iterdir())
    assert [row["name"] for row in rows(sqbert(tmp_path, server.url, "models", "list"))] == ["sqbert-small"]


def test_what_is_damaged_is_mended_by_pulling_again(server: Hub, tmp_path: Path) -> None:
    [one] = rows(sqbert(tmp_path, server.url, "models", "pull", "tiny/mood"))
    weights = Path(one["folder"], "model.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + b"zzzz")  # which no header tells
    (weights.parents[1] / "v1.commit").write_text(one["commit"])
    [again] = rows(sqbert(tmp_path, server.url, "models", "pull", "tiny/mood"))
    assert again == one
    assert weights.read_bytes() == whole
    assert sorted(file.name for file in weights.parents[1].iterdir()) == [one["commit"], "main.commit", "v1.commit"]


def test_each_of_several_is_pulled_and_what_fails_is_said(server: Hub, tmp_path: Path) -> None:
    ran = sqbert(tmp_path, server.url, "models", "pull", "no-name", "tiny/none", "tiny/mood")
    assert ran.status == 1
    assert [row["name"] for row in rows(ran)] == ["tiny/mood"]
    assert "`no-name` is no name on the hub" in ran.err
    assert "`tiny/none` is not found at" in ran.err


def test_small_files_are_compared_with_their_git_hashes(server: Hub, tmp_path: Path) -> None:
    server.damaged.add("config.json")
    ran = sqbert(tmp_path, server.url, "models", "pull", "tiny/mood")
    assert ran.status == 1
    assert "`config.json` arrived damaged: its git hash is" in ran.err
    server.damaged.clear()
    assert sqbert(tmp_path, server.url, "models", "pull", "tiny/mood").status == 0


def test_through_a_proxy_the_hub_needs_no_name_that_we_can_resolve(server: Hub, tmp_path: Path) -> None:
    with serve_proxy(int(server.url.rsplit(":", 1)[1])) as proxy:
        environment = {"HTTP_PROXY": proxy.url, "http_proxy": proxy.url}
        ran = sqbert(tmp_path, "http://hub.invalid", "models", "pull", "tiny/mood", **environment)
    assert ran.status == 0, ran.err
    assert len(proxy.asked) == len(server.requests)
    assert proxy.asked[0].startswith("GET http://hub.invalid/api/models/tiny/mood")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="makes its certificate with openssl, which is not here")
def test_through_a_proxy_a_hub_of_tls_is_reached_by_a_tunnel(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "hub/tiny/mood")
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = (
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -keyout {key} -out {certificate}"
    )
    name = ["-subj", "/CN=hub.invalid", "-addext", "subjectAltName=DNS:hub.invalid"]
    subprocess.run([*made.split(), *name], check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_text(certificate.read_text() + key.read_text())
    with serve(tmp_path / "hub", both) as hub, serve_proxy(int(hub.url.rsplit(":", 1)[1])) as proxy:
        environment = {"HTTPS_PROXY": proxy.url, "https_proxy": proxy.url, "SSL_CERT_FILE": str(certificate)}
        ran = sqbert(tmp_path, "https://hub.invalid", "models", "pull", "tiny/mood", **environment)
    assert ran.status == 0, ran.err
    assert set(proxy.asked) == {"CONNECT hub.invalid:443"}


@pytest.mark.slow
@pytest.mark.parametrize("full", ["hf", "sqbert"])
def test_a_pull_with_no_room_says_where_and_goes_on_when_there_is(
    full: str, server: Hub, small: Path, tmp_path: Path
) -> None:
    """Of the hub's own cache or of ours."""
    places = {
        "hf": {"HF_HOME": f"{small}/hf", "HF_HUB_CACHE": f"{small}/hf/hub"},
        "sqbert": {"SQBERT_CACHE": str(small)},
    }
    ran = sqbert(tmp_path, server.url, "models", "pull", "tiny/mood", **places[full])
    assert (ran.status, ran.out) == (1, "")
    assert "hint: free some space, or name another " in ran.err
    assert str(small) in ran.err
    assert "Traceback" not in ran.err
    assert [file for file in (small / "models").rglob("*") if file.is_file()] == []
    subprocess.run(["mount", "-o", "remount,size=8m", small], check=True)
    ran = sqbert(tmp_path, server.url, "models", "pull", "tiny/mood", **places[full])
    assert ran.status == 0, ran.err
    assert len(rows(ran)) == 1


@pytest.mark.slow
def test_eight_pulls_of_one_model_at_once_all_have_it(server: Hub, tmp_path: Path) -> None:
    def pull(_: int) -> Ran:
        return sqbert(tmp_path, server.url, "models", "pull", "tiny/mood")

    with ThreadPoolExecutor(8) as some:
        ran = list(some.map(pull, range(8)))
    assert [one.status for one in ran] == [0] * 8, [one.err for one in ran]
    assert len({one.out for one in ran}) == 1
    folder = Path(rows(ran[0])[0]["folder"])
    hashes = json.loads((folder / "origin.json").read_text())["sha256"]
    assert {name: sha256((folder / name).read_bytes()).hexdigest() for name in hashes} == hashes
    assert not list((tmp_path / "sqbert").rglob(f"*{UNFINISHED}"))


def test_names_that_climb_out_of_a_repository_are_not_followed(server: Hub, tmp_path: Path) -> None:
    (server.root / "tiny/config.json").write_text("{}")
    for name in ("../config.json", "../../../harm", "/tmp/harm", "a/../../../README.md", "..\\harm"):
        server.extra.append({"type": "file", "path": name, "size": 2, "oid": "0" * 40})
    ran = sqbert(tmp_path, server.url, "models", "pull", "tiny/mood")
    assert ran.status == 0, ran.err
    assert not [asked for asked in server.downloads() if ".." in asked.path or "harm" in asked.path]
    assert not list(tmp_path.rglob("harm"))


def test_a_list_names_what_is_wrong_and_goes_on(
    many_heads: Path, make_model: Callable[..., Path], tmp_path: Path
) -> None:
    broken, cut = tmp_path / "broken", tmp_path / "cut"
    for folder in (broken, cut):
        shutil.copytree(many_heads, folder)
    (broken / "config.json").write_text("{")
    (cut / "model.safetensors").write_bytes((many_heads / "model.safetensors").read_bytes()[:-9])
    trained = make_model()
    scores = {"dev.csv": {"metrics": {"accuracy": 0.75}}, "odd": 3}
    (trained / "training.json").write_text(json.dumps({"command": "finetune", "scores": scores, "settings": {}}))
    ran = run_sqbert("models", "list", broken, tmp_path / "nowhere", cut, many_heads, trained)
    assert (ran.status, ran.err) == (1, "")
    _, *problems, good, taught = rows(ran)
    texts = ["is not JSON", "has no `config.json`", "bytes, the file"]
    assert all(text in row["problem"] for row, text in zip(problems, texts, strict=True))
    assert [head["name"] for head in good["heads"]] == ["mood", "names", "answers", "nli", "words"]
    assert good["parameters"] == rows(run_sqbert("models", "info", many_heads))[0]["parameters"]
    assert taught["scores"] == {"dev.csv": {"accuracy": 0.75}, "odd": {}}
    assert taught["made_by"] == {"command": "finetune"}
    table = run_sqbert("models", "list", broken, many_heads, "--format", "table")
    assert table.status == 1
    assert f"{broken / 'config.json'}` is not JSON".replace(" ", "") in "".join(table.out.split())


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("sqbert-small", "is part of sqbert and is not removed"),
        ("FOLDER", "is a folder of yours, and is not removed"),
        ("tiny/other", "no model `tiny/other` was pulled"),
        ("../tiny/mood", "no model `../tiny/mood` was pulled"),
        ("tiny/mood@v2", "no model `tiny/mood@v2` was pulled"),
    ],
)
def test_only_what_was_pulled_is_removed(name: str, problem: str, tiny_model: Path, tmp_path: Path) -> None:
    commit = tmp_path / "cache/models/tiny--mood" / ("a" * 40)
    shutil.copytree(tiny_model, commit)
    name = str(tiny_model) if name == "FOLDER" else name
    ran = run_sqbert("models", "rm", "tiny/mood", name)
    assert ran.status == 1
    assert problem in ran.err
    assert f"tiny/mood@{'a' * 40}" in ran.err.replace("\n", "")
    assert (commit / "config.json").is_file()
    assert (tiny_model / "config.json").is_file()


def test_one_revision_of_two_is_removed_and_links_are_not_followed(tiny_model: Path, tmp_path: Path) -> None:
    root = tmp_path / "cache/models/tiny--mood"
    shutil.copytree(tiny_model, root / ("a" * 40))
    (root / ("b" * 40)).symlink_to(tiny_model)
    (root / "main.commit").write_text("a" * 40)
    (root / "v2.commit").write_text("b" * 40)
    ran = run_sqbert("models", "rm", "tiny/mood@v2")
    assert (ran.status, ran.out) == (0, f"tiny/mood@{'b' * 40}: 0.0 MB freed\n")
    assert sorted(file.name for file in root.iterdir()) == ["a" * 40, "main.commit"]
    assert (tiny_model / "config.json").is_file()
    assert run_sqbert("models", "rm", "tiny/mood").status == 0
    assert not root.exists()


def test_scores_that_are_no_numbers_are_left_out(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "model")
    odd = '{"scores": {"dev": {"metrics": {"a": 1' + "0" * 400 + ', "b": NaN, "c": Infinity, "accuracy": 0.5}}}}'
    (tmp_path / "model" / "training.json").write_text(odd)
    for command in ("info", "list"):
        about = json.loads(run_sqbert("models", command, tmp_path / "model").out.splitlines()[-1])
        assert about["scores"] == {"dev": {"accuracy": 0.5}}
        assert run_sqbert("models", command, tmp_path / "model", "--format", "table").status == 0


def test_what_killed_commands_left_of_a_model_goes_with_it(server: Hub, tmp_path: Path) -> None:
    [pulled] = rows(sqbert(tmp_path, server.url, "models", "pull", "tiny/mood"))
    folder = Path(pulled["folder"])
    shutil.copytree(folder, folder.parent / f".{folder.name}.abc.part" / folder.name)
    gone = folder.parent.parent / "tiny--gone" / f".{'a' * 40}.abc.part"
    shutil.copytree(folder, gone / ("a" * 40))
    os.utime(gone, (0, 0))
    assert sqbert(tmp_path, server.url, "models", "rm", "tiny/mood").status == 0
    assert not list((tmp_path / "sqbert/models").iterdir())

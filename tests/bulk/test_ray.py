"""`--ray`: every record once, as the local command has it, whatever dies in between."""

from __future__ import annotations

import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from sqbert_cli.cli import app
from tests.conftest import ROOT, Ran, run_sqbert, sqbert
from tests.procs import command_lines, writers

WORDS = ["the", "a", "film", "was", "not", "good", "bad", "very", "and", "but", "it", "i", "loved", "hated", "great"]


def write_lines(file: Path, ids: range, words: int = 12) -> None:
    draw = random.Random(ids.start)

    def text() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, words)))

    rows = [{"id": n, "text": text(), "question": f"{text()} ?", "context": text()} for n in ids]
    content = "".join(json.dumps(row) + "\n" for row in rows).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)


def run_here(*arguments: str | Path) -> Ran:
    """Run the command in this process, which has torch and Ray already."""
    ended = CliRunner().invoke(app, list(map(str, arguments)), prog_name="sqbert")
    assert ended.exception is None or isinstance(ended.exception, SystemExit), ended.exception
    return Ran(ended.exit_code, ended.stdout, ended.stderr)


def parts(folder: Path) -> list[Path]:
    return sorted(folder.glob("part-*"))


def joined(folder: Path) -> bytes:
    return b"".join(part.read_bytes() for part in parts(folder))


def ids(folder: Path) -> list[int]:
    return [json.loads(line)["id"] for line in joined(folder).splitlines()]


# `classify` and `ner` are compared below, from S3 and beside bad records.
COMMANDS: dict[str, list[str]] = {
    "qa": ["--top-k", "2", "--no-answer-threshold", "1"],
    "embed": [],
}


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_a_cluster_writes_what_the_local_command_writes(
    command: str, many_heads: Path, cluster: str, tmp_path: Path
) -> None:
    files = [tmp_path / "in/a.jsonl", tmp_path / "in/b.jsonl.gz", tmp_path / "in/sub/c.jsonl"]
    for number, file in enumerate(files):
        write_lines(file, range(100 * number, 100 * number + 30))
    same = [command, "--model", many_heads, "--threads", "1", *COMMANDS[command]]
    ran = run_here(*same, "--input", tmp_path / "in", "--output", tmp_path / "out", "--ray", cluster)
    assert (ran.status, ran.out) == (0, ""), ran.err
    assert "3 of 3 shards, 90 of 90 records" in ran.err
    local = "".join(run_here(*same, "--input", file, "--format", "jsonl").out for file in files)
    assert joined(tmp_path / "out").decode() == local
    assert len(parts(tmp_path / "out")) == 3


@pytest.mark.slow
def test_bad_records_are_set_aside_and_stop_nothing(
    many_heads: Path, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "in/a.jsonl"
    write_lines(file, range(20))
    bad = b'not json\n{"no": 1}\n\xff\n{"text": 3}\n\n{"text": ""}\n'
    file.write_bytes(file.read_bytes() + bad)
    with file.open("ab") as more:
        more.write(b'{"id": 20, "text": "good"}\n')
    (tmp_path / "in/b.csv").write_text('text,id\n"fun\nfun",21\nshort\ngreat,22\n')
    same = ["ner", "--model", many_heads, "--threads", "1", "--stride", "5", "--labels", "PER"]
    monkeypatch.setattr("sqbert_cli.bulk.cluster.SMALL", 0)  # planned by the workers
    ran = run_here(*same, "--input", tmp_path / "in", "--output", tmp_path / "out", "--ray", cluster)
    assert ran.status == 1
    assert "6 records could not be used" in ran.err
    assert sorted(int(n) for n in ids(tmp_path / "out")) == list(range(23))
    local = [run_here(*same, "--input", tmp_path / "in" / name) for name in ("a.jsonl", "b.csv")]
    assert joined(tmp_path / "out").decode() == "".join(one.out for one in local)
    rows = [json.loads(row) for part in parts(tmp_path / "out/bad") for row in part.read_text().splitlines()]
    told = [line.removeprefix("error: ") for one in local for line in one.err.splitlines() if "in/" in line]
    assert [f"{row['file']}:{row['line']}: {row['reason']}" for row in rows] == told
    assert [row["raw"] for row in rows] == ["not json", '{"no": 1}', "\udcff", '{"text": 3}', '{"text": ""}', "short"]


@pytest.mark.slow
def test_s3_in_and_out(many_heads: Path, cluster: str, s3: str, tmp_path: Path) -> None:
    from sqbert_cli.bulk.stores import names_in, read_bytes, whole

    files = ["a.jsonl", "deep/b c.jsonl.gz"]
    for number, name in enumerate(files):
        write_lines(tmp_path / name, range(10 * number, 10 * number + 10))
        with whole(f"{s3}/in/{name}") as file:
            file.write((tmp_path / name).read_bytes() + (b"" if name.endswith("gz") else b"odd\n"))
    arguments = ["classify", "--model", many_heads, "--input", f"{s3}/in/", "--output", f"{s3}/out", "--ray", cluster,
                 "--shard-records", "6", "--top-k", "2"]  # fmt: skip
    ran = run_here(*arguments)
    assert ran.status == 1
    assert "20 results in `s3://bucket/out`" in ran.err
    names = sorted(name for name in names_in(f"{s3}/out") if name.startswith("part-"))
    rows = [json.loads(row) for name in names for row in read_bytes(f"{s3}/out/{name}").splitlines()]
    local = [run_here("classify", "--model", many_heads, "--top-k", "2", "--input", tmp_path / name) for name in files]
    assert [row["scores"] for row in rows] == [
        pytest.approx(json.loads(row)["scores"], abs=1e-5) for one in local for row in one.out.splitlines()
    ]
    assert [row["id"] for row in rows] == list(range(20))
    (bad,) = names_in(f"{s3}/out/bad")
    assert json.loads(read_bytes(f"{s3}/out/bad/{bad}"))["file"] == f"{s3}/in/a.jsonl"
    again = run_here(*arguments)
    assert again.status == 1  # as before: there are still records that were not used
    assert "20 results in `s3://bucket/out` (21 records were done before)" in again.err


# Deaths


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        sqbert(*arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def until(true: Callable[[], Any], process: subprocess.Popen[str]) -> Any:
    for _ in range(12_000):
        if found := true():
            return found
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)
    raise TimeoutError


@pytest.fixture
def long_job(many_heads: Path, cluster: str, tmp_path: Path) -> list[str | Path]:
    """Twelve shards that take a moment each."""
    write_lines(tmp_path / "in/a.jsonl", range(3_000), words=60)
    return ["ner", "--model", many_heads, "--input", tmp_path / "in", "--output", tmp_path / "out", "--ray", cluster,
            "--shard-records", "250"]  # fmt: skip


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_no_record(long_job: list[str | Path], tmp_path: Path) -> None:
    process = start(*long_job)
    until(lambda: parts(tmp_path / "out"), process)
    victim = until(lambda: next(writers(f"{tmp_path}/out/.part-"), None), process)
    os.kill(victim, signal.SIGKILL)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out) == (0, ""), err
    assert ids(tmp_path / "out") == list(range(3_000))
    assert err.splitlines()[-1].startswith("3,000 results in ")


@pytest.mark.slow
def test_a_node_that_is_lost_costs_no_record(long_job: list[str | Path], nodes: Any, tmp_path: Path) -> None:
    third = nodes.add_node(num_cpus=1)
    process = start(*long_job, "--workers", "3")
    busy: set[int] = set()
    until(lambda: busy.update(writers(f"{tmp_path}/out/.part-")) or len(busy) == 3, process)
    nodes.remove_node(third, allow_graceful=False)
    out, err = process.communicate(timeout=240)
    assert (process.returncode, out) == (0, ""), err
    assert ids(tmp_path / "out") == list(range(3_000))


@pytest.mark.slow
def test_a_disk_that_is_full_is_told_and_what_is_finished_is_kept(
    many_heads: Path, cluster: str, small: Path, tmp_path: Path
) -> None:
    write_lines(tmp_path / "in.jsonl", range(500))
    job = ["classify", "--model", many_heads, "--input", tmp_path / "in.jsonl", "--output", small / "out",
           "--shard-records", "50", "--ray", cluster]  # fmt: skip
    (small / "ballast").write_bytes(bytes(55_000))
    ran = run_here(*job)
    assert ran.status == 1
    assert f"error: No space left on device: `{small}/out/part-" in ran.err
    assert "finished shards are kept; start the job again" in ran.err
    kept = {part: part.stat().st_mtime_ns for part in parts(small / "out")}
    assert all(len(part.read_bytes().splitlines()) == 50 for part in kept)
    (small / "ballast").unlink()
    subprocess.run(["mount", "-o", "remount,size=8m", small], check=True)
    ran = run_here(*job)
    assert ran.status == 0, ran.err
    assert ids(small / "out") == list(range(500))
    assert all(part.stat().st_mtime_ns == time_ for part, time_ in kept.items())


@pytest.mark.slow
def test_two_jobs_on_one_folder_do_not_disturb_each_other(long_job: list[str | Path], tmp_path: Path) -> None:
    both = [start(*long_job, "--workers", "1") for _ in range(2)]
    for process in both:
        out, err = process.communicate(timeout=240)
        assert (process.returncode, out) == (0, ""), err
    assert ids(tmp_path / "out") == list(range(3_000))
    assert not list((tmp_path / "out").glob(".part-*"))


@pytest.mark.slow
def test_a_job_goes_on_after_ctrl_c_and_after_its_driver_was_killed(long_job: list[str | Path], tmp_path: Path) -> None:
    kept: dict[Path, int] = {}
    for number, (sign, status) in enumerate([(signal.SIGINT, 130), (signal.SIGKILL, -9)], 1):
        process = start(*long_job)
        wanted = len(kept) + 2
        until(lambda wanted=wanted: len(parts(tmp_path / "out")) >= wanted, process)
        process.send_signal(sign)
        _, err = process.communicate(timeout=60)
        assert process.returncode == status, err
        assert "Traceback" not in err
        assert all(part.stat().st_mtime_ns == time_ for part, time_ in kept.items())
        kept = {part: part.stat().st_mtime_ns for part in parts(tmp_path / "out")}
        assert 2 * number <= len(kept) < 12
        assert all(len(part.read_bytes().splitlines()) == 250 for part in kept)
    ran = run_here(*long_job)
    assert ran.status == 0, ran.err
    told = re.search(r"\(([\d,]+) records were done before\)", ran.err)
    assert told, ran.err
    assert 250 * len(kept) <= int(told[1].replace(",", "")) < 3_000  # workers may outlive their driver by a shard
    assert ids(tmp_path / "out") == list(range(3_000))
    assert all(part.stat().st_mtime_ns == time_ for part, time_ in kept.items())


@pytest.mark.slow
def test_a_ray_of_its_own_ends_with_the_command_and_talks_little(many_heads: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray Data is not installed: pip install 'sqbert[ray]'")
    write_lines(tmp_path / "in.jsonl", range(10))
    ran = run_sqbert("classify", "--model", many_heads, "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out",
                     "--ray", "local", "--workers", "1", cwd=tmp_path)  # fmt: skip
    assert (ran.status, ran.out) == (0, ""), ran.err
    first, second, last = ran.err.splitlines()
    assert first == "1 of 1 shards to do"
    assert second.startswith("1 of 1 shards, 10 of 10 records, ")
    assert last.startswith(f"10 results in `{tmp_path / 'out'}`, ")
    assert ids(tmp_path / "out") == list(range(10))
    assert not any(str(tmp_path).encode() in line for line in command_lines())


# What can be wrong


def refused(*arguments: str | Path) -> str:
    ran = run_here(*arguments)
    assert ran.status == 1
    assert "error: " in ran.err
    return " ".join(ran.err.split())


def test_another_job_is_refused_in_the_same_folder(many_heads: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray Data is not installed: pip install 'sqbert[ray]'")
    from sqbert_cli.bulk.manifest import write_manifest

    write_lines(tmp_path / "in.jsonl", range(3))
    same = ["ner", "--model", many_heads, "--input", tmp_path / "in.jsonl", "--ray", "127.0.0.1:1"]
    said = refused(*same, "--output", tmp_path / "out")
    assert "no Ray cluster at `127.0.0.1:1`: " in said
    assert "ray start --head" in said
    write_manifest(str(tmp_path / "out"), {"answer": {"threshold": 0.5}, "inputs": {}, "format": "jsonl"}, [])
    said = refused(*same, "--output", tmp_path / "out")
    assert "is of another job: answer threshold was 0.5, now 0.0" in said
    (tmp_path / "full").mkdir()
    (tmp_path / "full/photo.jpg").touch()
    assert "is not empty, and has no `manifest.json`" in refused(*same, "--output", tmp_path / "full")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["photo.jpg"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"--ray": "ray://head:10001"}, "Ray Data does not work through Ray Client"),
        ({"--ray": "head"}, "no address of a Ray cluster: `head`"),
        ({"--input": "none*.jsonl"}, "no file is named as `none*.jsonl`"),
        ({"--input": "empty"}, "`empty` has no files of records"),
        ({"--output": "folder/out"}, "lies in the input"),
        ({"--output": "/proc/out"}, "cannot be made: No such file"),
        ({"--head": "none"}, "has no head for entities called `none`"),
        ({"--stride": "30"}, "a window holds 30 tokens"),
    ],
)
def test_what_is_wrong_is_said_before_there_is_a_cluster(
    changed: dict[str, str], said: str, many_heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="Ray Data is not installed: pip install 'sqbert[ray]'")
    monkeypatch.chdir(tmp_path)
    write_lines(tmp_path / "folder/in.jsonl", range(3))
    (tmp_path / "empty").mkdir()
    options = {"--input": "folder", "--output": "out", "--ray": "127.0.0.1:1", "--model": str(many_heads)} | changed
    assert said in refused("ner", *(word for option in options.items() for word in option))


def test_without_ray_it_says_what_to_install(many_heads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    write_lines(tmp_path / "in.jsonl", range(3))
    said = refused("ner", "--model", many_heads, "--input", tmp_path / "in.jsonl", "--output", tmp_path / "out",
                   "--ray", "local")  # fmt: skip
    assert said == "error: Ray Data is not installed hint: pip install 'sqbert[ray]'"


def test_a_worker_with_another_model_or_version_does_nothing(many_heads: Path, tmp_path: Path) -> None:
    from dataclasses import asdict
    from functools import partial

    from sqbert_cli import embed
    from sqbert_cli.bulk.plan import Reading, Shard
    from sqbert_cli.bulk.worker import Work, Worker, model_hash
    from sqbert_cli.job import Job, ModelChoice
    from sqbert_cli.text.results import embedded_fields

    write_lines(tmp_path / "in.jsonl", range(3))
    row = asdict(Shard("part", str(tmp_path / "in.jsonl"), 0, 0, 3))

    def outcome(model: Path, digest: str, **values: str) -> dict[str, Any]:
        job = Job(ModelChoice(str(model)), partial(embed), embedded_fields)
        return Worker(Work(job, Reading(), str(tmp_path), "jsonl", digest, **values))(row)

    same = model_hash(many_heads)
    assert "the model is another" in outcome(many_heads, "0")["error"]
    assert "no model" in outcome(tmp_path / "nowhere", same)["error"]
    assert "the job is of 0.0" in outcome(many_heads, same, version="0.0")["error"]
    assert not list(tmp_path.glob("part*"))
    assert outcome(many_heads, same) == {"name": "part", "records": 3, "bad": 0, "error": "", "hint": ""}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--ray", "local", "--input", "x"], "--ray goes with --input and --output"),
        (["--ray", "local", "--input", "-", "--output", "x"], "--ray goes with --input and --output"),
        (["--ray", "local", "--input", "x", "--output", "gs://bucket/x"], "neither a folder nor of S3"),
        (["--ray", "local", "--input", "S3://bucket/x", "--output", "x"], "neither a folder nor of S3"),
        (["--ray", "local", "--input", "x", "--output", "y", "typed"], "without typed texts"),
        (["--ray", "local", "--input", "x", "--output", "y", "--format", "html"], "jsonl, csv or tsv, not html"),
        (["--ray", "local", "--input", "x", "--output", "y", "--on-error", "fail"], "bad records are set aside"),
        (["--output", "x", "typed"], "go with --ray"),
        (["--input", "."], "'.' is a folder"),
    ],
)
def test_options_that_do_not_go_together(arguments: list[str], said: str) -> None:
    ran = run_here("ner", *arguments)
    assert ran.status == 2
    assert said in " ".join(ran.err.replace("│", " ").split())

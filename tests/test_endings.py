"""How a command gets on with its streams: pipes that close, disks that are full, terminals, Ctrl-C at any time."""

from __future__ import annotations

import json
import os
import pty
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, run_sqbert, sqbert

TEXTS = ["a good film", "it was awful", "i loved it !"]


def start(*arguments: str | Path, **options: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(sqbert(*arguments), cwd=ROOT, stderr=subprocess.PIPE, **options)  # type: ignore[call-overload,no-any-return]


def test_a_closed_or_full_standard_output_is_no_traceback(tiny_model: Path) -> None:
    for command in ("--version > /dev/full", "--help > /dev/full", f"classify good --model {tiny_model} >&-"):
        shell = ["bash", "-c", f"{sys.executable} -m sqbert_cli {command}"]
        ended = subprocess.run(shell, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert ended.returncode in (0, 1)
        assert "Traceback" not in ended.stderr


def test_results_come_as_lines_arrive(tiny_model: Path) -> None:
    with start("classify", "--model", tiny_model, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        for text in TEXTS:
            process.stdin.write(text.encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["text"] == text
        process.stdin.close()
        assert process.wait(30) == 0
        assert process.stderr
        assert process.stderr.read() == b""


@pytest.mark.parametrize("name", ["jsonl", "table"])
def test_a_closed_pipe_ends_quietly(tiny_model: Path, name: str) -> None:
    classify = shlex.join(sqbert("classify", "--model", tiny_model, "--format", name))
    command = f"yes good film | {classify} | head -n 2; echo ${{PIPESTATUS[1]}}"
    ended = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, timeout=120)
    lines = ended.stdout.splitlines()
    assert all("good film" in line for line in lines[:2])
    assert (lines[2], ended.stderr) == ("0", "")


def test_no_result_is_lost_when_nobody_reads_the_messages(tiny_model: Path) -> None:
    lines = '{"text": "good"}\n{}\n' * 500
    classify = shlex.join(sqbert("classify", "--model", tiny_model))
    command = f"{classify} 2> >(head -n 1 > /dev/null) | wc -l; echo ${{PIPESTATUS[0]}}"
    ended = subprocess.run(["bash", "-c", command], cwd=ROOT, input=lines, capture_output=True, text=True, timeout=120)
    assert ended.stdout.split() == ["500", "1"]


def test_ctrl_c_ends_with_130_and_whole_lines(tiny_model: Path) -> None:
    endless = subprocess.Popen(["yes", "good film"], stdout=subprocess.PIPE)
    with start("classify", "--model", tiny_model, stdin=endless.stdout, stdout=subprocess.PIPE) as process:
        assert process.stdout
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        assert process.wait(30) == 130
        assert process.stderr
        assert process.stderr.read() == b""
    endless.kill()
    endless.communicate()
    assert all(json.loads(line)["label"] for line in (first + rest).splitlines())
    assert (first + rest).endswith(b"\n")


def test_ctrl_c_while_nothing_comes_ends_with_130(tiny_model: Path) -> None:
    with start("classify", "--model", tiny_model, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write(b"a good film\n")
        process.stdin.flush()
        assert process.stdout.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert process.stderr
        assert process.stderr.read() == b""


def test_a_failure_does_not_wait_for_the_end_of_the_input(tiny_model: Path) -> None:
    arguments = ("classify", "--model", tiny_model, "--on-error", "fail")
    with start(*arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(b'{"text": "good"}\noops\n')
        process.stdin.flush()
        assert process.wait(60) == 1
        assert process.stderr
        assert process.stderr.read().startswith(b"error: stdin:2: ")


def test_a_full_disk_is_an_error_and_not_a_traceback(tiny_model: Path) -> None:
    with open("/dev/full", "wb") as full, start("classify", "good", "--model", tiny_model, stdout=full) as process:
        assert process.wait(60) == 1
        assert process.stderr
        assert process.stderr.read() == b"error: No space left on device\n"


def test_a_person_sees_a_table(tiny_model: Path) -> None:
    reader, writer = pty.openpty()
    with start("classify", "a \x1b[31mgood\x07 film", "--model", tiny_model, stdout=writer) as process:
        os.close(writer)
        shown = os.read(reader, 4096).decode()
        assert process.wait(60) == 0
    os.close(reader)
    assert "\x07" not in shown
    assert "[31mgood film" in shown
    assert "━" in shown


def test_a_person_sees_progress_on_stderr_and_a_pipe_only_results(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "many.txt").write_text("a good film\n" * 3000)
    reader, writer = pty.openpty()
    command = sqbert("classify", "--input", tmp_path / "many.txt", "--model", tiny_model)
    environment = os.environ | {"TERM": "xterm", "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=writer, env=environment) as process:
        os.close(writer)
        assert process.stdout
        assert len(process.stdout.read().splitlines()) == 3000
        shown = b""
        while chunk := _read(reader):
            shown += chunk
    os.close(reader)
    assert process.returncode == 0
    assert b"done," in shown
    assert b"100%" in shown


def _read(reader: int) -> bytes:
    try:
        return os.read(reader, 65536)
    except OSError:  # how Linux tells that nobody writes to a terminal any more
        return b""


@pytest.mark.parametrize("seconds", [0.3, 0.6, 1.2])
def test_ctrl_c_while_modules_are_still_read_is_no_traceback(seconds: float, tiny_model: Path) -> None:
    code = "import runpy; print('reading', flush=True); runpy.run_module('sqbert_cli', run_name='__main__')"
    command = [sys.executable, "-c", code, "classify", "good", "--model", str(tiny_model)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"reading\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT, 0), err.decode()
    assert b"Traceback" not in err


@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_file_that_may_not_grow_is_an_error(buffered: str, tiny_model: Path, tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONUNBUFFERED": buffered, "PYTHONPATH": str(ROOT)}
    with (tmp_path / "vectors.jsonl").open("wb") as file:
        ended = subprocess.run(
            [sys.executable, "-m", "sqbert_cli", "embed", *TEXTS, "--model", tiny_model],
            stdout=file, stderr=subprocess.PIPE, cwd=ROOT, env=environment, timeout=120,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)),
        )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (1, b"error: File too large\n")


def test_results_are_not_appended_to_what_is_read(tiny_model: Path, tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_text('{"text": "good"}\n')
    for source in (["--input", file], ["-"]):
        with (
            file.open("rb") as read,
            file.open("ab") as written,
            start("classify", *source, "--model", tiny_model, stdin=read, stdout=written) as process,
        ):
            assert process.wait(60) == 1
            assert process.stderr
            assert b"is also where the results go" in process.stderr.read()
    assert file.read_text() == '{"text": "good"}\n'


def test_a_full_log_stops_nothing(tiny_model: Path) -> None:
    classify = f"{shlex.join(sqbert('classify', '--model', tiny_model))} 2> /dev/full"
    lines = '{"text": "good"}\noops\n{"text": "bad"}\n'
    ended = subprocess.run(["bash", "-c", classify], cwd=ROOT, input=lines, capture_output=True, text=True, timeout=120)
    assert (len(ended.stdout.splitlines()), ended.returncode) == (2, 1)


def test_what_no_terminal_should_be_told_is_escaped(tiny_model: Path) -> None:
    ran = run_sqbert("classify", "a \x9b31m good film", "--model", tiny_model)
    assert "\\u009b" in ran.out
    assert json.loads(ran.out)["text"] == "a \x9b31m good film"

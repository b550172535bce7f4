"""The README's commands are real: what it shows is what they print, and every option it names is one."""

from __future__ import annotations

import os
import pty
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from io import RawIOBase
from pathlib import Path

import pytest
import torch
import typer
from torch.utils.flop_counter import FlopCounterMode

from sqbert_cli.cli import app
from tests.conftest import ROOT, sqbert

README = (ROOT / "README.md").read_text()
DOCUMENTS = "\n".join(
    [README, *(file.read_text() for file in (ROOT / "weights" / "README.md", *sorted((ROOT / "docs").glob("*.md"))))]
)
NUMBER = re.compile(r"-?\d+\.\d+")
BAR = re.compile(r"━* *")


def blocks(language: str, text: str = README) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def sessions() -> list[tuple[str, str]]:
    """Every `$ command` of the console blocks, with what it prints."""
    found = []
    for block in blocks("console"):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, output = part.partition("\n")
            found.append((command, output))
    return found


def commands() -> list[str]:
    """Every `sqbert …` that is shown but takes too long, or data that is not here, to be run."""
    joined = "\n".join(blocks("sh", DOCUMENTS)).replace("\\\n", " ")
    return re.findall(r"(?:^|[|&] *)(sqbert [^|>&\n]*)", joined, re.MULTILINE)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `bin` has `sqbert` as it would be installed."""
    folder = tmp_path_factory.mktemp("shell")
    (folder / "bin").mkdir()
    script = folder / "bin" / "sqbert"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(sqbert())} "$@"\n')
    script.chmod(0o755)
    return folder


@pytest.mark.parametrize(("command", "output"), sessions(), ids=[command for command, _ in sessions()])
def test_a_command_prints_what_the_readme_shows(command: str, output: str, shell: Path) -> None:
    printed = on_a_terminal(command, shell)
    assert shape(printed) == shape(output)
    shown = [float(number) for number in NUMBER.findall(output)]
    assert [float(number) for number in NUMBER.findall(printed)] == pytest.approx(shown, abs=2e-3)


def on_a_terminal(command: str, shell: Path) -> str:
    """What a person would see; the command must end well."""
    path = f"{shell / 'bin'}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "COLUMNS": "100", "TERM": "dumb"}
    ours, theirs = pty.openpty()
    with open(ours, "rb", buffering=0) as screen:
        running = subprocess.Popen(["bash", "-c", command], stdout=theirs, cwd=shell, env=environment)
        os.close(theirs)
        printed = b"".join(read_to_the_end(screen))
        assert running.wait(timeout=120) == 0
    return printed.decode().replace("\r\n", "\n")


def read_to_the_end(screen: RawIOBase) -> Iterator[bytes]:
    with suppress(OSError):  # how Linux says that nobody writes to a terminal any more
        while some := screen.read(4096):
            yield some


def shape(text: str) -> str:
    """What is printed, without the last digits, which are the processor's."""
    return BAR.sub(" ", NUMBER.sub("0.0", text)).strip()


@pytest.mark.parametrize("command", commands())
def test_every_option_of_a_longer_command_exists(command: str) -> None:
    _, name, *arguments = shlex.split(command, comments=True)
    named = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    while hasattr(named, "commands"):  # `models info`
        named = named.commands[arguments.pop(0)]
    known = {option for parameter in named.params for option in parameter.opts}
    assert {argument for argument in arguments if argument.startswith("--")} <= known | {"--help"}


@pytest.mark.slow
def test_the_shapes_of_the_peers_are_what_transformers_has() -> None:
    transformers = pytest.importorskip("transformers")
    bert = transformers.BertConfig
    for name, config in {
        "BERT-base, uncased": bert(),
        "DistilBERT, uncased": transformers.DistilBertConfig(),
        "MiniLM-L6-H384": bert(hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536),
        "TinyBERT-6": bert(num_hidden_layers=6),
        "MobileBERT": transformers.MobileBertConfig(),
        "SqueezeBERT (the paper's)": transformers.SqueezeBertConfig(),
    }.items():
        network = transformers.AutoModel.from_config(config, attn_implementation="eager").eval()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            network(input_ids=torch.ones(1, 128, dtype=torch.long))
        count = sum(parameter.numel() for parameter in network.parameters())
        shape = f"| {count / 1e6:.0f} M | {count * 4 / 1e6:.0f} | {counter.get_total_flops() / 1e9:.1f} |"
        assert f"| {name} {shape}" in README


def test_the_python_of_the_readme_runs() -> None:
    for code in blocks("python"):
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120)
        assert ended.returncode == 0, ended.stderr
        expected = [line.removeprefix("# ") for line in code.splitlines() if line.startswith("# ")]
        assert ended.stdout.splitlines() == expected

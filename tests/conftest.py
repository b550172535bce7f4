"""A tiny vocabulary, tiny random models, and the command as a user runs it."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pytest
from hypothesis import settings

settings.register_profile("sqbert", deadline=None)  # a busy machine is no failure
settings.load_profile("sqbert")

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is there: threads of two workers wait for one another

ROOT = Path(__file__).parent.parent
WORDS = (
    "[PAD] [UNK] [CLS] [SEP] [MASK] the a film was is not good bad very and but it i loved hated great "
    "awful boring fun one two three . , ! ? ' - a ##s ##ing ##ed ##ly un ##like b c d e f g h i j k l m n o "
    "p q r s t u v w x y z "
    "##a ##b ##c ##d ##e ##f ##g ##h ##i ##j ##k ##l ##m ##n ##o ##p ##q ##r ##t ##u ##v ##w ##x ##y ##z 0 1 2 3"
)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Ctrl-C and hang-ups reach our children, even where the tests are a background job, which would ignore them."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A fixed width, no colours, no network, no cache but one's own."""
    for name, value in {
        "COLUMNS": "80",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "HF_HUB_OFFLINE": "1",
        "SQBERT_CACHE": str(tmp_path / "cache"),
        "HF_HOME": str(tmp_path / "hf"),
        "TOKENIZERS_PARALLELISM": "false",
    }.items():
        monkeypatch.setenv(name, value)


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it said."""

    status: int
    out: str
    err: str


def run_sqbert(
    *arguments: str | Path,
    stdin: str | bytes = b"",
    cwd: Path | None = None,
    timeout: float = 300,
    is_forked: bool = True,
) -> Ran:
    """Run the command in a process of its own; one that is forked has the locale of the tests."""
    ended = subprocess.run(
        sqbert(*arguments) if is_forked else [sys.executable, "-m", "sqbert_cli", *map(str, arguments)],
        input=stdin.encode() if isinstance(stdin, str) else stdin,
        capture_output=True,
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=timeout,
    )
    return Ran(ended.returncode, ended.stdout.decode(), ended.stderr.decode())


def sqbert(*words: str | Path, inside: tuple[str, ...] = ()) -> list[str]:
    """Return the command line of `sqbert WORDS` (`-c CODE`: of Python on code), forked where that can be.

    `inside` are words that go before another's: of a namespace (`nsenter`), or of a locale (`env`).
    """
    if sys.platform == "linux":
        python = ["-S", "-E", str(ROOT / "tests" / "ready.py"), str(_server(*inside))]
    else:
        python = [] if words[:1] == ("-c",) else ["-m", "sqbert_cli"]
    return [sys.executable, *python, *map(str, words)]


@cache
def _server(*inside: str) -> Path:
    """Start the process that commands are forked from; return the socket that asks it for one."""
    socket = Path(mkdtemp()) / "socket"
    server = subprocess.Popen(
        [*inside, sys.executable, "-m", "tests.ready", "serve", socket],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout is not None
    assert server.stdout.readline() == b"ready\n"

    def stop() -> None:
        server.communicate(server.kill())
        shutil.rmtree(socket.parent)

    atexit.register(stop)
    return socket


@pytest.fixture(scope="session")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a `vocab.txt` of BERT's form."""
    folder = tmp_path_factory.mktemp("vocabulary")
    (folder / "vocab.txt").write_text("\n".join(dict.fromkeys(WORDS.split())) + "\n")
    return folder


@pytest.fixture(scope="session")
def make_model(vocabulary: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Write the folder of a tiny random model with one sequence head."""
    import torch

    from sqbert_cli.checkpoint import Checkpoint, write_checkpoint
    from sqbert_cli.model.config import GROUP_FIELDS, HeadConfig, SqueezeBertConfig
    from sqbert_cli.model.network import Network, initialise
    from sqbert_cli.text.tokenizer import Tokenizer

    def make(labels: Sequence[str] = ("negative", "positive"), **values: object) -> Path:
        tokenizer = Tokenizer.read(vocabulary)
        problem = values.pop("problem_type", "single_label_classification")
        sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
        if values.get("model_type") == "bert":
            values |= dict.fromkeys(GROUP_FIELDS, 1)
        sequence = HeadConfig(name="test", kind="sequence", labels=tuple(labels), problem_type=problem)  # type: ignore[arg-type]
        heads: tuple[HeadConfig, ...] = values.pop("heads", (sequence,))  # type: ignore[assignment]
        config = SqueezeBertConfig(**{"vocab_size": tokenizer.vocab_size, **sizes, **values})  # type: ignore[arg-type]
        network = Network(config, heads)
        initialise(network, 0.3, torch.Generator().manual_seed(0))
        folder = tmp_path_factory.mktemp("model")
        write_checkpoint(Checkpoint("tiny", network, heads, tokenizer), folder)
        return folder

    return make


@pytest.fixture(scope="session")
def many_heads(make_model: Callable[..., Path]) -> Path:
    """A tiny random model that has a head of every kind, windows of 32 tokens."""
    from sqbert_cli.model.config import HeadConfig
    from sqbert_cli.tasks.entities import tags_of

    heads = (
        HeadConfig(name="mood", kind="sequence", labels=("negative", "positive")),
        HeadConfig(name="names", kind="token", labels=tags_of(["LOC", "PER"]), max_length=32),
        HeadConfig(name="answers", kind="span", max_length=32),
        HeadConfig(name="nli", kind="sequence", labels=("contradiction", "neutral", "entailment"), max_length=32),
        HeadConfig(name="words", kind="masked_word", max_length=32),
    )
    return make_model(heads=heads)


@pytest.fixture(scope="session")
def tiny_model(make_model: Callable[..., Path]) -> Path:
    return make_model()


def mount(*arguments: str | Path) -> None:
    ended = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    if ended.returncode:
        pytest.skip(f"no mount here: {ended.stderr.strip()}")


def unmount(place: Path) -> None:
    subprocess.run(["umount", "-l", place], check=False)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB, less than a model or its resume file takes."""
    place = tmp_path / "small"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=64k", "none", place)
    yield place
    unmount(place)


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts whose labels are told by one word."""
    from tests.toys import toy_lines

    folder = tmp_path_factory.mktemp("toy")
    (folder / "train.jsonl").write_text(toy_lines(300, 1))
    (folder / "dev.jsonl").write_text(toy_lines(50, 2))
    return folder


@pytest.fixture(scope="session")
def trained(toy: Path, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The toy task, learnt in one go."""
    from tests.toys import toy_arguments

    output = tmp_path_factory.mktemp("trained") / "model"
    ran = run_sqbert(*toy_arguments(toy, tiny_model, output))
    assert ran.status == 0, ran.err
    return output

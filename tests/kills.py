"""`python -m tests.kills`: commands that are killed again and again, at random moments, and gone on with.

After each kill every file is whole or absent; what the command ends with is what an undisturbed one ends with, bit for
bit. The processes are forks of a server that has imported all but the hub, so that the kills fall into the work, and
nothing of whoever starts them (threads, an offline hub) is in them.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.torch import load_file

from sqbert_cli.checkpoint import read_checkpoint
from sqbert_cli.cli import app
from sqbert_cli.files import UNFINISHED
from sqbert_cli.training.run import Run  # imported before the forks, as all that training needs
from tests.fuzz.models import tiny
from tests.hub_server import commit_of, serve
from tests.procs import writers

TEXTS = 3_000
DONE = ("is there already", "already holds a model")
"""What a command says that was killed when its work was done, and is not one to go on."""
HUB_NAME = "org/tiny"
assert Run
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["tests.kills", "torch._dynamo", "scipy.stats", "sklearn.metrics", "seqeval.metrics"])


@dataclass(frozen=True)
class Scenario:
    """A command, and what it is to leave in its folder."""

    name: str
    arguments: Sequence[str]
    """`FOLDER` is the folder of this try."""
    result: str
    """What the command makes, a file or a folder."""
    environment: Mapping[str, str] = field(default_factory=dict)
    status: int = 0
    """With which it ends well."""


@dataclass
class Tally:
    kills: int = 0
    runs: int = 0
    left_behind: int = 0
    """Files and folders of killed processes that were still there when the command had ended well."""


def scenarios(root: Path, hub_url: str, ray: str) -> Iterator[Scenario]:
    draw, model = random.Random(0), str(root / "model")
    words = ["the film", "films a b", "c d e", "the a", "g f ."]
    rows = [{"text": f"{draw.choice(words)} {draw.choice(words)}", "label": draw.choice("xy")} for _ in range(160)]
    (root / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (root / "text.txt").write_text("".join(f"{' '.join(draw.choices(words, k=9))}\n\n" for _ in range(TEXTS)))
    same = ("--model", model, "--output", "FOLDER/out", "--threads", "1", "--batch-size", "8", "--resume")
    train = ("--train", f"{root}/train.jsonl", "--dev", f"{root}/train.jsonl", "--epochs", "3")
    yield Scenario(
        "finetune", ["finetune", *train, *same, "--eval-steps", "10", "--save-steps", "3", "--dropout", "0.1"], "out"
    )
    steps = ("--steps", "30", "--long-steps", "0", "--save-steps", "5", "--max-length", "16")
    yield Scenario("pretrain", ["pretrain", f"{root}/text.txt", *steps, *same], "out")
    embed = ["embed", "--input", f"{root}/text.txt", "--model", model, "--threads", "1", "--output", "FOLDER/out.npy"]
    yield Scenario("embed", embed, "out.npy")
    cached = f"cache/models/{HUB_NAME.replace('/', '--')}/{commit_of(root / 'hub' / HUB_NAME)}"
    online = {"HF_ENDPOINT": hub_url, "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    yield Scenario("pull", ["models", "info", HUB_NAME, "--format", "json"], cached, online)
    yield Scenario("convert", ["models", "convert", model, "FOLDER/out", "--head", "mood"], "out")
    (root / "in").mkdir()
    for number in range(6):
        lines = ['{"text": "the film"}', "no record", *(f'{{"text": "{draw.choice(words)}"}}' for _ in range(700))]
        (root / f"in/{number}.jsonl").write_text("\n".join(lines))
    bulk = ["classify", "--input", f"{root}/in", "--model", model, "--output", "FOLDER/out", "--shard-records", "100"]
    yield Scenario("bulk", [*bulk, "--ray", "local", "--workers", "1"], "out", {"RAY_TMPDIR": ray}, status=1)


@contextmanager
def prepared(root: Path) -> Iterator[list[Scenario]]:
    tiny(root / "model")
    shutil.copytree(root / "model", root / "hub" / HUB_NAME)
    with serve(root / "hub") as hub, TemporaryDirectory() as ray:  # whose name is short enough for Ray's sockets
        yield list(scenarios(root, hub.url, ray))


def survive(scenario: Scenario, folder: Path, kills: int, seed: int, tally: Tally | None = None) -> Tally:
    """Kill it so often, over as many runs as that takes. Raises `AssertionError` where something is lost."""
    draw, tally = random.Random(seed), tally or Tally()
    began = time.monotonic()
    undisturbed = start(scenario, folder / "whole")
    undisturbed.join()
    assert undisturbed.exitcode == scenario.status, (folder / "whole" / "log").read_text()
    lasts, expected = time.monotonic() - began, content(folder / "whole" / scenario.result)
    while tally.kills < kills:
        again = folder / f"try{tally.runs}"
        while not _one(scenario, again, draw, lasts, tally, kills):
            check_whole(again)
        end_the_rest(scenario)
        check_whole(again)
        assert content(again / scenario.result) == expected, f"{scenario.name}: another result in {again}"
        tally.left_behind += sum(1 for file in again.rglob(f".*{UNFINISHED}"))
        tally.runs += 1
        shutil.rmtree(again)
    return tally


def _one(scenario: Scenario, folder: Path, draw: random.Random, lasts: float, tally: Tally, kills: int) -> bool:
    """Start it once, and kill it; tell whether it ended well before that."""
    process = start(scenario, folder)
    if tally.kills < kills:
        (_wait if draw.random() < 0.5 else _wait_for_change)(process, folder, draw, lasts)
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
    process.join()
    tally.kills += process.exitcode == -signal.SIGKILL
    said = (folder / "log").read_text()
    ended = process.exitcode == scenario.status or any(done in said for done in DONE)
    assert ended or process.exitcode == -signal.SIGKILL, f"{scenario.name} in {folder}:\n{said[-3000:]}"
    return ended


def end_the_rest(scenario: Scenario) -> None:
    """Kill what killed commands had started: Ray's workers go within seconds, its agents wait for minutes."""
    while folder := scenario.environment.get("RAY_TMPDIR"):
        if not (rest := set(writers(f"{folder}/"))):
            return
        for process in rest:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.1)


def _wait(process: BaseProcess, folder: Path, draw: random.Random, lasts: float) -> None:
    process.join(draw.random() * lasts)


def _wait_for_change(process: BaseProcess, folder: Path, draw: random.Random, lasts: float) -> None:
    """Until files have come, gone or changed so often: kills fall into the writing of files."""
    for _ in range(draw.randrange(1, 20)):
        before = _state(folder)
        while process.is_alive() and _state(folder) == before:
            time.sleep(0.0005)
    time.sleep(draw.random() * 0.003)


def _state(folder: Path) -> list[tuple[str, int]]:
    found = []
    for place, _, names in os.walk(folder):
        found += [(place, len(names)), *((name, _size(os.path.join(place, name))) for name in names if name != "log")]
    return found


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except FileNotFoundError:
        return -1


def start(scenario: Scenario, folder: Path) -> BaseProcess:
    folder.mkdir(exist_ok=True)
    process = FORKS.Process(target=_run, args=(scenario, folder))
    process.start()
    return process


def _run(scenario: Scenario, folder: Path) -> None:
    home = {"SQBERT_CACHE": str(folder / "cache"), "HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1"}
    os.environ.update(home | dict(scenario.environment))
    torch.set_num_threads(1)
    sys.stdout = sys.stderr = (folder / "log").open("w")
    try:
        app([argument.replace("FOLDER", str(folder)) for argument in scenario.arguments], prog_name="sqbert")
    except SystemExit as ended:
        sys.stdout.flush()
        os._exit(int(ended.code or 0))


def content(path: Path) -> dict[str, bytes]:
    """What matters of a result: training.json tells seconds, which differ."""
    if path.is_file():
        return {path.name: path.read_bytes()}
    files = [file for file in path.rglob("*") if file.is_file() and not _is_unfinished(file.relative_to(path))]
    return {str(file.relative_to(path)): file.read_bytes() for file in files if _lasts(file)}


def _lasts(file: Path) -> bool:
    return file.name != "training.json" and file.suffix != ".md"


def _is_unfinished(file: Path) -> bool:
    """Whether its name, or that of a folder that it is in, is not its own yet."""
    return any(part.endswith(UNFINISHED) for part in file.parts)


READERS: dict[str, Callable[[Path], object]] = {
    ".json": lambda path: json.loads(path.read_bytes()),
    ".jsonl": lambda path: [json.loads(line) for line in path.read_text().splitlines()],
    ".safetensors": load_file,
    ".pt": lambda path: torch.load(path, weights_only=True),
    ".npy": np.load,
    ".edges": lambda path: np.fromfile(path, np.int64)[-1] * 2 == path.with_suffix(".ids").stat().st_size or 1 / 0,
    ".commit": lambda path: (path.parent / path.read_text() / "config.json").stat(),
}


def check_whole(folder: Path) -> None:
    """Every file under its own name can be read; a folder with a config is a model. The hub's own cache is not ours."""
    for file in folder.rglob("*"):
        inside = file.relative_to(folder)
        if "hf" in inside.parts or _is_unfinished(inside) or not file.is_file():
            continue
        READERS.get(file.suffix, Path.stat)(file)
        if file.name == "config.json":
            read_checkpoint(file.parent)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.kills", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="over all commands")
    parser.add_argument("--only", help="one command")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder, prepared(Path(folder)) as some:
        chosen = [scenario for scenario in some if arguments.only in (None, scenario.name)]
        for scenario in chosen:
            tally, began = Tally(), time.monotonic()
            place = Path(folder) / scenario.name
            place.mkdir()
            try:
                survive(scenario, place, -(-arguments.kills // len(chosen)), arguments.seed, tally)
            finally:
                end_the_rest(scenario)
            seconds = time.monotonic() - began
            print(f"{scenario.name}: {tally.kills} kills over {tally.runs} runs, {seconds:,.0f} s, nothing lost; "
                  f"{tally.left_behind} unfinished files and folders left behind", flush=True)  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())

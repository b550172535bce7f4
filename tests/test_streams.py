"""Long pipes: slow writers do not wait, slow readers do not fill the memory, and processes share one cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sqbert_cli.files import UNFINISHED
from tests.conftest import ROOT
from tests.fuzz.models import tiny
from tests.streams import held_up, piped, waits

SLACK = 40
"""MiB between the first thousands and all; a record kept would be seen."""
TOKENIZE = """
import sys
from pathlib import Path
from sqbert_cli.text.corpus import read_tokens, tokenize
from sqbert_cli.text.tokenizer import Tokenizer
tokenizer, text, cache = Tokenizer.read(Path(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3])
for _ in tokenize(text, tokenizer, cache):
    pass
print(len(read_tokens(text, tokenizer, cache).ids))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny(tmp_path_factory.mktemp("model"))


@pytest.mark.slow
@pytest.mark.parametrize("command", ["ner", "embed"])
def test_a_line_now_and_then_is_answered_before_the_next_comes(command: str, model: Path) -> None:
    with piped(command, model) as pipe:
        assert max(waits(pipe, 10, 0.05)[1:]) < 5  # a batch would never be full


@pytest.mark.slow
def test_thirty_thousand_records_and_a_reader_that_stops_take_the_memory_of_five_thousand(model: Path) -> None:
    with piped("classify", model) as pipe:
        before, after = held_up(pipe, 30_000, 3)
    assert after - before < SLACK


@pytest.mark.slow
def test_eight_processes_that_need_the_same_word_pieces_at_once_get_them(vocabulary: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("the film was good and fun\n" * 20_000)
    command = [sys.executable, "-c", TOKENIZE, str(vocabulary), str(tmp_path / "text.txt"), str(tmp_path / "cache")]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    some = [subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) for _ in range(8)]
    assert [process.communicate(timeout=300)[0] for process in some] == [b"120000\n"] * 8
    ids, edges = sorted((tmp_path / "cache").iterdir(), key=lambda file: file.suffix == ".edges")
    assert np.fromfile(edges, np.int64)[-1] * 2 == ids.stat().st_size
    assert not list((tmp_path / "cache").glob(f"*{UNFINISHED}"))

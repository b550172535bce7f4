"""Model folders that were made to do harm: each is refused with a message, and no memory is filled."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.conftest import ROOT, run_sqbert

GIGABYTE = 1 << 30
MEMORY = 150 << 20
"""Bytes by which all these folders together may raise the peak; each of them asks for far more."""
CHILD = """
import json, resource, sys
from sqbert_cli.cli import app
import torch, sqbert_cli.models  # what every command needs is not the folders' doing

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

resource.setrlimit(resource.RLIMIT_AS, (48 << 30,) * 2)  # a last resort, should a refusal fail
start, command = peak(), sys.argv[1].split()
for folder in sys.argv[2:]:
    try:
        app([*command, folder])
    except SystemExit as ended:
        print(json.dumps([ended.code, peak() - start]), flush=True)
    sys.stdout.flush()
    sys.stderr.write("====\\n")
    sys.stderr.flush()
"""


class Call:
    """Pickled, it is a call that whoever reads the pickle makes."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def set_config(**values: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | values))

    return spoil


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: folder.joinpath(name).write_bytes(content) and None


def pickled(make: Callable[[Path], Any], **options: Any) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        torch.save(make(folder), folder / "pytorch_model.bin", **options)

    return spoil


def plain_pickle(make: Callable[[Path], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps(make(folder), protocol=2))

    return spoil


def deflated(part: str) -> Callable[[Path], None]:
    """Half a gigabyte of zeros in few bytes, as one part of an archive of torch's."""

    def spoil(folder: Path) -> None:
        whole = BytesIO()
        torch.save({"weight": torch.zeros(4)}, whole)
        (folder / "model.safetensors").unlink()
        with (
            zipfile.ZipFile(whole) as old,
            zipfile.ZipFile(folder / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as new,
        ):
            for name in old.namelist():
                with new.open(name, "w") as opened:
                    for _ in range(512):
                        opened.write(bytes(1 << 20) if name.endswith(part) else b"")
                    if not name.endswith(part):
                        opened.write(old.read(name))

    return spoil


def stored_twice(folder: Path) -> None:
    """Parts of an archive that lie upon one another."""
    (folder / "model.safetensors").unlink()
    whole = BytesIO()
    torch.save({str(number): torch.full((1 << 18,), number) for number in range(3)}, whole)
    content = bytearray(whole.getvalue())
    entry = content.find(b"PK\x01\x02")
    places = []
    while entry >= 0:
        places.append(entry)
        entry = content.find(b"PK\x01\x02", entry + 4)
    for place in places:  # each one's size becomes that of the whole file
        content[place + 20 : place + 28] = struct.pack("<II", len(content), len(content))
    (folder / "pytorch_model.bin").write_bytes(content)


def header(tensors: Any, data: bytes = b"", length: int | None = None) -> Callable[[Path], None]:
    text = tensors if isinstance(tensors, bytes) else json.dumps(tensors).encode()
    return write("model.safetensors", struct.pack("<Q", len(text) if length is None else length) + text + data)


def tensor(shape: list[Any], *offsets: Any, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": list(offsets)}


def more_pieces(folder: Path) -> None:
    values = json.loads((folder / "tokenizer.json").read_text())
    values["model"]["vocab"]["stranger"] = 10**9
    (folder / "tokenizer.json").write_text(json.dumps(values))


def nested_normalisers(folder: Path) -> None:
    whole = (folder / "tokenizer.json").read_text()
    start = whole.index('"normalizer":') + len('"normalizer":')
    deep = '{"type":"Sequence","normalizers":[' * 50_000 + "]}" * 50_000
    (folder / "tokenizer.json").write_text(whole[:start] + deep + "," + whole[whole.index('"pre_tokenizer"') :])


def link(name: str, target: str) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return spoil


def sparse(name: str, size: int) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, size)


DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
BIG = {"hidden_size": 16_384, "embedding_size": 16_384, "num_attention_heads": 512, "vocab_size": 2_000_000}
HEAD = {"kind": "sequence", "labels": ["a", "b"]}
HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "code": (pickled(lambda folder: Call(os.system, f"touch {folder / 'harm'}")), "it could run code"),
    "old code": (plain_pickle(lambda folder: Call(os.system, f"touch {folder / 'harm'}")), "it could run code"),
    "memory by a call": (pickled(lambda _: {"a": Call(bytearray, 200 * GIGABYTE)}), "cannot be read as weights"),
    "a view of one number": (
        pickled(lambda _: {"a": torch.zeros(1, dtype=torch.half).expand(10**6, 10**6)}),
        "the tensor 'a' is larger than its data",
    ),
    "views of one table": (
        pickled(lambda _: dict.fromkeys(map(str, range(9)), torch.zeros(9, 9, dtype=torch.half))),
        "larger than it many times over",
    ),
    "an old view": (
        pickled(lambda _: {"a": torch.zeros(1).expand(10**6, 10**6)}, _use_new_zipfile_serialization=False),
        "the tensor 'a' is larger than its data",
    ),
    "no data": (pickled(lambda _: {"a": torch.empty(10**12, device="meta")}), "or of a kind that models do not have"),
    "sparse": (
        pickled(lambda _: {"a": torch.sparse_coo_tensor(size=(10**6, 10**6))}),
        "or of a kind that models do not have",
    ),
    "zip bomb of data": (deflated("data/0"), "it is compressed"),
    "zip bomb of the pickle": (deflated("data.pkl"), "it is compressed"),
    "parts upon parts": (stored_twice, "its parts are larger than the whole"),
    "absurd width": (set_config(hidden_size=10**12, embedding_size=10**12), "`hidden_size` is 1000000000000"),
    "promised sizes": (set_config(**BIG, intermediate_size=131_072, num_hidden_layers=200), "and "),
    "endless number": (write("config.json", b'{"vocab_size": 1' + b"0" * 9999 + b"}"), "is not JSON"),
    "many heads": (set_config(heads={f"h{number}": HEAD for number in range(10_000)}), "there are 10,000, at most"),
    "many labels": (
        set_config(heads={"h": {"kind": "sequence", "labels": [str(number) for number in range(10**6)]}}),
        "misshaped classifier.weight: (2, 32), expected (1000000, 32)",
    ),
    "deep config": (write("config.json", DEEP), "`FOLDER/config.json` is not JSON"),
    "deep tokenizer": (nested_normalisers, "`FOLDER/tokenizer.json` is not a tokenizer: "),
    "deep header": (header(DEEP), "cannot be read as weights"),
    "deep training": (write("training.json", DEEP), "`FOLDER/training.json` is not JSON"),
    "large config": (sparse("config.json", 10 * GIGABYTE), "has 10,737,418,240 bytes, at most"),
    "large tokenizer": (sparse("tokenizer.json", 10 * GIGABYTE), "has 10,737,418,240 bytes, at most"),
    "foreign pieces": (more_pieces, "the tokenizer has 1000000001 word pieces, the embeddings"),
    "endless header": (header({}, length=2**63), "its header has 9,223,372,036,854,775,808 bytes"),
    "large header": (
        lambda folder: (header({}, length=5 * GIGABYTE)(folder), sparse("model.safetensors", 6 * GIGABYTE)(folder))[0],
        "its header has 5,368,709,120 bytes",
    ),
    "overlap": (header({"a": tensor([2], 0, 8), "b": tensor([2], 4, 12)}, bytes(12)), "'b' overlaps another"),
    "beyond the file": (header({"a": tensor([10**9], 0, 4 * 10**9)}, bytes(8)), "its tensors have 4,000,000,000 bytes"),
    "shape beyond data": (header({"a": tensor([10**9, 10**9], 0, 8)}, bytes(8)), "has another size than its shape"),
    "negative": (header({"a": tensor([-2, -1], 0, 8)}, bytes(8)), "has no shape or place"),
    "unknown numbers": (header({"a": tensor([2], 0, 8, dtype="X9")}, bytes(8)), "numbers of an unknown kind, 'X9'"),
    "a header of another kind": (header([1, 2]), "its header is not a JSON object"),
    "weights are a device": (link("model.safetensors", "/dev/zero"), "has no weights"),
    "config is a device": (link("config.json", "/dev/zero"), "is not a model folder"),
    "link to itself": (link("tokenizer.json", "tokenizer.json"), "has no tokenizer"),
    "link to nothing": (link("model.safetensors", "/nowhere/at/all"), "has no weights"),
    "an index that climbs out": (
        lambda folder: (
            (folder / "model.safetensors").rename(folder.parent / f"{folder.name}.safetensors"),
            write(
                "model.safetensors.index.json",
                json.dumps({"weight_map": {"a": f"../{folder.name}.safetensors"}}).encode(),
            )(folder),
        )[1],
        "has its weights in several files",
    ),
    "odd scores": (set_config(heads={"h": {"kind": "sequence", "labels": [["x"]]}}), "are not names that differ"),
}


@pytest.fixture(scope="module")
def hostile(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("hostile")
    folders = [root / name.replace(" ", "-") for name in HOSTILE]
    for folder, (spoil, _) in zip(folders, HOSTILE.values(), strict=True):
        shutil.copytree(tiny_model, folder)
        spoil(folder)
    return folders


def run_child(command: str, folders: list[Path]) -> tuple[list[tuple[int, int]], list[str]]:
    """Run a command on each folder in one process. Returns how each ended, the peak of memory, and what was said."""
    ended = subprocess.run(
        [sys.executable, "-c", CHILD, command, *map(str, folders)],  # with no memory but its own
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    lines = [line for line in ended.stdout.splitlines() if line.startswith("[")]
    return [tuple(json.loads(line)) for line in lines], ended.stderr.split("====\n")[:-1]


def test_each_is_refused_with_a_message_and_no_memory_is_filled(hostile: list[Path]) -> None:
    ends, said = run_child("models info", hostile)
    for (name, (_, problem)), folder, (status, memory), text in zip(HOSTILE.items(), hostile, ends, said, strict=True):
        assert status == 1, name
        assert problem.replace("FOLDER", str(folder)) in text, name
        assert text.startswith("error: "), name
        assert "Traceback" not in text, name
        assert memory < MEMORY, name
        assert not (folder / "harm").exists(), name


def test_a_list_of_them_is_a_list(hostile: list[Path]) -> None:
    """Weights are not read for it, so it says less; but it goes on, in little memory."""
    [*ends], _ = run_child("models list", hostile)
    assert all(status in (0, 1) and memory < MEMORY for status, memory in ends)


def test_what_a_folder_says_does_not_steer_the_terminal(tiny_model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    steering = "\x1b]0;title\x07\x1b[2J"
    set_config(dtype=steering)(folder)
    training = {"command": steering, "scores": {steering: {"metrics": {steering: 0.5}}}, "model": [steering]}
    (folder / "training.json").write_text(json.dumps(training))
    (folder / "README.md").write_text(f"---\nlicense: bsd{steering}\n---\n")
    for command in ("models info --format table", "models list --format table"):
        ended = run_sqbert(*command.split(), folder)
        assert ended.status == 0, ended.err
        assert "\x1b" not in ended.out
        assert "\x07" not in ended.out

"""What travels to the phone: weights, ids, the runner; and the logits that are expected of it.

Weights are one safetensors file for both runtimes: float32 under the reference's names, the shape in its metadata.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import torch

from sqbert_cli.batch import Batch
from sqbert_cli.bench.cases import Shape
from sqbert_cli.bench.subjects import SHAPES, Subject, random_network
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import sha256_of
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.model.network import Network
from sqbert_cli.models import load_checkpoint

FEWEST_WORDS = 100
"""Ids are below this, so that every vocabulary has them."""
HEAD = HeadConfig(name="logits", kind="sequence", labels=("0", "1"))
PACKAGE = Path(__file__).parents[1]
SHARED = (
    "errors.py", "model/__init__.py", "model/config.py", "model/grouped.py", "model/layers.py", "model/encoder.py",
    "model/heads.py", "model/network.py", "phone/__init__.py", "phone/runner.py",
)  # fmt: skip
"""Our own modules that the runner in Termux imports."""


@dataclass(frozen=True)
class Cargo:
    """A model as it travels."""

    name: str
    file: Path
    sha256: str
    expected: torch.Tensor
    """Logits of each row of ids, (rows, L), by our network in float32 on this computer."""
    about: dict[str, Any]
    """What a report says of the model."""

    @property
    def gflop(self) -> float:
        return float(sum(self.about["flops"].values())) / 1e9


def load_network(name: str, *, offline: bool = False) -> tuple[Network, str, str]:
    """Return an encoder with one head for whole texts, the head's name, and where its weights come from."""
    if config := SHAPES.get(name):
        return random_network(config, [HEAD]), HEAD.name, "random"
    checkpoint = load_checkpoint(name, offline=offline)
    return checkpoint.network.eval(), checkpoint.head("sequence").name, "its own"


@torch.inference_mode()
def pack(name: str, length: int, folder: Path, *, offline: bool = False) -> Cargo:
    """Write a model's weights into `folder`, and compute what the phone should find."""
    network, head, weights = load_network(name, offline=offline)
    if length > network.config.max_position_embeddings:
        raise SqbertError(f"`{name}` reads {network.config.max_position_embeddings} tokens at most, not {length}")
    if network.config.vocab_size < FEWEST_WORDS:
        raise SqbertError(f"`{name}` knows {network.config.vocab_size} word pieces, fewer than {FEWEST_WORDS}")
    prefix, file = f"heads.{head}.", folder / f"{sha256(os.fsencode(name)).hexdigest()[:12]}.safetensors"
    tensors = {
        key.removeprefix(prefix): tensor.float().contiguous()
        for key, tensor in network.state_dict().items()
        if key.startswith(("transformer.", prefix))
    }
    shape = asdict(network.config) | {
        "name": file.stem,  # a folder's may be no UTF-8
        "block_layer_norm_eps": network.config.block_layer_norm_eps,
        "num_labels": len(tensors["classifier.bias"]),
    }
    write_safetensors(file, tensors, {key: str(value) for key, value in shape.items()})
    ids, mask = token_rows(length)
    return Cargo(
        name=name,
        file=file,
        sha256=sha256_of(file),
        expected=network(head, *Batch(ids, mask, torch.zeros_like(ids)).inputs()),
        about=Subject(name, network, weights).about(Shape(1, length, 1)),
    )


def write_safetensors(path: Path, tensors: Mapping[str, torch.Tensor], said: Mapping[str, str]) -> None:
    """Write float32 tensors with metadata; the same bytes each time (its library promises no order)."""
    header: dict[str, Any] = {"__metadata__": said}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [begin, end]}
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    with open(path, "wb") as file:
        file.write(len(told).to_bytes(8, "little") + told)
        for tensor in tensors.values():
            file.write(tensor.numpy().tobytes())


def token_rows(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask of two rows: a full one, which is timed, and one that ends in padding, which must not be seen."""
    ids = torch.randint(1, FEWEST_WORDS, (2, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, length - length // 4 :] = 0
    return ids * mask, mask


def write_rows(path: Path, ids: torch.Tensor, mask: torch.Tensor) -> None:
    """One line for each row: how many of its tokens are real, then its ids."""
    lines = (f"{sum(real)} {' '.join(map(str, row))}" for row, real in zip(ids.tolist(), mask.tolist(), strict=True))
    path.write_text("\n".join(lines) + "\n")


def write_runner(path: Path) -> None:
    """Pack our network and the runner into one file that Python runs as it is; the same bytes each time."""
    members = {f"sqbert_cli/{name}": (PACKAGE / name).read_text() for name in SHARED} | {
        "sqbert_cli/__init__.py": "",
        "__main__.py": "from sqbert_cli.phone.runner import main\n\nmain()\n",
    }
    with ZipFile(path, "w", ZIP_DEFLATED) as archive:
        for name, source in sorted(members.items()):
            archive.writestr(ZipInfo(name), source)


def far_from(cargo: Cargo, logits: Sequence[Sequence[float]]) -> float:
    """Largest difference from the expected logits, as a share of the largest of them, at least of 1."""
    given = torch.tensor(logits, dtype=torch.float64)
    if given.shape != cargo.expected.shape:
        return float("inf")
    size = max(1.0, cargo.expected.abs().max().item())
    return (given - cargo.expected.double()).abs().max().item() / size

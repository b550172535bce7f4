"""One head of a model as a file for other runtimes, which answers as we do before it appears under its name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from sqbert_cli import __version__
from sqbert_cli.batch import Batch
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.engines.graphs import INPUTS, OPSET, WRITERS, Graph, Inputs, Run
from sqbert_cli.errors import SqbertError
from sqbert_cli.files import whole_path
from sqbert_cli.model.config import KIND_WORDS, MIN_LENGTH, HeadConfig, HeadKind, SqueezeBertConfig
from sqbert_cli.models import load_checkpoint
from sqbert_cli.predict.vectors import mean_pooled

ExportName = Literal["onnx", "torchscript", "pt2"]
OUTPUTS: dict[HeadKind | None, tuple[str, tuple[str, ...]]] = {
    None: ("hidden", ("batch", "length")),
    "sequence": ("logits", ("batch",)),
    "token": ("logits", ("batch", "length")),
    "span": ("logits", ("batch", "length")),
    "masked_word": ("logits", ("batch", "length")),
    "vector": ("vectors", ("batch",)),
    "pooler": ("pooled", ("batch",)),
}
"""What comes out of each kind of head, and its axes of any size."""
TOLERANCE = 1e-4
"""Largest difference, in units of the largest number that comes out (at least 1)."""
SIZES = ((2, 8), (1, 2), (5, 17), (3, 31), (1, 512))
"""Batch and length of what is compared, with padding; lengths beyond the model's positions are cut to them."""


class Answering(nn.Module):
    """The encoder and one head: what `sqbert` computes of a window."""

    def __init__(self, checkpoint: Checkpoint, head: HeadConfig | None) -> None:
        super().__init__()
        self.transformer = checkpoint.network.transformer
        self.head = checkpoint.network.heads[head.name] if head else nn.Identity()
        self.is_vector = head is not None and head.kind == "vector"

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """*Shapes:* (B, T) three times -> as the head, of `vector` (B, C) of length 1; without one (B, T, C)."""
        hidden = self.transformer(input_ids, attention_mask, token_type_ids)
        if not self.is_vector:
            return self.head(hidden)
        return functional.normalize(self.head(mean_pooled(hidden, Batch(input_ids, attention_mask, token_type_ids))))


def export(
    name: str, output: Path, format: ExportName, head: str | None = None, *, offline: bool = False
) -> dict[str, Any]:
    """Write one head of a model to the file `output`, in float32; what it answers was compared with ours before.

    Returns what was written. Raises `SqbertError`, too where it would answer otherwise, or a package is missing.
    """
    if output.is_dir():
        raise SqbertError(f"`{output}` is a folder", hint=f"name a file, such as `{output / 'model'}.{format}`")
    checkpoint = load_checkpoint(name, offline=offline)
    graph = make_graph(checkpoint, checkpoint.one_head(head))
    with whole_path(output) as place:
        try:
            run = WRITERS[format](graph, place)
        except (RuntimeError, ValueError) as error:  # an exporter of another version, a file over its format's limit
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise SqbertError(f"`{name}` cannot be written as {format}: {reason}") from error
        batches = (batch_of(checkpoint.config, batch, min(length, graph.max_length)) for batch, length in SIZES)
        difference = check(graph, run, batches)
        size = place.stat().st_size
    about = json.loads(graph.about["sqbert"])
    return {**about, "file": str(output), "format": format, "bytes": size, "difference": difference} | (
        {"opset": OPSET} if format == "onnx" else {}
    )


def make_graph(checkpoint: Checkpoint, head: HeadConfig | None) -> Graph:
    """Describe a head so that its file can be used without the model's folder."""
    output, axes = OUTPUTS[head.kind if head else None]
    positions = checkpoint.config.max_position_embeddings
    about = {
        "name": Path(checkpoint.name).name,
        "head": head.name if head else None,
        "kind": head.kind if head else None,
        "answers": KIND_WORDS[head.kind] if head else "vectors of tokens",
        "labels": list(head.labels) if head else [],
        "scheme": head.scheme if head else None,
        "problem_type": head.problem_type if head and head.kind == "sequence" else None,
        "max_length": checkpoint.max_length(head) if head else positions,
        "pad_token_id": checkpoint.config.pad_token_id,
        "inputs": INPUTS,
        "output": output,
        "sqbert_version": __version__,
    }
    texts = {"sqbert": json.dumps(about, ensure_ascii=False), "tokenizer": checkpoint.tokenizer.pieces.to_str()}
    module = Answering(checkpoint, head).eval().requires_grad_(False)
    return Graph(module, batch_of(checkpoint.config, 2, MIN_LENGTH), output, axes, positions, texts)


def check(graph: Graph, run: Run, batches: Iterable[Inputs]) -> float:
    """Compare what a file answers with what its model does. Returns the largest difference."""
    largest = 0.0
    for inputs in batches:
        with torch.no_grad():
            ours, theirs = graph.module(*inputs), run(inputs).detach()
        shape = tuple(inputs[0].shape)
        if theirs.shape != ours.shape:
            raise SqbertError(f"the file gives {tuple(theirs.shape)} for a batch of {shape}, not {tuple(ours.shape)}")
        difference = float((theirs - ours).abs().max()) / max(1.0, float(ours.abs().max()))
        if not difference <= TOLERANCE:  # NaN, too
            raise SqbertError(f"the file answers otherwise than the model: {difference:.1e} apart on {shape}")
        largest = max(largest, difference)
    return largest


def batch_of(config: SqueezeBertConfig, batch: int, length: int) -> Inputs:
    """Draw a batch, the first row full, each further one shorter. *Shapes:* (B, T) three times."""
    generator = torch.Generator().manual_seed(length)
    ids = torch.randint(config.vocab_size, (batch, length), generator=generator)
    types = torch.randint(min(2, config.type_vocab_size), (batch, length), generator=generator)
    lengths = torch.tensor([max(1, length - 3 * row) for row in range(batch)])
    mask = (torch.arange(length) < lengths[:, None]).long()
    return torch.where(mask > 0, ids, config.pad_token_id), mask, types * mask

"""Average two models weight by weight: `python average.py MODEL OTHER SHARE OUTPUT`.

OTHER was taught from MODEL on; SHARE of it, and the rest of MODEL, make OUTPUT (Wortsman et al. 2022, "Robust
fine-tuning of zero-shot models"). Heads that OTHER lacks stay MODEL's.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from sqbert_cli.checkpoint import Checkpoint, write_checkpoint
from sqbert_cli.models import load_checkpoint


@torch.no_grad()
def average(model: Checkpoint, other: Checkpoint, share: float) -> Checkpoint:
    """`model` is changed in place."""
    ours, theirs = model.network.state_dict(), other.network.state_dict()
    mean = {name: tensor.lerp(theirs[name], share) if name in theirs else tensor for name, tensor in ours.items()}
    model.network.load_state_dict(mean)
    return model


if __name__ == "__main__":
    model, other, share, output = sys.argv[1:]
    mean = average(load_checkpoint(model, offline=True), load_checkpoint(other, offline=True), float(share))
    write_checkpoint(mean, Path(output), torch.float16)

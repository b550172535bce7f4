"""Average two models of one shape, weight by weight: `python average.py NEWER OLDER SHARE_OF_NEWER OUTPUT`.

After Wortsman et al. 2022 (model soups): where one was taught on from the other, what lies between them often says
more than either.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from sqbert_cli.checkpoint import Checkpoint, write_checkpoint
from sqbert_cli.models import load_checkpoint


def averaged(newer: Checkpoint, older: Checkpoint, share: float) -> Checkpoint:
    theirs = older.network.state_dict()
    with torch.no_grad():
        for name, tensor in newer.network.state_dict().items():
            tensor.lerp_(theirs[name], 1 - share)
    return newer


if __name__ == "__main__":
    newer, older, share, output = sys.argv[1:]
    between = averaged(load_checkpoint(newer, offline=True), load_checkpoint(older, offline=True), float(share))
    write_checkpoint(between, Path(output), torch.float16)

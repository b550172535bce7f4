"""Double the layers of a model without changing what it says: `python deepen.py MODEL TEXTS OUTPUT`.

After each layer comes a copy of it whose two last products are zero, so that it adds nothing yet, and whose norms undo
themselves: each is the straight line, channel by channel, that comes closest to giving back what it was given on TEXTS
(a text a line). A network of identities learns on where the shallower one stood.
"""

from __future__ import annotations

import copy
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sqbert_cli.batch import collate
from sqbert_cli.checkpoint import Checkpoint, write_checkpoint
from sqbert_cli.model.network import Network
from sqbert_cli.models import load_checkpoint


def states_of(base: Checkpoint, texts: list[str]) -> list[Tensor]:
    """*Shapes:* -> for each layer (N, C), what it says about every token of the texts."""
    windows = [base.tokenizer.windows(ids, None, 128)[0] for ids in base.tokenizer.encode(texts)]
    batch = collate(windows, base.config.pad_token_id, base.device)
    with torch.inference_mode():
        states = base.network.transformer.hidden_states(*batch.inputs())
    return [state[batch.attention_mask.bool()] for state in states[1:]]


def identity_after(block: torch.nn.Module, states: Tensor) -> torch.nn.Module:
    """*Shapes:* `states` (N, C), what the block says."""
    new: Any = copy.deepcopy(block)
    normed = torch.nn.functional.layer_norm(states, states.shape[-1:])
    slope = ((normed - normed.mean(0)) * (states - states.mean(0))).mean(0) / normed.var(0, correction=0)
    for part in (new.post_attention, new.output):
        for parameter in part.conv1d.parameters():
            parameter.zero_()
        part.layernorm.weight.copy_(slope)
        part.layernorm.bias.copy_(states.mean(0) - slope * normed.mean(0))
    return new


@torch.no_grad()
def deepened(base: Checkpoint, texts: list[str]) -> Checkpoint:
    config = replace(base.config, num_hidden_layers=2 * base.config.num_hidden_layers)
    network = Network(config)
    network.transformer.embeddings = base.network.transformer.embeddings
    network.heads = base.network.heads
    pairs = zip(base.network.transformer.encoder.layers, states_of(base, texts), strict=True)
    layers = [layer for block, states in pairs for layer in (block, identity_after(block, states))]
    network.transformer.encoder.layers = torch.nn.ModuleList(layers)
    return replace(base, network=network)


if __name__ == "__main__":
    model, texts, output = sys.argv[1:]
    base = load_checkpoint(model, offline=True)
    write_checkpoint(deepened(base, Path(texts).read_text("utf-8").splitlines()[:500]), Path(output))

"""Where pretraining starts: from nothing, from a model, or from the teacher's own weights."""

from __future__ import annotations

from dataclasses import replace

import torch

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import SqueezeBertConfig
from sqbert_cli.model.network import Network, initialise
from sqbert_cli.text.tokenizer import Tokenizer
from sqbert_cli.training.examples import check_vocabulary
from sqbert_cli.training.heads import network_with_heads
from sqbert_cli.training.objectives import check_objectives
from sqbert_cli.training.settings import PretrainSettings
from sqbert_cli.training.text_losses import heads_for


def new_encoder(shape: SqueezeBertConfig, layers: int | None, tokenizer: Tokenizer, seed: int) -> Checkpoint:
    """Return random weights for the words of a tokenizer."""
    layers = layers or shape.num_hidden_layers
    network = Network(replace(shape, num_hidden_layers=layers, vocab_size=tokenizer.vocab_size))
    initialise(network, shape.initializer_range, torch.Generator().manual_seed(seed))
    return Checkpoint("new", network, (), tokenizer)


def prepare(base: Checkpoint, settings: PretrainSettings, teacher: Checkpoint | None) -> Checkpoint:
    """Return `base` with the heads of the objectives. Raises `SqbertError` where a teacher does not fit to them."""
    longest = max(settings.max_length, settings.long_length if settings.long_steps else 0)
    for model in (base, teacher):
        if model is not None and model.config.max_position_embeddings < longest:
            raise SqbertError(
                f"`{model.name}` reads {model.config.max_position_embeddings} tokens at most, windows have {longest}",
                hint="use a smaller `--max-length`, or no `--long-steps`",
            )
    if teacher is not None:
        check_vocabulary(teacher, base)
    check_objectives(
        settings.objectives,
        has_teacher=teacher is not None,
        same_width=teacher is not None and teacher.config.hidden_size == base.config.hidden_size,
        tells_words=teacher is not None and any(head.kind == "masked_word" for head in teacher.heads),
    )
    keep_pooler = "sentence-order" not in settings.objectives
    poolers = tuple(head for head in base.heads if head.kind == "pooler" and keep_pooler)
    heads = (*poolers, *heads_for(settings.objectives, base, longest))
    return network_with_heads(base, heads, dropout=settings.dropout, seed=settings.seed)

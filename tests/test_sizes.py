"""Padding to sizes that repeat changes neither what the network reads nor what it is told."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from sqbert_cli.batch import Batch
from sqbert_cli.checkpoint import read_checkpoint
from sqbert_cli.tasks.masked_words import masked_loss
from sqbert_cli.training.sizes import at_places, chosen_places, next_size, read_states, words_at


def test_few_sizes_are_left_and_none_grows_by_more_than_an_eighth() -> None:
    grown = [next_size(size) for size in range(1, 513)]
    assert all(size <= more <= size * 9 / 8 for size, more in zip(range(1, 513), grown, strict=True))
    assert len(set(grown)) <= 16 + 8 * 5
    assert [next_size(size) for size in (0, 1, 17, 100, 128, 250)] == [0, 1, 18, 104, 128, 256]


@pytest.mark.parametrize("length", [17, 61, 64])
def test_the_states_of_a_batch_stay_as_they_are(make_model: Callable[..., Path], length: int) -> None:
    model = read_checkpoint(make_model(max_position_embeddings=64))
    mask = torch.ones(3, length, dtype=torch.long)
    mask[1, 9:] = 0
    batch = Batch(torch.randint(5, 50, mask.shape) * mask, mask, torch.zeros_like(mask))
    encoder = model.network.eval().transformer
    for padded, plain in zip(read_states(encoder, batch), encoder.hidden_states(*batch.inputs()), strict=True):
        torch.testing.assert_close(padded, plain, atol=1e-5, rtol=1e-5)


def test_places_that_are_none_add_nothing_to_the_loss_and_its_slope() -> None:
    torch.manual_seed(0)
    ids, states = torch.randint(5, 50, (4, 30)), torch.randn(4, 30, 8, requires_grad=True)
    scores, chosen = torch.randn(8, 50), torch.rand(4, 30) < 0.3
    places = chosen_places(chosen)
    assert len(places) > int(chosen.sum())
    padded = masked_loss(at_places(states, places) @ scores, words_at(ids, places))
    plain = functional.cross_entropy(states[chosen] @ scores, ids[chosen])
    torch.testing.assert_close(padded, plain)
    for some, other in zip(*(torch.autograd.grad(loss, states) for loss in (padded, plain)), strict=True):
        torch.testing.assert_close(some, other)

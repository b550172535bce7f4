"""Sizes that repeat from step to step, so that the memory which one frees fits the next.

With tensors of any size the heap is soon full of gaps that are a little too small. Letters: B windows, T tokens.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from sqbert_cli.batch import Batch
from sqbert_cli.model.encoder import Encoder
from sqbert_cli.tasks.entities import NOT_LEARNT

NOWHERE = -1


def next_size(size: int) -> int:
    """Return `size`, or the next of the eight sizes between two powers of two: at most an eighth more."""
    step = 1 << max(0, (size - 1).bit_length() - 4)
    return -(-size // step) * step


def read_states(encoder: Encoder, batch: Batch) -> list[Tensor]:
    """Return the encoder's `hidden_states` of a batch, read with padding up to the next size."""
    length, most = batch.input_ids.shape[1], encoder.embeddings.position_embeddings.num_embeddings
    padding = min(next_size(length), most) - length
    inputs = (functional.pad(tensor, (0, padding)) for tensor in batch.inputs())
    return [states[:, :length] for states in encoder.hidden_states(*inputs)]


def chosen_places(chosen: Tensor) -> Tensor:
    """Return where `chosen` is true, counted row by row, then `NOWHERE` up to the next size.

    *Shapes:* (B, T) bool -> (M,).
    """
    places = chosen.flatten().nonzero().squeeze(1)
    return functional.pad(places, (0, next_size(len(places)) - len(places)), value=NOWHERE)


def at_places(states: Tensor, places: Tensor) -> Tensor:
    """Return the states of tokens; `NOWHERE` gives those of the first. *Shapes:* (B, T, C), (M,) -> (M, C)."""
    return states.flatten(0, 1).index_select(0, places.clamp(min=0).to(states.device))


def words_at(input_ids: Tensor, places: Tensor) -> Tensor:
    """Return the ids of tokens; for `NOWHERE`, `NOT_LEARNT`. *Shapes:* (B, T), (M,) -> (M,)."""
    places = places.to(input_ids.device)
    return input_ids.flatten()[places].masked_fill(places == NOWHERE, NOT_LEARNT)

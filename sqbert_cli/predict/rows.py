"""Windows through the network, batched by length, each result back in its place."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, groupby
from typing import TypeVar

import torch
from torch import Tensor

from sqbert_cli.batch import Batch, collate
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.errors import FULL, SqbertError, is_out_of_memory
from sqbert_cli.tasks.classification import combine
from sqbert_cli.text.batches import token_batches
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.text.windows import Stretch

CPU_BATCH_TOKENS, GPU_BATCH_TOKENS = 512, 16_384
"""On a processor few enough for its cache: with 2,048 a command took 1.1 times as long and 200 MB more."""
GROUP_TOKENS = 16 * CPU_BATCH_TOKENS
"""How much of a long text is sorted and computed before the next part is read."""

Item = TypeVar("Item")


def head_rows(checkpoint: Checkpoint, head: str, windows: Sequence[Window]) -> list[Tensor]:
    """Return what a head says of each window. *Shapes:* (L,) each, or (T, L) for a head of tokens; float32, cpu."""
    return rows(checkpoint, windows, lambda batch: checkpoint.network(head, *batch.inputs()))


def state_rows(checkpoint: Checkpoint, windows: Sequence[Window]) -> list[Tensor]:
    """Return the encoder's vectors of each window. *Shapes:* (T, C) each; float32, cpu."""
    return rows(checkpoint, windows, lambda batch: checkpoint.network.transformer(*batch.inputs()))


def rows(checkpoint: Checkpoint, windows: Sequence[Window], compute: Callable[[Batch], Tensor]) -> list[Tensor]:
    """Return `compute`'s row of each window. *Shapes:* (B, ...) a batch, or (B, T, ...): then without the padding."""
    max_tokens = CPU_BATCH_TOKENS if checkpoint.device.type == "cpu" else GPU_BATCH_TOKENS

    def of_batch(some: Sequence[Window]) -> list[Tensor]:
        batch = collate(some, checkpoint.config.pad_token_id, checkpoint.device)
        values = compute(batch).float().cpu()
        if not values.isfinite().all():
            raise SqbertError(
                f"model `{checkpoint.name}` gives scores that are no numbers",
                hint="try `--dtype float32`; while training also a lower `--learning-rate`",
            )
        return [row[: len(one)] if row.ndim == 2 else row for one, row in zip(some, values, strict=True)]

    return in_batches(windows, max_tokens, of_batch)


def in_batches(
    windows: Sequence[Window], max_tokens: int, compute: Callable[[list[Window]], Sequence[Tensor]]
) -> list[Tensor]:
    """Return what `compute` says of each window; where there is no room for a batch, it is halved."""
    found: list[Tensor] = [torch.empty(0)] * len(windows)
    lengths = [len(window) for window in windows]
    waiting = deque(token_batches(lengths, max_tokens))
    while waiting:
        indices = waiting.popleft()
        try:
            with torch.inference_mode():
                values = compute([windows[index] for index in indices])
        except RuntimeError as error:
            longest = lengths[indices[0]]
            if not is_out_of_memory(error):
                raise
            if len(indices) == 1:
                raise SqbertError(f"{longest} tokens do not fit into the memory of the device", hint=FULL) from error
            left = [*indices, *chain(*waiting)]
            smaller = token_batches([lengths[index] for index in left], longest * (len(indices) // 2))
            waiting = deque([left[place] for place in places] for places in smaller)
            continue
        for index, row in zip(indices, values, strict=True):
            found[index] = row
    return found


def whole(rows: Tensor, windows: Sequence[Sequence[Window]]) -> Iterator[Tensor]:
    """Yield each text's row: the mean of its windows', by their tokens. *Shapes:* (W, L), W windows in all -> (L,)."""
    for part, some in zip(rows.split([len(some) for some in windows]), windows, strict=True):
        yield combine(part, [len(window) for window in some])


def by_text(
    checkpoint: Checkpoint, head: str, texts: Iterable[Iterable[Stretch]]
) -> Iterator[Iterator[tuple[Stretch, Tensor]]]:
    """Yield for each text its stretches with what a head says of them, to be taken before those of the next."""
    numbered = ((number, stretch) for number, some in enumerate(texts) for stretch in some)
    judged = grouped(numbered, lambda item: item[1].window, partial(head_rows, checkpoint, head))
    for _, some in groupby(judged, lambda item: item[0][0]):
        yield ((stretch, row) for (_, stretch), row in some)


def grouped(
    items: Iterable[Item], window: Callable[[Item], Window], compute: Callable[[Sequence[Window]], Sequence[Tensor]]
) -> Iterator[tuple[Item, Tensor]]:
    """Yield each item with its row, reading only so far ahead as a group holds."""
    group: list[Item] = []
    tokens = 0
    for item in items:
        group.append(item)
        tokens += len(window(item))
        if tokens >= GROUP_TOKENS:
            yield from zip(group, compute([window(one) for one in group]), strict=True)
            group, tokens = [], 0
    yield from zip(group, compute([window(one) for one in group]), strict=True)

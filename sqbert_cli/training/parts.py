"""The parts of a step: each a batch that fits into memory, with its share of the step's loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from sqbert_cli.batch import collate
from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.training.guides import Guide
from sqbert_cli.training.lessons import Lesson
from sqbert_cli.training.optimise import MicroBatch
from sqbert_cli.training.run import Run
from sqbert_cli.training.sizes import read_states


def micro_batches(
    lesson: Lesson, student: Checkpoint, rows: Sequence[int], batch_size: int, run: Run, guide: Guide | None = None
) -> Iterator[MicroBatch]:
    """Yield this process's parts of a step of one lesson; the losses of all add up to the mean over `rows`.

    Of hidden words they do so on average.
    """
    student.network.train()
    own, amount, tokens = run.processes.share(rows), lesson.amount(rows), lesson.tokens(rows)
    for first in range(0, len(own), batch_size):
        some = own[first : first + batch_size]
        batch = collate([lesson.windows[row] for row in some], student.config.pad_token_id, run.device)
        shown = lesson.shown(student, batch, some)
        with run.autocast():
            states = read_states(student.network.transformer, shown)
            hint, state_loss = (None, 0.0) if guide is None else guide.judge(lesson, states, shown, some)
            loss = lesson.loss(student, states[-1], batch, some, hint) * (lesson.amount(some) / amount)
            loss = loss + state_loss * (lesson.tokens(some) / tokens)
        yield MicroBatch(loss, batch.tokens)

"""General distillation of a grouped student on running text."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import torch

from sqbert_cli.batch import collate
from sqbert_cli.checkpoint import Checkpoint, weights_hash
from sqbert_cli.errors import SqbertError
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.training.distil import hidden_state_loss
from sqbert_cli.training.optimise import Finished, MicroBatch, OptimiserSettings, Step, make_trainer, optimise
from sqbert_cli.training.run import Run, windows_hash
from sqbert_cli.training.sampler import Sampler

HELD_OUT_WINDOWS = 256


@dataclass(frozen=True, kw_only=True)
class PretrainSettings(OptimiserSettings):
    """How a student learns from running text."""

    learning_rate: float = 3e-3
    embedding_rate: float = 0.1
    warmup_fraction: float = 0.03
    batch_size: int = 32
    """Windows in a step."""
    max_length: int = 128
    """Tokens in a window, at most."""
    tokens: int = 10_000_000
    """Tokens to learn from, each seen once."""
    save_steps: int = 500
    """Steps between two writes of the resume file, and between two looks at the held-out text."""


@dataclass(frozen=True)
class HeldOut:
    """Loss on text that was not learnt from."""

    step: int
    loss: float


def pretrain(
    teacher: Checkpoint,
    student: Checkpoint,
    windows: Sequence[Window],
    settings: PretrainSettings,
    run: Run,
) -> Iterator[Step | HeldOut | Finished]:
    """Teach the student the teacher's hidden states; it is changed in place."""
    if len(windows) <= HELD_OUT_WINDOWS:
        raise SqbertError(
            f"too little text: {len(windows)} windows, of which {HELD_OUT_WINDOWS} are held out",
            hint="give more text, or a larger `--tokens`",
        )
    shuffled = random.Random(settings.seed).sample(windows, len(windows))
    held_out, learnt = shuffled[:HELD_OUT_WINDOWS], shuffled[HELD_OUT_WINDOWS:]
    sampler = Sampler(tuple(len(window.input_ids) for window in learnt), settings.batch_size, settings.seed)
    ours, theirs = (checkpoint.network.transformer.to(run.device) for checkpoint in (student, teacher))
    ours.eval()  # without dropout: the teacher's states are the whole truth, and there is no end of text
    theirs.eval()

    def loss(some: Sequence[Window]) -> MicroBatch:
        batch = collate(some, student.config.pad_token_id, run.device)
        with run.autocast():
            return MicroBatch(hidden_state_loss(ours, theirs, batch), batch.tokens)

    trainer = make_trainer(ours, settings, sampler.steps_per_epoch)
    identity = run.identity(
        settings,
        {
            "text": windows_hash(windows),
            "student's starting weights": weights_hash(student),
            "teacher's weights": weights_hash(teacher),
        },
    )
    run.start(trainer, identity)
    for step in optimise(trainer, lambda index: [loss([learnt[row] for row in sampler.batch(index)])]):
        yield step
        if step.index % settings.save_steps == 0 or step.index == step.steps:
            with torch.no_grad():
                held_out_loss = HeldOut(step.index, _mean_loss(loss, held_out, settings.batch_size))
            trainer.progress.history.append(asdict(held_out_loss))
            run.save(trainer, identity)
            yield held_out_loss
    yield Finished(trainer.progress.seconds, trainer.progress.history)


def _mean_loss(loss: Callable[[Sequence[Window]], MicroBatch], windows: Sequence[Window], batch_size: int) -> float:
    ordered = sorted(windows, key=lambda window: len(window.input_ids))
    parts = [loss(ordered[first : first + batch_size]) for first in range(0, len(ordered), batch_size)]
    return sum(part.loss.item() * part.tokens for part in parts) / sum(part.tokens for part in parts)

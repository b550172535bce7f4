"""`sqbert pretrain`: a small general encoder from running text and a dense teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqbert_cli.commands import options


def pretrain(
    text: Annotated[list[Path], typer.Argument(help="Text files (also .gz, .xz), one paragraph a line.")],
    teacher: Annotated[str, typer.Option(help="Dense BERT to learn from: a folder or a hub id.")],
    output: options.Output,
    layers: Annotated[int | None, typer.Option(min=1, help="Layers of the student; default: the teacher's.")] = None,
    tokens: Annotated[int, typer.Option(min=1, help="Tokens to learn from.")] = 10_000_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows of text in a step.")] = 32,
    max_length: Annotated[int, typer.Option(min=8, help="Tokens in a window, at most.")] = 128,
    learning_rate: Annotated[float, typer.Option(help="Highest learning rate.")] = 3e-3,
    save_steps: Annotated[int, typer.Option(min=1, help="Steps between two writes of the resume file.")] = 500,
    seed: options.Seed = 42,
    resume: options.Resume = False,
    save_dtype: options.SaveDtype = "float32",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    threads: options.Threads = None,
    offline: options.Offline = False,
) -> None:
    """Distil a SqueezeBERT from a dense BERT of the same width, on running text.

    sqbert pretrain wikipedia.txt.xz --teacher all-MiniLM-L6-v2 --output student

    The student starts from the diagonal blocks of the teacher's layers and learns the teacher's hidden states. Fine-tune
    it afterwards with `sqbert finetune --model student`.
    """
    from sqbert_cli.console import show_training
    from sqbert_cli.training.pretrain import PretrainSettings
    from sqbert_cli.training.start import pretrain_model

    settings = PretrainSettings(
        learning_rate=learning_rate,
        batch_size=batch_size,
        max_length=max_length,
        tokens=tokens,
        save_steps=save_steps,
        seed=seed,
    )

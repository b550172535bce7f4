"""`sqbert pretrain`: a small general encoder from running text and a dense teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqbert_cli.commands import options, settings
from sqbert_cli.model.config import MIN_LENGTH


def pretrain(
    text: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="Text files (also .gz, .xz), one paragraph a line."),
    ],
    teacher: Annotated[
        str, typer.Option(rich_help_panel=options.INPUT, help="Dense BERT to learn from: a folder or a hub id.")
    ],
    output: options.Output,
    model: Annotated[
        str | None,
        typer.Option(rich_help_panel=options.INPUT, help="Student to go on with; default: a new one."),
    ] = None,
    layers: Annotated[
        int | None,
        typer.Option(rich_help_panel=options.TRAINING, min=1, help="Layers of the student; default: the teacher's."),
    ] = None,
    tokens: Annotated[
        int, typer.Option(rich_help_panel=options.TRAINING, min=1, help="Tokens to learn from.")
    ] = 10_000_000,
    batch_size: settings.BatchSize = 32,
    max_length: Annotated[
        int, typer.Option(rich_help_panel=options.TRAINING, min=MIN_LENGTH, help="Tokens in a window, at most.")
    ] = 128,
    learning_rate: settings.LearningRate = 3e-3,
    save_steps: settings.SaveSteps = 500,
    seed: options.Seed = 42,
    resume: options.Resume = False,
    save_dtype: options.SaveDtype = "float32",
    device: options.Device = "auto",
    dtype: options.TrainingDtype = "auto",
    threads: options.Threads = None,
    offline: options.Offline = False,
) -> None:
    """Distil a small SqueezeBERT from a dense BERT of the same width, on running text.

    sqbert pretrain wikipedia.txt.xz --teacher sentence-transformers/all-MiniLM-L6-v2 --output student

    A new student starts from the diagonal blocks of the teacher's layers, and learns the teacher's hidden states. Then
    teach it a task: `sqbert finetune --task sst2 --model student`.
    """
    if model is not None and layers is not None:
        raise typer.BadParameter("--layers goes with a new student, not with --model")

    from dataclasses import asdict

    from sqbert_cli.api import load
    from sqbert_cli.commands.training_view import show_training
    from sqbert_cli.console import talk
    from sqbert_cli.model.device import choose_device, training_dtype
    from sqbert_cli.text.corpus import corpus_windows
    from sqbert_cli.training.distil import student_of
    from sqbert_cli.training.pretrain import PretrainSettings, pretrain
    from sqbert_cli.training.run import finish_run, open_run

    chosen = PretrainSettings(
        learning_rate=learning_rate,
        batch_size=batch_size,
        max_length=max_length,
        tokens=tokens,
        save_steps=save_steps,
        seed=seed,
    )
    place = choose_device(device)
    source = load(teacher, device="cpu", dtype="float32", threads=threads, offline=offline)
    run = open_run(output, place, training_dtype(dtype, place), resume=resume)
    student = load(model, device="cpu", dtype="float32", offline=offline) if model else student_of(source, layers)
    windows = corpus_windows(text, source.tokenizer, tokens, max_length)
    talk.print(f"{len(windows):,} windows from {len(text)} file(s)")
    finished = show_training(pretrain(source, student, windows, chosen, run), run)
    training = {
        "command": "pretrain",
        "teacher": teacher,
        "model": model,
        "text": [path.name for path in text],
        "settings": asdict(chosen),
        **asdict(finished),
    }
    finish_run(run, student, save_dtype, training)
    talk.print(f"saved to {output}")

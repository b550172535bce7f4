"""`sqbert finetune`: a model for one's own task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqbert_cli.commands import options
from sqbert_cli.model.config import MIN_LENGTH


def finetune(
    output: options.Output,
    task: options.Task = None,
    data: options.Data = None,
    train: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.INPUT,
            exists=True,
            dir_okay=False,
            help="Your own labelled examples, instead of --task.",
        ),
    ] = None,
    dev: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.INPUT,
            exists=True,
            dir_okay=False,
            help="Examples to be judged by; default: a tenth of --train.",
        ),
    ] = None,
    input_format: options.InputFormat = "auto",
    text_field: options.TextField = "text",
    pair_field: options.PairField = None,
    label_field: options.LabelField = "label",
    multi_label: Annotated[
        bool, typer.Option("--multi-label", rich_help_panel=options.INPUT, help="A text can have several labels.")
    ] = False,
    regression: Annotated[
        bool, typer.Option("--regression", rich_help_panel=options.INPUT, help="The label is a number.")
    ] = False,
    model: options.Model = None,
    epochs: Annotated[
        float, typer.Option(rich_help_panel=options.TRAINING, min=0.001, max=10_000, help="Times through the examples.")
    ] = 3.0,
    batch_size: Annotated[
        int,
        typer.Option(rich_help_panel=options.TRAINING, min=1, help="Windows of text in a step, or in a part of it."),
    ] = 32,
    accumulation: Annotated[
        int, typer.Option(rich_help_panel=options.TRAINING, min=1, help="Parts of --batch-size in a step.")
    ] = 1,
    max_length: Annotated[
        int,
        typer.Option(
            rich_help_panel=options.TRAINING,
            min=MIN_LENGTH,
            help="Tokens in a window; longer texts are several.",
        ),
    ] = 128,
    learning_rate: Annotated[
        float, typer.Option(rich_help_panel=options.TRAINING, min=0, max=1, help="Highest learning rate.")
    ] = 1e-4,
    warmup: Annotated[
        float, typer.Option(rich_help_panel=options.TRAINING, min=0, max=1, help="Share of the steps spent warming up.")
    ] = 0.1,
    weight_decay: Annotated[
        float, typer.Option(rich_help_panel=options.TRAINING, min=0, help="Not on biases and norms.")
    ] = 0.01,
    max_grad_norm: Annotated[
        float, typer.Option(rich_help_panel=options.TRAINING, min=1e-6, help="Longer gradients are cut to this.")
    ] = 1.0,
    dropout: Annotated[
        float, typer.Option(rich_help_panel=options.TRAINING, min=0, max=0.9, help="Share of activations left out.")
    ] = 0.1,
    label_smoothing: Annotated[
        float, typer.Option(rich_help_panel=options.TRAINING, min=0, max=0.9, help="Doubt in the labels.")
    ] = 0.0,
    class_weights: Annotated[
        bool, typer.Option("--class-weights", rich_help_panel=options.TRAINING, help="Rare labels weigh more.")
    ] = False,
    freeze_embeddings: Annotated[
        bool, typer.Option("--freeze-embeddings", rich_help_panel=options.TRAINING, help="Leave embeddings alone.")
    ] = False,
    teacher: Annotated[
        str | None,
        typer.Option(rich_help_panel=options.TRAINING, help="A better model of the same labels to learn from."),
    ] = None,
    teacher_weight: Annotated[
        float, typer.Option(rich_help_panel=options.TRAINING, min=0, max=1, help="Its share of the loss.")
    ] = 0.9,
    temperature: Annotated[
        float, typer.Option(rich_help_panel=options.TRAINING, min=0.1, help="Softens its scores.")
    ] = 2.0,
    eval_steps: Annotated[
        int | None, typer.Option(rich_help_panel=options.TRAINING, min=1, help="Default: two evaluations an epoch.")
    ] = None,
    save_steps: Annotated[
        int, typer.Option(rich_help_panel=options.TRAINING, min=1, help="Steps between two writes of the resume file.")
    ] = 200,
    patience: Annotated[
        int | None,
        typer.Option(rich_help_panel=options.TRAINING, min=1, help="Stop after N evaluations without a gain."),
    ] = None,
    seed: options.Seed = 42,
    resume: options.Resume = False,
    save_dtype: options.SaveDtype = "float32",
    device: options.Device = "auto",
    dtype: options.TrainingDtype = "auto",
    threads: options.Threads = None,
    offline: options.Offline = False,
) -> None:
    """Teach a model your own labels, or a GLUE task.

    sqbert finetune --task sst2 --data glue --output my-sst2

    sqbert finetune --train train.jsonl --dev dev.jsonl --output my-model

    Starts from the shipped model, or from --model. Labels are discovered; several in one text are a JSON list, or names
    with commas between. The weights that do best on dev are kept. A killed run goes on with --resume, to the same bits.
    """
    if (task is None) == (train is None):
        raise typer.BadParameter("give either --task or --train")
    if task is not None and (dev is not None or multi_label or regression):
        raise typer.BadParameter("--dev, --multi-label and --regression go with --train, not with --task")
    if train is not None and data is not None:
        raise typer.BadParameter("--data goes with --task")
    if multi_label and regression:
        raise typer.BadParameter("--multi-label and --regression exclude one another")

    from dataclasses import asdict

    from sqbert_cli.api import load
    from sqbert_cli.commands.training_view import show_scores, show_training
    from sqbert_cli.console import show_warning, talk
    from sqbert_cli.evaluation import judge
    from sqbert_cli.model.device import choose_device, training_dtype
    from sqbert_cli.tasks.dataset import check, own_dataset, problem_of, split_hash
    from sqbert_cli.tasks.glue import glue_dataset
    from sqbert_cli.text.fields import Fields
    from sqbert_cli.training.finetune import FinetuneSettings, with_new_head
    from sqbert_cli.training.finetune import finetune as train_model
    from sqbert_cli.training.run import finish_run, open_run, round_weights

    if train is not None:
        fields = Fields(text=text_field, pair=pair_field, label=label_field)
        dataset = own_dataset(train, dev, fields, input_format, problem_of(multi_label, regression), seed)
    else:
        dataset = glue_dataset(str(task), data, offline=offline)
    for note in check(dataset):
        show_warning(note)
    base = load(model, device="cpu", dtype="float32", threads=threads, offline=offline)
    settings = FinetuneSettings(
        learning_rate=learning_rate,
        embedding_rate=0.0 if freeze_embeddings else 1.0,
        warmup_fraction=warmup,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        accumulation=accumulation,
        max_length=min(max_length, base.config.max_position_embeddings),
        dropout=dropout,
        label_smoothing=label_smoothing,
        class_weights=class_weights,
        eval_steps=eval_steps,
        save_steps=save_steps,
        patience=patience,
        temperature=temperature,
        teacher_weight=teacher_weight,
    )
    place = choose_device(device)
    run = open_run(output, place, training_dtype(dtype, place), resume=resume)
    student = with_new_head(base, dataset.head, settings)
    guide = load(teacher, device=device, dtype="float32", offline=offline) if teacher else None
    talk.print(f"{len(dataset.train.records):,} examples of {len(dataset.head.labels)} label(s)")
    finished = show_training(train_model(student, dataset, settings, run, guide), run)
    round_weights(student, save_dtype)
    scores = {split.name: judge(student, split, dataset.metrics, dataset.head) for split in dataset.dev}
    training = {
        "command": "finetune",
        "task": dataset.name,
        "model": base.name,
        "teacher": teacher,
        "settings": asdict(settings),
        "data": {split.name: split_hash(split) for split in (dataset.train, *dataset.dev)},
        "scores": {name: asdict(of_split) for name, of_split in scores.items()},
        **asdict(finished),
    }
    finish_run(run, student, save_dtype, training)
    for name, of_split in scores.items():
        show_scores(name, of_split)
    talk.print(f"saved to {output}")

"""`sqbert pretrain`: a general encoder from running text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqbert_cli.commands import options, training_options
from sqbert_cli.commands.options import INPUT, TRAINING
from sqbert_cli.model.config import MIN_LENGTH
from sqbert_cli.training.presets import PRESETS, PresetName
from sqbert_cli.training.settings import OptimiserName


def _default(name: str) -> str:
    small, distil = (getattr(PRESETS[preset], name) for preset in ("small", "distil"))
    told = format(small, "" if isinstance(small, str) else ",")
    return f"Default: {told}." if small == distil else f"Default: {told}; of distil {distil:,}."


def pretrain(
    text: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="Text files (also .gz, .xz): a paragraph a line, a blank line between documents.",
        ),
    ],
    output: options.Output,
    teacher: Annotated[
        str | None, typer.Option(rich_help_panel=INPUT, help="Dense BERT to learn from: a folder or a hub id.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(rich_help_panel=INPUT, help="Model to go on with; default: a new one.")
    ] = None,
    preset: Annotated[
        PresetName | None,
        typer.Option(
            rich_help_panel=TRAINING,
            help="Settings that the options below change. small: 6 layers, 384 wide, some hours of a laptop; paper: as "
            "published (12 layers, 768 wide, 62,000 steps of 8,192 windows); distil: with --teacher. Default: small, "
            "with --teacher distil.",
        ),
    ] = None,
    objectives: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=TRAINING,
            metavar="NAME[=WEIGHT],...",
            help="What is learnt: masked-words, sentence-order; of a teacher: states (equal width), relations, logits.",
        ),
    ] = None,
    layers: Annotated[
        int | None, typer.Option(rich_help_panel=TRAINING, min=1, help="Layers. Default: 6, or those of the teacher.")
    ] = None,
    hidden_size: Annotated[
        int | None, typer.Option(rich_help_panel=TRAINING, min=1, help="Width of a student; default: the teacher's.")
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(rich_help_panel=TRAINING, min=1, help=f"Updates of the weights. {_default('steps')}"),
    ] = None,
    long_steps: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=TRAINING,
            min=0,
            help=f"Steps after these, on windows of 512 tokens. {_default('long_steps')}",
        ),
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=TRAINING, min=1, help=f"Windows in a step, or in a part of it. {_default('batch_size')}"
        ),
    ] = None,
    accumulation: Annotated[
        int | None,
        typer.Option(
            rich_help_panel=TRAINING, min=1, help=f"Parts of --batch-size in a step. {_default('accumulation')}"
        ),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(rich_help_panel=TRAINING, min=MIN_LENGTH, help=f"Tokens in a window. {_default('max_length')}"),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=TRAINING, min=0, max=1, help=f"Highest learning rate. {_default('learning_rate')}"
        ),
    ] = None,
    warmup: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=TRAINING,
            min=0,
            max=1,
            help=f"Share of steps spent warming up. {_default('warmup_fraction')}",
        ),
    ] = None,
    optimizer: Annotated[
        OptimiserName | None,
        typer.Option(rich_help_panel=TRAINING, help=f"LAMB is for large batches. {_default('optimiser')}"),
    ] = None,
    whole_words: Annotated[
        bool, typer.Option("--whole-words", rich_help_panel=TRAINING, help="Hide whole words, not single pieces.")
    ] = False,
    save_steps: training_options.SaveSteps = PRESETS["small"].save_steps,
    seed: options.Seed = PRESETS["small"].seed,
    resume: options.Resume = False,
    save_dtype: options.SaveDtype = "float32",
    device: options.Device = "auto",
    dtype: options.TrainingDtype = "auto",
    threads: options.Threads = None,
    offline: options.Offline = False,
) -> None:
    """Teach an encoder language, from nothing but text, or from a larger model.

    sqbert pretrain text.txt --output my-encoder --steps 400

    sqbert pretrain wikipedia.txt.xz --teacher sentence-transformers/all-MiniLM-L6-v2 --output student

    Starts from random weights, from --model, or from the teacher's own weights. Word pieces are kept in the cache: a
    text is tokenized once. 3 % of the documents are held out; how well they are told is shown before the first step and
    every --save-steps. A killed run goes on with --resume, to the same bits. Of --model only the heads are kept that
    are taught. Several processes: `torchrun --nproc-per-node 2 -m sqbert_cli pretrain ...`. Afterwards: `sqbert
    finetune --model my-encoder`.
    """
    options.refuse(
        (model and layers, "--layers goes with a new model, not with --model"),
        (hidden_size and (model or not teacher), "--hidden-size goes with a new student of a --teacher"),
    )

    from dataclasses import asdict

    from sqbert_cli.console import talk
    from sqbert_cli.model.device import choose_device, training_dtype, use_threads
    from sqbert_cli.models import load_checkpoint
    from sqbert_cli.places import cache_folder
    from sqbert_cli.text.corpus import read_tokens, refuse_twice, tokenize
    from sqbert_cli.training.distil import student_of
    from sqbert_cli.training.objectives import hides, parse_objectives
    from sqbert_cli.training.presets import SHAPES, choose_settings
    from sqbert_cli.training.pretrain import pretrain as train
    from sqbert_cli.training.pretrain import shares_of
    from sqbert_cli.training.processes import join_processes
    from sqbert_cli.training.run import finish_run, open_run
    from sqbert_cli.training.starts import new_encoder, prepare
    from sqbert_cli.views.training import hush, show_settings, show_tokenizing, show_training

    name = preset or ("distil" if teacher else "small")
    chosen = choose_settings(
        name,
        objectives=None if objectives is None else parse_objectives(objectives),
        steps=steps,
        long_steps=long_steps,
        batch_size=batch_size,
        accumulation=accumulation,
        max_length=max_length,
        learning_rate=learning_rate,
        warmup_fraction=warmup,
        optimiser=optimizer,
        whole_words=whole_words,
        save_steps=save_steps,
        seed=seed,
    )
    if whole_words and not hides(chosen.objectives):
        raise typer.BadParameter("--whole-words goes with hidden words: `--objectives masked-words,...`")
    processes, place = join_processes(choose_device(device))
    hush(processes)
    use_threads(threads)
    guide = load_checkpoint(teacher, offline=offline) if teacher else None
    if guide is not None and model is None:
        base = student_of(guide, layers, hidden_size)
    else:
        base = load_checkpoint(model, offline=offline)
        if model is None:
            base = new_encoder(SHAPES[name], layers, base.tokenizer, seed)
    student = prepare(base, chosen, guide)
    run = open_run(output, place, training_dtype(dtype, place), processes, resume=resume)
    show_settings(chosen, student, base)
    tokens = cache_folder() / "tokens"
    if processes.is_first_here:
        for path in text:
            show_tokenizing(path, tokenize(path, student.tokenizer, tokens))
    processes.wait()
    files = [read_tokens(path, student.tokenizer, tokens) for path in text]
    refuse_twice(text, files)
    finished = show_training(train(student, files, chosen, run, guide), run)
    training = {
        "command": "pretrain",
        "teacher": teacher,
        "model": model,
        "text": [path.name for path in text],
        "settings": asdict(chosen),
        "scores": {"held-out text": {"metrics": shares_of(finished.history[-1])}},
        **asdict(finished),
    }
    finish_run(run, student, save_dtype, training)
    talk.print(f"saved to {output}")

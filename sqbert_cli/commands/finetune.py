"""`sqbert finetune`: a model for one's own task."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sqbert_cli.commands import options, training_options
from sqbert_cli.training.settings import TEACHER_WEIGHT, TEMPERATURE, FinetuneSettings

BY_DEFAULT = FinetuneSettings()
CHARACTERS = 20_000_000


def finetune(
    output: options.Output,
    task: options.Task = None,
    data: options.Data = None,
    train: Annotated[
        list[Path] | None,
        typer.Option(
            rich_help_panel=options.INPUT,
            exists=True,
            dir_okay=False,
            help="Your own examples; several files: once for each.",
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
    text_field: options.TextFieldOf = None,
    pair_field: options.PairFieldOf = None,
    label_field: options.LabelFieldOf = None,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", rich_help_panel=options.INPUT, help="A text can have several labels.")
    ] = False,
    regression: Annotated[
        bool, typer.Option("--regression", rich_help_panel=options.INPUT, help="The label is a number.")
    ] = False,
    multi: Annotated[
        list[str] | None,
        typer.Option(
            rich_help_panel=options.INPUT,
            metavar="NAME=TRAIN[,TRAIN...][:DEV]",
            help="One of several tasks, by its name; another name is a head for labels of your own.",
        ),
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.INPUT,
            exists=True,
            dir_okay=False,
            help="Running text on which a head for sentence vectors (for `embed`) learns those of --vectors-of.",
        ),
    ] = None,
    vectors_of: Annotated[
        str | None,
        typer.Option(rich_help_panel=options.INPUT, help="Whose sentence vectors; default: those of --model."),
    ] = None,
    characters: Annotated[
        int, typer.Option(rich_help_panel=options.INPUT, min=1, help="How much of running text is read.")
    ] = CHARACTERS,
    model: options.Model = None,
    head: Annotated[
        str | None, typer.Option(rich_help_panel=options.OUTPUT, help="Name of the new head; default: the task's.")
    ] = None,
    freeze_encoder: training_options.FreezeEncoder = BY_DEFAULT.freeze_encoder,
    power: training_options.Power = BY_DEFAULT.power,
    epochs: training_options.Epochs = BY_DEFAULT.epochs,
    batch_size: training_options.BatchSize = BY_DEFAULT.batch_size,
    accumulation: training_options.Accumulation = BY_DEFAULT.accumulation,
    max_length: training_options.MaxLength = BY_DEFAULT.max_length,
    learning_rate: training_options.LearningRate = BY_DEFAULT.learning_rate,
    warmup: training_options.Warmup = BY_DEFAULT.warmup_fraction,
    weight_decay: training_options.WeightDecay = BY_DEFAULT.weight_decay,
    max_grad_norm: training_options.MaxGradNorm = BY_DEFAULT.max_grad_norm,
    dropout: training_options.Dropout = BY_DEFAULT.dropout,
    label_smoothing: training_options.LabelSmoothing = BY_DEFAULT.label_smoothing,
    class_weights: training_options.ClassWeights = BY_DEFAULT.class_weights,
    embedding_rate: training_options.EmbeddingRate = BY_DEFAULT.embedding_rate,
    teacher: training_options.Teacher = None,
    unlabelled: training_options.Unlabelled = None,
    teacher_weight: training_options.TeacherWeight = TEACHER_WEIGHT,
    temperature: training_options.Temperature = TEMPERATURE,
    state_weight: training_options.StateWeight = 0.0,
    eval_steps: training_options.EvalSteps = BY_DEFAULT.eval_steps,
    save_steps: training_options.SaveSteps = BY_DEFAULT.save_steps,
    patience: training_options.Patience = BY_DEFAULT.patience,
    seed: options.Seed = BY_DEFAULT.seed,
    resume: options.Resume = False,
    save_dtype: options.SaveDtype = "float32",
    device: options.Device = "auto",
    dtype: options.TrainingDtype = "auto",
    threads: options.Threads = None,
    offline: options.Offline = False,
) -> None:
    """Teach a model your own labels, a GLUE task, entities, answers to questions, or several of them.

    sqbert finetune --task sst2 --data glue --output my-sst2

    sqbert finetune --train train.jsonl --dev dev.jsonl --output my-model

    sqbert finetune --task ner --train train.conll --dev dev.conll --output my-entities

    sqbert finetune --multi sst2=glue --multi ner=train.conll:dev.conll --output my-heads

    Starts from the shipped model, or from --model. Labels are discovered; several in one text are a JSON list, or names
    with commas between. The weights that do best on dev are kept. A killed run goes on with --resume, to the same bits.
    """
    is_glue, is_own = task in options.GLUE, bool(train) and task is None
    fields = bool(text_field or pair_field or label_field)
    named = [item.partition("=")[0] for item in multi or ()]
    options.refuse(
        (not (multi or task or train), "give --task, --train or --multi"),
        (multi and (task or train or data or dev or head), "--multi names its own tasks, files and heads"),
        (multi and fields, "--text-field, --pair-field and --label-field do not go with --multi"),
        (
            multi
            and input_format != "auto"
            and not unlabelled
            and all(name in (*options.GLUE, "masked") for name in named),
            "the tasks of --multi know their own format",
        ),
        (is_glue and (train or dev), "--train and --dev do not go with a GLUE task"),
        ((multi_label or regression) and not is_own, "--multi-label and --regression go with --train alone"),
        (multi_label and regression, "--multi-label and --regression exclude one another"),
        (data and not is_glue, "--data goes with a GLUE task"),
        (task and not is_glue and not train, f"--task {task} needs --train"),
        *options.of_its_own(task, fields, pair_field, "auto" if unlabelled else input_format),
        (unlabelled and not teacher, "--unlabelled goes with --teacher, who tells its labels"),
        (
            (state_weight or (teacher_weight, temperature) != (TEACHER_WEIGHT, TEMPERATURE)) and not teacher,
            "--teacher-weight, --temperature and --state-weight go with --teacher",
        ),
        (vectors_of and not vectors, "--vectors-of goes with --vectors"),
        (power != BY_DEFAULT.power and not (multi or vectors), "--power goes with --multi or --vectors"),
        (
            characters != CHARACTERS and not (vectors or unlabelled or "masked" in (task, *named)),
            "--characters goes with running text: --vectors, --unlabelled or the task masked",
        ),
        (
            freeze_encoder and (state_weight or embedding_rate != BY_DEFAULT.embedding_rate),
            "--state-weight and --embedding-rate do not go with --freeze-encoder",
        ),
    )

    from dataclasses import asdict, replace

    from sqbert_cli.commands.finetune_runs import finish, gather_unlabelled, show_datasets
    from sqbert_cli.console import talk
    from sqbert_cli.model.device import choose_device, training_dtype, use_threads
    from sqbert_cli.models import load_checkpoint
    from sqbert_cli.tasks.choose import Source, choose_dataset, fields_of, parse_multi, parse_named, parse_texts
    from sqbert_cli.tasks.dataset import problem_of
    from sqbert_cli.tasks.running_text import read_text
    from sqbert_cli.training.examples import VECTOR_HEAD
    from sqbert_cli.training.finetune import finetune as train_model
    from sqbert_cli.training.finetune import with_heads
    from sqbert_cli.training.foreign import load_teachers
    from sqbert_cli.training.guides import Guidance, state_teacher
    from sqbert_cli.training.heads import adopt_heads
    from sqbert_cli.training.processes import join_processes
    from sqbert_cli.training.run import open_run
    from sqbert_cli.views.training import hush, show_training

    processes, place = join_processes(choose_device(device))
    hush(processes)
    source = Source(
        train=train or ([data] if data else []),
        dev=dev,
        fields=fields_of(task, text_field, pair_field, label_field),
        format=input_format,
        problem=problem_of(multi_label, regression),
        seed=seed,
        characters=characters,
        offline=offline,
    )
    datasets = parse_multi(multi, source) if multi else [choose_dataset(task, source)]
    if head is not None:
        datasets = [replace(datasets[0], head=replace(datasets[0].head, name=head))]
    show_datasets(datasets)
    names = [dataset.head.name for dataset in datasets]
    teachers, files = parse_named("--teacher", teacher or [], names, names), parse_texts(unlabelled or [], names)
    texts = gather_unlabelled(files, datasets, source)
    use_threads(threads)
    base = load_checkpoint(model, offline=offline)
    chosen = FinetuneSettings(
        learning_rate=learning_rate,
        embedding_rate=embedding_rate,
        warmup_fraction=warmup,
        weight_decay=weight_decay,
        max_grad_norm=max_grad_norm,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        accumulation=accumulation,
        max_length=max_length,
        dropout=dropout,
        label_smoothing=label_smoothing,
        class_weights=class_weights,
        freeze_encoder=freeze_encoder,
        power=power,
        eval_steps=eval_steps,
        save_steps=save_steps,
        patience=patience,
    )
    run = open_run(output, place, training_dtype(dtype, place), processes, resume=resume)
    heads = [dataset.head for dataset in datasets]
    student = with_heads(base, [*heads, VECTOR_HEAD] if vectors else heads, chosen)
    guidance = None
    if teacher:
        guidance = Guidance(
            teachers=load_teachers(teachers, student, offline=offline),
            weight=teacher_weight,
            temperature=temperature,
            state_weight=state_weight,
            unlabelled=texts,
        )
    if guidance and state_weight:
        adopt_heads(student, base, state_teacher(guidance, student))
    kept = None
    if vectors is not None:
        whose = base if vectors_of is None else load_checkpoint(vectors_of, offline=offline)
        text = read_text([vectors], characters)
        talk.print(f"vectors: {text.name}: {len(text.records):,} texts")
        kept = text, whose
    finished = show_training(train_model(student, datasets, chosen, run, guidance, kept), run)
    training = {
        "command": "finetune",
        "task": ", ".join(dataset.name for dataset in datasets),
        "model": base.name,
        "teacher": ", ".join(teacher) if teacher else None,
        "vectors_on": None if vectors is None else vectors.name,
        "vectors_of": vectors_of,
        "guidance": None if guidance is None else guidance.settings,
        "unlabelled": ", ".join(f"{name}={file.name}" for name, file in files.items()) or None,
        "settings": asdict(chosen),
        **asdict(finished),
    }
    finish(student, datasets, run, save_dtype, training)

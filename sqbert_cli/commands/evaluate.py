"""`sqbert evaluate`: the standard metrics of a task."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from sqbert_cli.commands import options


def evaluate(
    task: options.Task = None,
    data: options.Data = None,
    input: options.Input = None,
    input_format: options.InputFormat = "auto",
    text_field: options.TextFieldOf = None,
    pair_field: options.PairFieldOf = None,
    label_field: options.LabelFieldOf = None,
    model: options.Model = None,
    head: options.Head = None,
    labels: Annotated[
        str | None,
        typer.Option(rich_help_panel=options.INPUT, help="Labels that the model was not taught, with commas between."),
    ] = None,
    method: Annotated[
        Literal["nli", "embedding"] | None,
        typer.Option(
            rich_help_panel=options.COMPUTING,
            help="How --labels are told, as in `classify`; embedding with --task stsb: by the cosine of two texts.",
        ),
    ] = None,
    format: Annotated[
        Literal["auto", "table", "json"],
        typer.Option(rich_help_panel=options.OUTPUT, help="auto: tables for a terminal, JSON for a pipe."),
    ] = "auto",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    threads: options.Threads = None,
    offline: options.Offline = False,
) -> None:
    """Measure a model on labelled texts: a GLUE task's dev set, or your own file.

    sqbert evaluate --task sst2 --data glue

    sqbert evaluate --task ner --input test.conll

    sqbert evaluate --input reviews.jsonl --model my-model

    sqbert evaluate --input news.tsv --labels World,Sports,Business,Sci/Tech

    sqbert evaluate --task stsb --data glue --method embedding
    """
    own_labels = options.listed(labels, "--labels")
    likeness = task == "stsb" and method == "embedding"
    is_glue, named_fields = task in options.GLUE, bool(text_field or pair_field or label_field)
    options.refuse(
        (
            own_labels and (task or head or pair_field),
            "--labels goes with --input alone, without --task, --head and --pair-field",
        ),
        (own_labels and len(own_labels) == 1, "a single label would always be right"),
        (likeness and head, "--method embedding asks no head"),
        (
            method and not (own_labels or likeness),
            "--method goes with --labels, or is `embedding` with --task stsb",
        ),
        (not (task or input), "give --task, --input or both"),
        (input and is_glue, "a GLUE task has files of its own: name their folder with --data"),
        (task and not is_glue and not input, f"--task {task} needs --input"),
        (data and not is_glue, "--data goes with a GLUE task"),
        *options.of_its_own(task, named_fields, pair_field, input_format),
    )

    import json
    from collections.abc import Callable
    from dataclasses import asdict
    from functools import partial

    from sqbert_cli.api import load
    from sqbert_cli.console import is_table, show_warning, write_out
    from sqbert_cli.evaluation import judge, judge_labels, judge_likeness
    from sqbert_cli.model.config import HeadConfig
    from sqbert_cli.tasks.choose import KINDS, Source, choose_test, fields_of
    from sqbert_cli.tasks.dataset import bad_lines
    from sqbert_cli.tasks.glue import glue_head
    from sqbert_cli.tasks.metrics import Scores
    from sqbert_cli.tasks.spans import entity_problems
    from sqbert_cli.views.training import show_scores

    checkpoint = load(model, device=device, dtype=dtype, threads=threads, offline=offline)
    fields = fields_of(task, text_field, pair_field, label_field)
    source = Source(train=[p for p in (input, data) if p], fields=fields, format=input_format, offline=offline)
    if own_labels:
        wanted = HeadConfig(name="labels", kind="sequence", labels=tuple(own_labels))
        ask: Callable[..., Scores] = partial(judge_labels, method=method)
    elif likeness:
        wanted, ask = glue_head(task or ""), judge_likeness
    else:
        wanted, ask = checkpoint.head(KINDS.get(task or "", "sequence"), head), partial(judge, name=head)
    test = choose_test(task, source, wanted)
    for split in test.splits if wanted.kind == "token" else ():
        for problem in entity_problems(split):
            show_warning(problem)
    results = {
        split.name: ask(checkpoint=checkpoint, split=split, metrics=test.metrics, wanted=test.head)
        for split in test.splits
    }
    if is_table(format):
        for name, scores in results.items():
            show_scores(name, scores)
    else:
        write_out(json.dumps({name: asdict(scores) for name, scores in results.items()}, ensure_ascii=False) + "\n")
    if incomplete := [split for split in test.splits if split.bad]:
        for split in incomplete:
            show_warning(bad_lines(split))
        raise typer.Exit(1)

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
    text_field: options.TextField = "text",
    pair_field: options.PairField = None,
    label_field: options.LabelField = "label",
    model: options.Model = None,
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

    sqbert evaluate --input reviews.jsonl --model my-model
    """
    if (task is None) == (input is None):
        raise typer.BadParameter("give either --task or --input")
    if input is not None and data is not None:
        raise typer.BadParameter("--data goes with --task")

    import json
    from dataclasses import asdict

    from sqbert_cli.api import load
    from sqbert_cli.commands.training_view import show_scores
    from sqbert_cli.console import is_table, show_warning
    from sqbert_cli.evaluation import judge
    from sqbert_cli.tasks.dataset import bad_lines, check_known, read_split
    from sqbert_cli.tasks.glue import find_task, glue_dev, glue_head
    from sqbert_cli.tasks.metrics import OWN_METRICS
    from sqbert_cli.text.fields import Fields

    checkpoint = load(model, device=device, dtype=dtype, threads=threads, offline=offline)
    head = checkpoint.head("sequence")
    if input is not None:
        fields = Fields(text=text_field, pair=pair_field, label=label_field)
        splits = [read_split(input, fields, head.problem_type, input_format)]
        metrics = OWN_METRICS[head.problem_type]
    else:
        head = glue_head(str(task))
        splits, metrics = list(glue_dev(str(task), data, offline=offline)), find_task(str(task)).metrics
    results = {}
    for split in splits:
        if head.problem_type != "regression":
            check_known(split, head.labels)
        results[split.name] = judge(checkpoint, split, metrics, head)
    if is_table(format):
        for name, scores in results.items():
            show_scores(name, scores)
    else:
        typer.echo(json.dumps({name: asdict(scores) for name, scores in results.items()}, ensure_ascii=False))
    if incomplete := [split for split in splits if split.bad]:
        for split in incomplete:
            show_warning(bad_lines(split))
        raise typer.Exit(1)

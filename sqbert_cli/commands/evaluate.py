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
    """
    if task is None and input is None:
        raise typer.BadParameter("give --task, --input or both")
    if input is not None and task in options.GLUE:
        raise typer.BadParameter("a GLUE task has files of its own: name their folder with --data")
    if task is not None and task not in options.GLUE and input is None:
        raise typer.BadParameter(f"--task {task} needs --input")
    if data is not None and task not in options.GLUE:
        raise typer.BadParameter("--data goes with a GLUE task")

    import json
    from dataclasses import asdict

    from sqbert_cli.api import load
    from sqbert_cli.commands.training_view import show_scores
    from sqbert_cli.console import is_table, show_warning
    from sqbert_cli.evaluation import judge
    from sqbert_cli.tasks.choose import KINDS, Source, choose_test, fields_of
    from sqbert_cli.tasks.dataset import bad_lines

    checkpoint = load(model, device=device, dtype=dtype, threads=threads, offline=offline)
    fields = fields_of(task, text_field, pair_field, label_field)
    source = Source(train=[p for p in (input, data) if p], fields=fields, format=input_format, offline=offline)
    test = choose_test(task, source, checkpoint.head(KINDS.get(task or "", "sequence"), head))
    results = {split.name: judge(checkpoint, split, test.metrics, test.head, head) for split in test.splits}
    if is_table(format):
        for name, scores in results.items():
            show_scores(name, scores)
    else:
        typer.echo(json.dumps({name: asdict(scores) for name, scores in results.items()}, ensure_ascii=False))
    if incomplete := [split for split in test.splits if split.bad]:
        for split in incomplete:
            show_warning(bad_lines(split))
        raise typer.Exit(1)

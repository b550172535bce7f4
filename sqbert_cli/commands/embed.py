"""`sqbert embed`: texts as vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sqbert_cli.bulk.plan import Reading
from sqbert_cli.commands import bulk_options, options
from sqbert_cli.text.fields import Fields


def embed(
    texts: options.Texts = None,
    input: bulk_options.Input = None,
    input_format: options.InputFormat = "auto",
    text_field: options.TextField = "text",
    model: options.Model = None,
    format: Annotated[
        Literal["jsonl", "csv", "tsv"], typer.Option(rich_help_panel=options.OUTPUT, help="Without a .npy file.")
    ] = "jsonl",
    output: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=options.OUTPUT,
            help="Write a NumPy file (.npy): float32, a row for each text. With --ray: a folder, or s3://BUCKET/...",
        ),
    ] = None,
    on_error: options.OnError = "skip",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    threads: options.Threads = None,
    offline: options.Offline = False,
    ray: bulk_options.Ray = None,
    workers: bulk_options.Workers = None,
    shard_records: bulk_options.ShardRecords = None,
) -> None:
    """Give texts as vectors: the nearer two are in meaning, the larger the cosine between them.

    sqbert embed "How old are you?" "What is your age?" > vectors.jsonl

    sqbert embed --input sentences.txt --output sentences.npy

    A vector is the mean of the tokens' (of a long text, over all its windows) and has length 1, so that the product of
    two is their cosine. A record keeps all its fields and gains `embedding`. A .npy file has a row for each text that
    could be read, in their order.
    """
    fields = Fields(text=text_field)
    reading = Reading(input_format, fields)
    bulk = bulk_options.choose(ray, texts, input, reading, ray and output, format, on_error, workers, shard_records)
    file = _numpy_file(output, format) if output is not None and bulk is None else None

    from sqbert_cli.commands.streams import Source, choose_source, show_results, watched

    source = Source() if bulk else choose_source(texts or [], None, bulk_options.a_file(input), input_format, fields)

    from functools import partial

    from sqbert_cli.api import embed as embed_records
    from sqbert_cli.console import file_meter
    from sqbert_cli.files import write_rows
    from sqbert_cli.job import Job, ModelChoice
    from sqbert_cli.text.results import embedded_fields
    from sqbert_cli.views.lines import line_view

    job = Job(ModelChoice(model, device, dtype, threads, offline), partial(embed_records), embedded_fields)
    if bulk is not None:
        bulk_options.run(bulk, job)
    checkpoint = job.model.load()
    with file_meter(source.path) as meter:
        results = job.answer(checkpoint, records=source.records(meter), live=source.is_live and file is None)
        if file is None:
            show_results(results, line_view(format, job.to_fields), on_error, meter)
        else:
            with watched(on_error) as mishaps:
                vectors = (result.vector for result in mishaps.sort_out(results, meter))
                write_rows(file, vectors, checkpoint.config.hidden_size)


def _numpy_file(output: str, format: str) -> Path:
    path = Path(output)
    if format != "jsonl":
        raise typer.BadParameter(f"--format {format} goes without --output: a NumPy file has no other form")
    if path.suffix != ".npy":
        raise typer.BadParameter(f"--output is a NumPy file: its name ends in .npy, not as `{path.name}`")
    if path.is_dir():
        raise typer.BadParameter(f"'{path}' is a folder", param_hint="'--output'")
    return path

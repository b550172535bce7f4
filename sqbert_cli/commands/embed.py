"""`sqbert embed`: texts as vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sqbert_cli.commands import options


def embed(
    texts: options.Texts = None,
    input: options.Input = None,
    input_format: options.InputFormat = "auto",
    text_field: options.TextField = "text",
    model: options.Model = None,
    format: Annotated[
        Literal["jsonl", "csv", "tsv"], typer.Option(rich_help_panel=options.OUTPUT, help="Without --output.")
    ] = "jsonl",
    output: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.OUTPUT,
            dir_okay=False,
            help="Write a NumPy file (.npy): float32, a row for each text.",
        ),
    ] = None,
    on_error: options.OnError = "skip",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    threads: options.Threads = None,
    offline: options.Offline = False,
) -> None:
    """Give texts as vectors: the nearer two are in meaning, the larger the cosine between them.

    sqbert embed "How old are you?" "What is your age?" > vectors.jsonl

    sqbert embed --input sentences.txt --output sentences.npy

    A vector is the mean of the tokens' (of a long text, over all its windows) and has length 1, so that the product of
    two is their cosine. A record keeps all its fields and gains `embedding`. A .npy file has a row for each text that
    could be read, in their order.
    """
    if output is not None and output.suffix != ".npy":
        raise typer.BadParameter(f"--output is a NumPy file: its name ends in .npy, not as `{output.name}`")

    from sqbert_cli.commands.streams import Mishaps, choose_source, show_results
    from sqbert_cli.text.fields import Fields

    source = choose_source(texts or [], None, input, input_format, Fields(text=text_field))

    from sqbert_cli.api import embed as embed_records
    from sqbert_cli.api import load
    from sqbert_cli.console import file_meter
    from sqbert_cli.files import write_rows
    from sqbert_cli.text.results import embedded_fields
    from sqbert_cli.views.lines import line_view

    checkpoint = load(model, device=device, dtype=dtype, threads=threads, offline=offline)
    with file_meter(source.path) as meter:
        results = embed_records(checkpoint, source.records(meter), live=source.is_live and output is None)
        if output is None:
            show_results(results, line_view(format, embedded_fields), on_error, meter)
        else:
            mishaps = Mishaps(on_error)
            vectors = (result.vector for result in mishaps.sort_out(results, meter))
            write_rows(output, vectors, checkpoint.config.hidden_size)
            mishaps.end()

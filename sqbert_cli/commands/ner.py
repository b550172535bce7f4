"""`sqbert ner`: the names in texts."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from sqbert_cli.bulk.plan import Reading
from sqbert_cli.commands import bulk_options, options
from sqbert_cli.text.fields import Fields


def ner(
    texts: options.Texts = None,
    input: bulk_options.Input = None,
    input_format: options.InputFormat = "auto",
    text_field: options.TextField = "text",
    model: options.Model = None,
    head: options.Head = None,
    format: Annotated[
        Literal["auto", "table", "jsonl", "csv", "tsv", "conll", "html"],
        typer.Option(
            rich_help_panel=options.OUTPUT,
            help="auto: highlighted for a terminal, JSONL for a pipe or a file; html: a page to look at.",
        ),
    ] = "auto",
    labels: Annotated[
        str | None,
        typer.Option(rich_help_panel=options.OUTPUT, metavar="A,B,...", help="Only entities of these labels."),
    ] = None,
    threshold: Annotated[
        float, typer.Option(rich_help_panel=options.OUTPUT, min=0, max=1, help="Only entities that score so much.")
    ] = 0.0,
    strategy: Annotated[
        Literal["first", "average", "max"],
        typer.Option(
            rich_help_panel=options.OUTPUT,
            help="How the pieces of a word agree: its first decides, their mean, or the surest.",
        ),
    ] = "first",
    stride: options.Stride = None,
    on_error: options.OnError = "skip",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    threads: options.Threads = None,
    offline: options.Offline = False,
    ray: bulk_options.Ray = None,
    output: bulk_options.Output = None,
    workers: bulk_options.Workers = None,
    shard_records: bulk_options.ShardRecords = None,
) -> None:
    """Find the names in a text: people, places, organisations, and others.

    sqbert ner "Angela Merkel met Tim Cook in Berlin."

    cat articles.jsonl | sqbert ner > entities.jsonl

    sqbert ner --input letters.txt --format html > letters.html

    A record keeps all its fields and gains `entities`: `text`, `label`, `start`, `end` (in characters of the text) and
    `score`. A long text is read in windows that overlap; each word is judged where most of the text is around it, and
    nothing is cut off. CoNLL's columns (`--input-format conll`) keep their words; `--format conll` adds a column.
    """
    wanted = options.listed(labels, "--labels")
    fields = Fields(text=text_field)
    reading = Reading(input_format, fields)
    bulk = bulk_options.choose(ray, texts, input, reading, output, format, on_error, workers, shard_records)

    from sqbert_cli.commands.streams import Source, choose_source, show_results, watched

    source = Source() if bulk else choose_source(texts or [], None, bulk_options.a_file(input), input_format, fields)

    from functools import partial

    from sqbert_cli.api import find_entities
    from sqbert_cli.console import file_meter, is_table, write_out
    from sqbert_cli.job import Job, ModelChoice
    from sqbert_cli.text.conll import conll_lines
    from sqbert_cli.text.results import entities_fields
    from sqbert_cli.views.entities import Highlighter
    from sqbert_cli.views.lines import line_view

    ask = partial(find_entities, head=head, strategy=strategy, threshold=threshold, labels=wanted, stride=stride)
    job = Job(ModelChoice(model, device, dtype, threads, offline), ask, entities_fields)
    if bulk is not None:
        bulk_options.run(bulk, job)
    checkpoint = job.model.load()
    with file_meter(source.path) as meter:
        results = job.answer(checkpoint, records=source.records(meter), live=source.is_live)
        if format == "html":
            from sqbert_cli.views.page import page

            with watched(on_error) as mishaps:
                for part in page(mishaps.sort_out(results, meter), source.name):
                    write_out(part)
        elif format == "conll":
            show_results(results, lambda result: write_out(conll_lines(result)), on_error, meter)
        elif is_table(format):
            highlighter = Highlighter()
            try:
                show_results(results, highlighter.show, on_error, meter)
            finally:
                highlighter.legend()
        else:
            show_results(results, line_view(format, job.to_fields), on_error, meter)

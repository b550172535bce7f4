"""`sqbert classify`: labels and scores for texts."""

from __future__ import annotations

from typing import Annotated

import typer

from sqbert_cli.commands import options


def classify(
    texts: Annotated[list[str] | None, typer.Argument(help="Texts; none, or `-`: read standard input.")] = None,
    pair: Annotated[
        str | None, typer.Option(rich_help_panel=options.INPUT, help="Second text, for a model of pairs.")
    ] = None,
    input: options.Input = None,
    input_format: options.InputFormat = "auto",
    text_field: options.TextField = "text",
    pair_field: options.PairField = None,
    model: options.Model = None,
    format: options.Format = "auto",
    top_k: Annotated[
        int | None, typer.Option(rich_help_panel=options.OUTPUT, min=1, help="Give the N best labels as `scores`.")
    ] = None,
    all_scores: Annotated[
        bool, typer.Option("--all-scores", rich_help_panel=options.OUTPUT, help="Give every label in `scores`.")
    ] = False,
    multi_label: Annotated[
        bool, typer.Option("--multi-label", rich_help_panel=options.OUTPUT, help="Give every label above --threshold.")
    ] = False,
    threshold: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=options.OUTPUT, min=0, max=1, help="Where a text can have several labels; default: 0.5."
        ),
    ] = None,
    on_error: options.OnError = "skip",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    threads: options.Threads = None,
    offline: options.Offline = False,
) -> None:
    """Say what a text is: by default, whether its sentiment is positive or negative.

    sqbert classify "I loved every minute of it"

    cat reviews.jsonl | sqbert classify > labelled.jsonl

    A record keeps all its fields and gains `label` and `score`; a field of the same name is kept as `input_label`.
    Texts longer than the model's window (128 tokens for the shipped model) are read in several windows, whose scores
    are averaged, weighted by their tokens: nothing is cut off. Blank lines are skipped; lines that cannot be used are
    reported on stderr and skipped, and the exit status is then 1.
    """
    from sqbert_cli.commands.streams import choose_source, show_results
    from sqbert_cli.text.fields import Fields

    source = choose_source(texts or [], pair, input, input_format, Fields(text=text_field, pair=pair_field))

    from sqbert_cli.api import classify as classify_records
    from sqbert_cli.api import load
    from sqbert_cli.commands.results import classification_view
    from sqbert_cli.console import file_meter
    from sqbert_cli.errors import SqbertError

    checkpoint = load(model, device=device, dtype=dtype, threads=threads, offline=offline)
    head = checkpoint.head("sequence")
    several = multi_label or head.problem_type == "multi_label_classification"
    if threshold is not None and not several:
        raise SqbertError(f"model `{checkpoint.name}` gives one label", hint="with `--threshold` use `--multi-label`")
    shown = len(head.labels) if all_scores else top_k
    show = classification_view(format, head, shown, multi_label=several)
    with file_meter(source.path) as meter:
        records = source.records(meter)
        results = classify_records(
            checkpoint,
            records,
            multi_label=multi_label,
            threshold=0.5 if threshold is None else threshold,
            live=source.is_live,
        )
        show_results(results, show, on_error, meter)

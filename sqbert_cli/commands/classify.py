"""`sqbert classify`: labels and scores for texts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sqbert_cli.bulk.plan import Reading
from sqbert_cli.commands import bulk_options, options
from sqbert_cli.text.fields import Fields


def classify(
    texts: options.Texts = None,
    pair: Annotated[
        str | None, typer.Option(rich_help_panel=options.INPUT, help="Second text, for a model of pairs.")
    ] = None,
    input: bulk_options.Input = None,
    input_format: options.InputFormat = "auto",
    text_field: options.TextField = "text",
    pair_field: options.PairField = None,
    labels: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=options.LABELS, metavar="A,B,...", help="Labels of your own, which no model was taught."
        ),
    ] = None,
    labels_file: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.LABELS, exists=True, dir_okay=False, help="The same from a file, one a line."
        ),
    ] = None,
    template: Annotated[
        str | None,
        typer.Option(
            rich_help_panel=options.LABELS,
            help="What a label stands in; default: `This text is about {}.` (nli), `{}` (embedding).",
        ),
    ] = None,
    method: Annotated[
        Literal["nli", "embedding"] | None,
        typer.Option(
            rich_help_panel=options.LABELS,
            help="nli: does the text entail the filled template (a pass for each label)? embedding: are they near one "
            "another (a pass for each text)? Default: nli where that is the first of the heads.",
        ),
    ] = None,
    model: options.Model = None,
    head: options.Head = None,
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
    ray: bulk_options.Ray = None,
    output: bulk_options.Output = None,
    workers: bulk_options.Workers = None,
    shard_records: bulk_options.ShardRecords = None,
) -> None:
    """Say what a text is: by default, whether its sentiment is positive or negative.

    sqbert classify "I loved every minute of it"

    sqbert classify --labels sport,politics,business "The striker scored twice."

    cat reviews.jsonl | sqbert classify > labelled.jsonl

    With --labels no training is needed: text and labels are compared as vectors, or each label is asked for as a
    statement about the text, by the model's head for entailment; --method chooses.

    A record keeps all its fields and gains `label` and `score`; a field of the same name is kept as `input_label`.
    Texts longer than the model's window (128 tokens for the shipped model) are read in several windows, whose scores
    are averaged, weighted by their tokens: nothing is cut off. Blank lines are skipped; lines that cannot be used are
    reported on stderr and skipped, and the exit status is then 1.
    """
    own = _own_labels(labels, labels_file)
    options.refuse(
        (own is not None and len(own) < 2 and not multi_label, "--labels: a single one would always be right"),
        (
            template is not None and template.count("{}") != 1,
            "--template holds {} once, as in `This text is about {}.`",
        ),
        (own is None and (template is not None or method), "--template and --method go with --labels"),
        (top_k is not None and all_scores, "--top-k and --all-scores exclude one another"),
        (own is not None and (pair or pair_field or head), "--labels goes without --pair, --pair-field and --head"),
    )
    fields = Fields(text=text_field, pair=pair_field)
    reading = Reading(input_format, fields)
    bulk = bulk_options.choose(ray, texts or pair, input, reading, output, format, on_error, workers, shard_records)

    from sqbert_cli.commands.streams import Source, choose_source, show_results

    source = Source() if bulk else choose_source(texts or [], pair, bulk_options.a_file(input), input_format, fields)

    from functools import partial

    from sqbert_cli.api import classify as classify_texts
    from sqbert_cli.api import classify_any
    from sqbert_cli.console import file_meter, is_table
    from sqbert_cli.errors import SqbertError
    from sqbert_cli.job import Job, ModelChoice
    from sqbert_cli.models import load_checkpoint
    from sqbert_cli.text.results import classification_fields
    from sqbert_cli.views.classification import show_classification, width_of
    from sqbert_cli.views.lines import line_view

    choice = ModelChoice(model, device, dtype, threads, offline)
    checkpoint = load_checkpoint(model, offline=offline) if bulk else choice.load()
    if own is None:
        chosen = checkpoint.head("sequence", head)
        known, several = chosen.labels, multi_label or chosen.problem_type == "multi_label_classification"
        ask = partial(classify_texts, head=chosen.name)
    else:
        known, several = tuple(own), multi_label
        ask = partial(
            classify_any,
            labels=own,
            method=method,
            template=None if template is None else options.typed(template, "--template"),
        )
    if threshold is not None and not several:
        raise SqbertError(f"model `{checkpoint.name}` gives one label", hint="with `--threshold` use `--multi-label`")
    if own is None and chosen.problem_type == "regression" and (all_scores or top_k):
        raise SqbertError(
            f"model `{checkpoint.name}` predicts numbers, all of which are told",
            hint="leave out `--top-k` and the like",
        )
    ask = partial(ask, multi_label=multi_label, threshold=0.5 if threshold is None else threshold)
    shown = len(known) if all_scores else top_k
    job = Job(choice, ask, partial(classification_fields, top_k=shown, multi_label=several))
    if bulk is not None:
        bulk_options.run(bulk, job)
    show = (
        partial(show_classification, shown=shown, width=width_of(known), multi_label=several)
        if is_table(format)
        else line_view(format, job.to_fields)
    )
    with file_meter(source.path) as meter:
        results = job.answer(checkpoint, records=source.records(meter), live=source.is_live)
        show_results(results, show, on_error, meter)


def _own_labels(labels: str | None, file: Path | None) -> list[str] | None:
    if labels is not None and file is not None:
        raise typer.BadParameter("--labels and --labels-file exclude one another")
    if file is None:
        return options.listed(labels, "--labels")
    from sqbert_cli.text.files import read_text

    return options.distinct(read_text(file).split("\n"), "--labels-file")

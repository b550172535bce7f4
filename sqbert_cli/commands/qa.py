"""`sqbert qa`: answers from a text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sqbert_cli.bulk.plan import Reading
from sqbert_cli.commands import bulk_options, options
from sqbert_cli.text.fields import QuestionFields


def qa(
    questions: Annotated[list[str] | None, typer.Argument(help="Questions about --context.")] = None,
    question: Annotated[
        list[str] | None, typer.Option(rich_help_panel=options.INPUT, help="A question, instead of an argument.")
    ] = None,
    context: Annotated[
        Path | None,
        typer.Option(
            rich_help_panel=options.INPUT,
            dir_okay=False,
            callback=options.is_there,
            help="File with the text that has the answers (also .gz, .xz); -, the default: standard input.",
        ),
    ] = None,
    input: bulk_options.Input = None,
    input_format: options.InputFormat = "auto",
    question_field: Annotated[
        str, typer.Option(rich_help_panel=options.INPUT, help="Field or column of the question.")
    ] = "question",
    context_field: Annotated[
        str, typer.Option(rich_help_panel=options.INPUT, help="Field or column of the context.")
    ] = "context",
    model: options.Model = None,
    head: options.Head = None,
    format: Annotated[
        Literal["auto", "table", "jsonl", "csv", "tsv", "squad"],
        typer.Option(
            rich_help_panel=options.OUTPUT,
            help="auto: sentences for a terminal, JSONL for a pipe or a file; squad: the official prediction file.",
        ),
    ] = "auto",
    top_k: Annotated[
        int | None,
        typer.Option(rich_help_panel=options.OUTPUT, min=1, max=20, help="Give the N best answers as `answers`."),
    ] = None,
    no_answer_threshold: Annotated[
        float,
        typer.Option(
            rich_help_panel=options.OUTPUT,
            min=0,
            max=1,
            help="Give none where that is likelier than this; 1: always answer.",
        ),
    ] = 0.5,
    max_answer_words: Annotated[
        int, typer.Option(rich_help_panel=options.OUTPUT, min=1, help="Longer answers are not looked for.")
    ] = 30,
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
    """Answer a question from a text of any length, in the words of the text.

    sqbert qa "Who wrote it?" --context book.txt

    cat questions.jsonl | sqbert qa > answers.jsonl

    sqbert qa --input dev-v2.0.json --format squad > predictions.json

    A record has `question` and `context`, keeps all its fields and gains `answer` with `start`, `end` (in characters of
    the context) and `score`: a probability within the window that has it. `no_answer` is how likely there is none
    beside the best; above --no-answer-threshold `answer` is null. SQuAD's files (v1.1, v2.0) are read as they are.
    """
    asked = [*(questions or []), *(question or [])]
    options.refuse(
        (top_k is not None and format == "squad", "--format squad has one answer: leave out --top-k"),
        (stride == 0, "--stride 0 would cut answers in two: give at least 1, better some words"),
    )
    fields = QuestionFields(text=context_field, pair=question_field)
    reading = Reading(input_format, fields)
    bulk = bulk_options.choose(ray, asked or context, input, reading, output, format, on_error, workers, shard_records)

    from sqbert_cli.commands.streams import Source, choose_questions, show_results, watched

    source = Source() if bulk else choose_questions(asked, context, bulk_options.a_file(input), input_format, fields)

    import json
    from functools import partial

    from sqbert_cli.api import find_answers
    from sqbert_cli.console import file_meter, is_table, write_out
    from sqbert_cli.errors import SqbertError
    from sqbert_cli.job import Job, ModelChoice
    from sqbert_cli.text.results import answers_fields
    from sqbert_cli.text.squad import gather_predictions
    from sqbert_cli.views.answers import show_answers
    from sqbert_cli.views.lines import line_view

    ask = partial(
        find_answers,
        head=head,
        top_k=top_k or 1,
        no_answer_threshold=no_answer_threshold,
        max_answer_words=max_answer_words,
        stride=stride,
    )
    job = Job(ModelChoice(model, device, dtype, threads, offline), ask, partial(answers_fields, top_k=top_k))
    if bulk is not None:
        bulk_options.run(bulk, job)
    checkpoint = job.model.load()
    with file_meter(source.path) as meter:
        results = job.answer(checkpoint, records=source.records(meter), live=source.is_live)
        if format == "squad":
            predictions: dict[str, str] = {}
            with watched(on_error) as mishaps:
                try:
                    gather_predictions(predictions, mishaps.sort_out(results, meter), mishaps.report)
                except SqbertError:  # where reading breaks off, what was answered is not lost
                    if predictions:
                        write_out(json.dumps(predictions, ensure_ascii=False) + "\n")
                    raise
                write_out(json.dumps(predictions, ensure_ascii=False) + "\n")
        elif is_table(format):
            show_results(results, show_answers, on_error, meter)
        else:
            show_results(results, line_view(format, job.to_fields), on_error, meter)

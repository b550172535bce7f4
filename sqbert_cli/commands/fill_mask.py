"""`sqbert fill-mask`: words for the gaps in a text."""

from __future__ import annotations

from typing import Annotated

import typer

from sqbert_cli.commands import options


def fill_mask(
    texts: options.Texts = None,
    input: options.Input = None,
    input_format: options.InputFormat = "auto",
    text_field: options.TextField = "text",
    model: options.Model = None,
    head: options.Head = None,
    format: options.Format = "auto",
    top_k: Annotated[
        int | None, typer.Option(rich_help_panel=options.OUTPUT, min=1, help="Give the N best words; default: 5.")
    ] = None,
    targets: Annotated[
        str | None,
        typer.Option(rich_help_panel=options.OUTPUT, metavar="A,B,...", help="Say how likely these words are."),
    ] = None,
    on_error: options.OnError = "skip",
    device: options.Device = "auto",
    dtype: options.Dtype = "auto",
    threads: options.Threads = None,
    offline: options.Offline = False,
) -> None:
    """Say which words may stand at each `[MASK]` of a text.

    sqbert fill-mask "Paris is the [MASK] of France."

    sqbert fill-mask "The film was [MASK]." --targets good,bad

    A record keeps all its fields and gains `masks`, in the order of the text: each one's `start` and `end`, and its
    likeliest `words` with their scores, which are shares of the whole vocabulary. Several masks are filled each by
    itself. A word that begins with `##` goes on the word before.
    """
    words = options.listed(targets, "--targets")
    options.refuse((words and top_k, "--top-k goes without --targets, all of which are told"))

    from sqbert_cli.commands.streams import choose_source, show_results
    from sqbert_cli.text.fields import Fields

    source = choose_source(texts or [], None, input, input_format, Fields(text=text_field))

    from sqbert_cli.api import fill_masks, load
    from sqbert_cli.console import file_meter, is_table
    from sqbert_cli.text.results import filled_fields
    from sqbert_cli.views.lines import line_view
    from sqbert_cli.views.masks import show_filled

    checkpoint = load(model, device=device, dtype=dtype, threads=threads, offline=offline)
    show = show_filled if is_table(format) else line_view(format, filled_fields)
    with file_meter(source.path) as meter:
        results = fill_masks(
            checkpoint, source.records(meter), head=head, top_k=top_k or 5, targets=words, live=source.is_live
        )
        show_results(results, show, on_error, meter)

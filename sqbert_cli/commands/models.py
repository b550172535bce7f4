"""`sqbert models`: what a model is and can do."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from sqbert_cli.commands import options

models = typer.Typer(no_args_is_help=True, help="Look at models.")


@models.callback()
def group() -> None:
    """Look at models."""


@models.command()
def info(
    model: Annotated[
        str | None, typer.Argument(help="A shipped name, a folder or a hub id; default: sqbert-small.")
    ] = None,
    format: Annotated[
        Literal["auto", "table", "json"],
        typer.Option(rich_help_panel=options.OUTPUT, help="auto: a table for a terminal, JSON for a pipe."),
    ] = "auto",
    offline: options.Offline = False,
) -> None:
    """Show what a model is: its shape, its heads and their labels, and how well it does.

    sqbert models info

    sqbert models info my-model --format json
    """
    import json

    from sqbert_cli.console import is_table
    from sqbert_cli.models import describe
    from sqbert_cli.views.models import show_model

    about = describe(model, offline=offline)
    if is_table(format):
        show_model(about)
    else:
        typer.echo(json.dumps(about, ensure_ascii=False))

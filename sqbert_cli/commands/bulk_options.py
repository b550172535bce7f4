"""Options of a bulk job, and what the four commands do with them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sqbert_cli.bulk.plan import Reading, Request
from sqbert_cli.commands.options import OnErrorName, is_there
from sqbert_cli.text.files import STDIN
from sqbert_cli.text.writers import FORMATS

if TYPE_CHECKING:
    from sqbert_cli.job import Job

BULK = "Bulk"

Input = Annotated[
    str | None,
    typer.Option(
        rich_help_panel="Input",
        help="File to read (also .gz, .xz); -: standard input. With --ray also a folder, a pattern, or s3://BUCKET/...",
    ),
]
Ray = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=BULK,
        metavar="local|auto|HOST:PORT",
        help="Share the work among the workers of a Ray cluster: one of this machine, or a running one.",
    ),
]
Output = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=BULK, metavar="FOLDER", help="Where --ray writes: a folder that all see, or s3://BUCKET/..."
    ),
]
Workers = Annotated[
    int | None,
    typer.Option(rich_help_panel=BULK, min=1, help="How many; default: one for each processor, of --threads 1."),
]
ShardRecords = Annotated[
    int | None, typer.Option(rich_help_panel=BULK, min=1, help="Larger files are cut into parts; default: 20000.")
]


def choose(
    ray: str | None,
    typed: object,
    input: str | None,
    reading: Reading,
    output: str | None,
    format: str,
    on_error: OnErrorName,
    workers: int | None,
    shard_records: int | None,
) -> Request | None:
    """Return the bulk job that was asked for; None without `--ray`, where there may be none of its options."""
    if ray is None:
        if workers or shard_records or output:
            raise typer.BadParameter("--output, --workers and --shard-records go with --ray; without it: > FILE")
        return None
    if typed or input in (None, "-") or output is None:
        raise typer.BadParameter("--ray goes with --input and --output, and without typed texts")
    for name in (str(input), output):
        if re.match(r"\w+://", name) and not name.startswith("s3://"):
            raise typer.BadParameter(f"'{name}' is neither a folder nor of S3 (s3://BUCKET/...)")
    if format not in FORMATS:
        raise typer.BadParameter(f"--ray writes jsonl, csv or tsv, not {format}")
    if on_error == "fail":
        raise typer.BadParameter("--on-error fail goes without --ray: there bad records are set aside")
    return Request(str(input), output, reading, FORMATS[format], ray, workers, shard_records or 20_000)


def a_file(input: str | None) -> Path | None:
    """The input of a command without `--ray`: a file, or standard input."""
    path = None if input is None else Path(input)
    if path is not None and path != STDIN and path.is_dir():
        raise typer.BadParameter(f"'{path}' is a folder; with --ray it could be read", param_hint="'--input'")
    try:
        return is_there(path)
    except typer.BadParameter as error:
        raise typer.BadParameter(error.message, param_hint="'--input'") from None


def run(request: Request, job: Job) -> NoReturn:
    """Do the job, showing how far it is; end with status 1 if records could not be used."""
    from sqbert_cli.bulk.run import run_job
    from sqbert_cli.views.bulk import show_progress

    state = show_progress(run_job(request, job), request.output)
    raise typer.Exit(1 if state.bad else 0)

"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from sqbert_cli.model.config import DeviceName, DtypeName, TrainingDtypeName
from sqbert_cli.text.files import STDIN
from sqbert_cli.text.readers import Format as InputFormatName

INPUT, OUTPUT, COMPUTING, TRAINING = "Input", "Output", "Computing", "Training"
"""Panels of the help."""

FormatName = Literal["auto", "table", "jsonl", "csv", "tsv"]
OnErrorName = Literal["skip", "fail"]
TaskName = Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]

Model = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=COMPUTING,
        help="A shipped name, a folder or a hub id (org/name, org/name@revision); default: sqbert-small.",
    ),
]
Device = Annotated[
    DeviceName, typer.Option(rich_help_panel=COMPUTING, help="Where to compute; auto: cuda, else mps, else cpu.")
]
Dtype = Annotated[
    DtypeName, typer.Option(rich_help_panel=COMPUTING, help="Precision; auto: float32, on a GPU bfloat16.")
]
TrainingDtype = Annotated[
    TrainingDtypeName,
    typer.Option(
        rich_help_panel=COMPUTING, help="Precision of the products; auto: bfloat16 where the processor has it."
    ),
]
Threads = Annotated[
    int | None,
    typer.Option(rich_help_panel=COMPUTING, min=1, max=1024, help="Processor threads; default: one for each core."),
]
Offline = Annotated[bool, typer.Option("--offline", rich_help_panel=COMPUTING, help="Never touch the network.")]


def _is_there(path: Path | None) -> Path | None:
    if path is not None and path != STDIN and not path.exists():
        raise typer.BadParameter(f"file '{path}' does not exist")
    return path


Input = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=INPUT,
        dir_okay=False,
        callback=_is_there,
        help="File to read (also .gz, .xz); -: standard input.",
    ),
]
InputFormat = Annotated[
    InputFormatName,
    typer.Option(
        rich_help_panel=INPUT,
        help="auto: by the file's ending; on standard input JSONL if it begins with an object, else lines of text.",
    ),
]
TextField = Annotated[str, typer.Option(rich_help_panel=INPUT, help="Field or column of the text.")]
PairField = Annotated[
    str | None, typer.Option(rich_help_panel=INPUT, help="Field or column of the second text of a pair.")
]
LabelField = Annotated[str, typer.Option(rich_help_panel=INPUT, help="Field or column of the label.")]
Format = Annotated[
    FormatName, typer.Option(rich_help_panel=OUTPUT, help="auto: a table for a terminal, JSONL for a pipe or a file.")
]
OnError = Annotated[
    OnErrorName,
    typer.Option(rich_help_panel=INPUT, help="What a line that cannot be used does: skip it, or fail at once."),
]

Task = Annotated[TaskName | None, typer.Option(rich_help_panel=INPUT, help="A GLUE task.")]
Data = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=INPUT,
        exists=True,
        file_okay=False,
        help="Folder with GLUE's own files (SST-2/train.tsv ...); default: the hub, through `datasets`.",
    ),
]
Output = Annotated[Path, typer.Option(rich_help_panel=OUTPUT, help="Folder of the new model.", file_okay=False)]
Resume = Annotated[
    bool, typer.Option("--resume", rich_help_panel=TRAINING, help="Go on where an interrupted run in --output stopped.")
]
Seed = Annotated[
    int, typer.Option(rich_help_panel=TRAINING, min=0, max=2**31, help="Same seed, same data, same machine: same bits.")
]
SaveDtype = Annotated[
    Literal["float32", "float16"],
    typer.Option(rich_help_panel=OUTPUT, help="Precision of the weights on disk; float16 halves the file."),
]

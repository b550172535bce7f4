"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

InputFormatName = Literal["auto", "text", "jsonl", "csv", "tsv"]
FormatName = Literal["auto", "table", "jsonl", "csv", "tsv"]
OnErrorName = Literal["skip", "fail"]
TaskName = Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
DeviceName = Literal["auto", "cpu", "cuda", "mps"]
DtypeName = Literal["auto", "float32", "bfloat16", "float16"]
TrainingDtypeName = Literal["auto", "float32", "bfloat16"]

Model = Annotated[
    str | None,
    typer.Option(help="A folder or a hub id (org/name, org/name@revision); default: the shipped model."),
]
Device = Annotated[DeviceName, typer.Option(help="Where to compute; auto: cuda, else mps, else cpu.")]
Dtype = Annotated[DtypeName, typer.Option(help="Precision; auto: float32, on a GPU bfloat16.")]
TrainingDtype = Annotated[
    TrainingDtypeName,
    typer.Option(help="Precision of the products; auto: bfloat16 where the processor has it."),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Processor threads; default: one for each core.")]
Offline = Annotated[bool, typer.Option("--offline", help="Never touch the network.")]

Input = Annotated[Path | None, typer.Option(help="File to read (also .gz, .xz); - is standard input.")]
InputFormat = Annotated[
    InputFormatName,
    typer.Option(help="auto: by the file's ending, on standard input by its first line; text: one text a line."),
]
TextField = Annotated[str, typer.Option(help="Field or column of the text.")]
PairField = Annotated[str | None, typer.Option(help="Field or column of the second text of a pair.")]
LabelField = Annotated[str, typer.Option(help="Field or column of the label.")]
Format = Annotated[FormatName, typer.Option(help="auto: a table for a terminal, JSONL for a pipe or a file.")]
OnError = Annotated[OnErrorName, typer.Option(help="What a line that cannot be used does: skip it, or fail at once.")]

Task = Annotated[TaskName | None, typer.Option(help="A GLUE task.")]
Data = Annotated[
    Path | None,
    typer.Option(help="Folder with GLUE's own files (SST-2/train.tsv ...); default: the hub, through `datasets`."),
]
Output = Annotated[Path, typer.Option(help="Folder of the new model.", file_okay=False)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run in --output stopped.")]
Seed = Annotated[int, typer.Option(min=0, help="Same seed, same data, same machine: same bits.")]
SaveDtype = Annotated[
    Literal["float32", "float16"],
    typer.Option(help="Precision of the weights on disk; float16 halves the file."),
]

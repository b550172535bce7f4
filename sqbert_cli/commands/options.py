"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import DeviceName, DtypeName, TrainingDtypeName
from sqbert_cli.text.files import STDIN
from sqbert_cli.text.readers import Format as InputFormatName

INPUT, LABELS, OUTPUT, COMPUTING, TRAINING = "Input", "Labels of your own", "Output", "Computing", "Training"
"""Panels of the help."""

FormatName = Literal["auto", "table", "jsonl", "csv", "tsv"]
OnErrorName = Literal["skip", "fail"]
GlueName = Literal["cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli"]
TaskName = Literal[GlueName, "ner", "qa", "nli", "masked"]
GLUE = get_args(GlueName)

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
    DtypeName, typer.Option(rich_help_panel=COMPUTING, help="Precision; auto: float32, on an NVIDIA GPU bfloat16.")
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


def refuse(*problems: tuple[object, str]) -> None:
    """Raise a usage error with the message of the first problem that there is."""
    for wrong, message in problems:
        if wrong:
            raise typer.BadParameter(message)


def check_plotter(plot: Path | None) -> None:
    if plot is not None and find_spec("matplotlib") is None:
        raise SqbertError("`--plot` needs matplotlib", hint="pip install 'sqbert[bench]'")


def of_its_own(task: str | None, named_fields: bool, pair: str | None, input_format: str) -> list[tuple[object, str]]:
    """What of a file's form cannot be said for a task that knows it: problems for `refuse`."""
    return [
        (named_fields and (task in GLUE or task in ("nli", "masked")), f"--task {task} knows its own fields"),
        (pair and task == "ner", "--task ner is about single texts: leave out --pair-field"),
        (input_format != "auto" and (task in GLUE or task == "masked"), f"--task {task} knows its own format"),
    ]


def is_there(path: Path | None) -> Path | None:
    if path is not None and path != STDIN and not path.exists():
        raise typer.BadParameter(f"file '{path}' does not exist")
    return path


Input = Annotated[
    Path | None,
    typer.Option(
        rich_help_panel=INPUT,
        dir_okay=False,
        callback=is_there,
        help="File to read (also .gz, .xz); -: standard input.",
    ),
]
InputFormat = Annotated[
    InputFormatName,
    typer.Option(
        rich_help_panel=INPUT,
        help="auto: by the file's ending; else JSONL if it begins with an object, else lines of text.",
    ),
]
TextField = Annotated[str, typer.Option(rich_help_panel=INPUT, help="Field or column of the text.")]
PairField = Annotated[
    str | None, typer.Option(rich_help_panel=INPUT, help="Field or column of the second text of a pair.")
]
Format = Annotated[
    FormatName, typer.Option(rich_help_panel=OUTPUT, help="auto: a table for a terminal, JSONL for a pipe or a file.")
]
OnError = Annotated[
    OnErrorName,
    typer.Option(rich_help_panel=INPUT, help="What a line that cannot be used does: skip it, or fail at once."),
]

Texts = Annotated[list[str] | None, typer.Argument(help="Texts; none, or `-`: read standard input.")]
Task = Annotated[
    TaskName | None,
    typer.Option(
        rich_help_panel=INPUT,
        help="A GLUE task; or, with your own files: ner, qa, nli (entailment), masked (words hidden in text).",
    ),
]
Head = Annotated[
    str | None,
    typer.Option(
        rich_help_panel=COMPUTING, help="Which head, of a model that has several of this kind; default: the first."
    ),
]
TextFieldOf = Annotated[
    str | None,
    typer.Option(
        "--text-field",
        "--context-field",
        rich_help_panel=INPUT,
        help="Field of the text; default: text, of a context: context.",
    ),
]
PairFieldOf = Annotated[
    str | None,
    typer.Option(
        "--pair-field",
        "--question-field",
        rich_help_panel=INPUT,
        help="Field of the second text; of a question: question.",
    ),
]
LabelFieldOf = Annotated[
    str | None,
    typer.Option(rich_help_panel=INPUT, help="Field of what is to be told; default: label, entities or answers."),
]
Stride = Annotated[
    int | None,
    typer.Option(
        rich_help_panel=COMPUTING, min=0, help="Tokens that neighbouring windows share; default: a quarter of a window."
    ),
]
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


def listed(value: str | None, option: str) -> list[str] | None:
    """Split a value at its commas."""
    return None if value is None else distinct(typed(value, option).split(","), option)


def numbers(value: str, option: str, low: int, high: int) -> list[int]:
    """Split a value at its commas into whole numbers from `low` to `high`."""
    names = distinct(value.split(","), option)
    if not all(name.isdecimal() and low <= int(name) <= high for name in names):
        raise typer.BadParameter(f"{option} wants whole numbers from {low} to {high}, with commas between: {value!r}")
    return [int(name) for name in names]


def choices(value: str | None, option: str, known: Sequence[str]) -> list[str]:
    """Split a value at its commas into some of `known`; none given: all."""
    names = list(known) if value is None else distinct(value.split(","), option)
    if unknown := [name for name in names if name not in known]:
        raise typer.BadParameter(f"{option}: no `{unknown[0]}`; there are {', '.join(known)}")
    return names


def typed(value: str, option: str) -> str:
    """What was typed is UTF-8, whatever the locale made of it."""
    try:
        return os.fsencode(value).decode()
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{option} is not UTF-8: {error.reason}") from error


def distinct(values: Iterable[str], option: str) -> list[str]:
    """Return the names that are not empty; none at all is a mistake, and so is one that comes twice."""
    names = [value.strip() for value in values if value.strip()]
    if not names:
        raise typer.BadParameter(f"{option} names nothing")
    if len(set(names)) < len(names):
        raise typer.BadParameter(f"{option} names something twice")
    return names

"""The nine GLUE tasks: where their files and columns are, what their labels mean, how they are judged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig, ProblemType
from sqbert_cli.records import BadRecord, Gold, Record
from sqbert_cli.tasks.dataset import Dataset, Split, finite, make_split
from sqbert_cli.tasks.metrics import Metric
from sqbert_cli.text.fields import fault_of_record, listed
from sqbert_cli.text.files import NOT_UNICODE, read_lines

HUB_ID = "nyu-mll/glue"


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Names of the columns in a header, and their places where a file has none."""

    text: str
    label: str
    pair: str | None = None
    places: tuple[int, int, int] | None = None
    """Text, pair, label; a place of -1 is not there."""


@dataclass(frozen=True, kw_only=True)
class GlueTask:
    folder: str
    columns: Columns
    labels: tuple[str, ...]
    """In the order of the hub's label numbers."""
    metrics: tuple[Metric, ...]
    dev: tuple[tuple[str, str], ...] = (("dev.tsv", "validation"),)
    """Files (a pattern) and their splits on the hub; the first decides which weights are the best."""
    train: str = "train.tsv"
    spelled: Mapping[str, str] | None = None
    """How files spell the labels; `None`: by their names."""
    problem_type: ProblemType = "single_label_classification"
    hub_text: str | None = None
    hub_pair: str | None = None
    """Columns on the hub, where they are called otherwise."""


def _numbered(labels: Sequence[str]) -> dict[str, str]:
    return {str(number): label for number, label in enumerate(labels)}


SENTENCES = Columns(text="sentence1", pair="sentence2", label="label")
ENTAILMENT = ("entailment", "not_entailment")
COLA_LABELS = ("unacceptable", "acceptable")
SST2_LABELS = ("negative", "positive")
MRPC_LABELS = ("not_equivalent", "equivalent")
QQP_LABELS = ("not_duplicate", "duplicate")
WNLI_LABELS = ("not_entailment", "entailment")

TASKS: dict[str, GlueTask] = {
    "cola": GlueTask(
        folder="CoLA",
        columns=Columns(text="sentence", label="label", places=(3, -1, 1)),
        labels=COLA_LABELS,
        spelled=_numbered(COLA_LABELS),
        metrics=("matthews", "accuracy"),
    ),
    "sst2": GlueTask(
        folder="SST-2",
        columns=Columns(text="sentence", label="label"),
        labels=SST2_LABELS,
        spelled=_numbered(SST2_LABELS),
        metrics=("accuracy",),
    ),
    "mrpc": GlueTask(
        folder="MRPC",
        columns=Columns(text="#1 String", pair="#2 String", label="Quality"),
        labels=MRPC_LABELS,
        spelled=_numbered(MRPC_LABELS),
        metrics=("accuracy", "f1"),
        hub_text="sentence1",
        hub_pair="sentence2",
    ),
    "stsb": GlueTask(
        folder="STS-B",
        columns=Columns(text="sentence1", pair="sentence2", label="score", places=(5, 6, 4)),
        labels=("score",),
        metrics=("pearson", "spearman"),
        problem_type="regression",
    ),
    "qqp": GlueTask(
        folder="QQP",
        columns=Columns(text="question1", pair="question2", label="is_duplicate", places=(3, 4, 5)),
        labels=QQP_LABELS,
        spelled=_numbered(QQP_LABELS),
        metrics=("accuracy", "f1"),
    ),
    "mnli": GlueTask(
        folder="MNLI",
        columns=Columns(text="sentence1", pair="sentence2", label="gold_label"),
        labels=("entailment", "neutral", "contradiction"),
        metrics=("accuracy",),
        dev=(("dev_matched.tsv", "validation_matched"), ("dev_mismatched.tsv", "validation_mismatched")),
        hub_text="premise",
        hub_pair="hypothesis",
    ),
    "qnli": GlueTask(
        folder="QNLI",
        columns=Columns(text="question", pair="sentence", label="label"),
        labels=ENTAILMENT,
        metrics=("accuracy",),
    ),
    "rte": GlueTask(folder="RTE", columns=SENTENCES, labels=ENTAILMENT, metrics=("accuracy",)),
    "wnli": GlueTask(
        folder="WNLI",
        columns=SENTENCES,
        labels=WNLI_LABELS,
        spelled=_numbered(WNLI_LABELS),
        metrics=("accuracy",),
    ),
}


def glue_head(name: str) -> HeadConfig:
    task = TASKS[name]
    return HeadConfig(name=name, kind="sequence", labels=task.labels, problem_type=task.problem_type)


def is_of_another_task(head: HeadConfig, wanted: HeadConfig) -> bool:
    """Whether two heads are of two GLUE tasks whose labels have the same names, as those of rte, qnli and wnli."""
    are_two = head.name != wanted.name and {head.name, wanted.name} <= TASKS.keys()
    return are_two and set(head.labels) == set(wanted.labels)


def glue_dataset(name: str, data: Path | None, *, offline: bool = False) -> Dataset:
    """Read train and dev from a folder in GLUE's own layout, or from the hub."""
    task = TASKS[name]
    train = _folder_split(task, data, task.train) if data else _hub_split(name, "train", offline)
    return Dataset(
        name=name, head=glue_head(name), metrics=task.metrics, train=train, dev=glue_dev(name, data, offline=offline)
    )


def glue_dev(name: str, data: Path | None, *, offline: bool = False) -> tuple[Split, ...]:
    task = TASKS[name]
    if data:
        return tuple(_folder_split(task, data, file) for file, _ in task.dev)
    return tuple(_hub_split(name, split, offline) for _, split in task.dev)


def _folder_split(task: GlueTask, data: Path, file: str) -> Split:
    """`data` is the folder of all tasks, or of this one."""
    places = [data / task.folder / file, data / file]
    path = next((path for path in places if path.is_file()), None)
    if path is None:
        raise SqbertError(
            f"`{places[0]}` does not exist",
            hint=f"`--data` is the folder that holds `{task.folder}` with `{task.train}` and "
            + " and ".join(f"`{name}`" for name, _ in task.dev),
        )
    return make_split(str(path), _read_rows(task, path))


def _read_rows(task: GlueTask, path: Path) -> Iterator[Record | BadRecord]:
    """GLUE's files are columns between tabs, without any quoting."""
    columns: tuple[int, int, int] | None = None
    for number, line in enumerate(read_lines(path), 1):
        source = f"{path}:{number}"
        try:
            cells = line.decode().rstrip("\r\n").split("\t")
        except UnicodeDecodeError:
            yield BadRecord(source, NOT_UNICODE)
            continue
        if columns is None:
            columns = _places(task.columns, cells, path)
            if task.columns.label in cells:
                continue
        yield _record(task, cells, columns, source)


def _places(columns: Columns, first: Sequence[str], path: Path) -> tuple[int, int, int]:
    wanted = [name for name in (columns.text, columns.pair, columns.label) if name]
    if all(name in first for name in wanted):
        pair = first.index(columns.pair) if columns.pair else -1
        return first.index(columns.text), pair, first.index(columns.label)
    if columns.places is None or len(first) <= max(columns.places):
        raise SqbertError(
            f"`{path}` has the columns {listed(first[:12])}",
            hint=f"GLUE's file has {listed(wanted)}",
        )
    return columns.places


def _record(task: GlueTask, cells: Sequence[str], places: tuple[int, int, int], source: str) -> Record | BadRecord:
    text, pair, label = places
    if len(cells) <= max(places):
        return BadRecord(source, f"{len(cells)} columns, expected at least {max(places) + 1}")
    if not cells[text].strip() or (pair >= 0 and not cells[pair].strip()):
        return BadRecord(source, "the text is empty")
    gold = _gold(task, cells[label])
    if gold is None:
        return BadRecord(source, f"the label `{cells[label]}` is none of {', '.join(task.spelled or task.labels)}")
    return Record(cells[text], cells[pair] if pair >= 0 else None, gold, source=source)


def _gold(task: GlueTask, cell: str) -> Gold | None:
    if task.problem_type == "regression":
        return finite(cell)
    return (task.spelled or {label: label for label in task.labels}).get(cell)


def _hub_split(name: str, split: str, offline: bool) -> Split:
    try:
        from datasets import config, load_dataset
    except ImportError as error:
        raise SqbertError(
            "GLUE from the hub needs the package `datasets`",
            hint="`pip install 'sqbert[data]'`, or `--data FOLDER` with GLUE's own files",
        ) from error
    config.HF_HUB_OFFLINE |= offline  # the environment was read when it was imported
    task = TASKS[name]
    source = f"{HUB_ID}/{name}/{split}"
    try:
        rows = load_dataset(HUB_ID, name, split=split)
    except (
        OSError,
        ValueError,
    ) as error:  # what datasets raises without a network, or for a mirror without GLUE
        raise SqbertError(
            f"`{source}` cannot be had: {str(error).splitlines()[0]}",
            hint="is there a network? or read GLUE's own files with `--data FOLDER`",
        ) from error
    return make_split(source, (_hub_record(task, row, f"{source}:{index}") for index, row in enumerate(rows)))


def _hub_record(task: GlueTask, row: Mapping[str, Any], source: str) -> Record | BadRecord:
    text, pair = task.hub_text or task.columns.text, task.hub_pair or task.columns.pair
    label = row["label"]
    gold: Gold = float(label) if task.problem_type == "regression" else task.labels[label]
    record = Record(row[text], row[pair] if pair else None, gold, source=source)
    return BadRecord(source, fault) if (fault := fault_of_record(record)) else record

"""From the name of a task and its files to its data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sqbert_cli.errors import SqbertError
from sqbert_cli.model.config import HeadConfig, HeadKind, ProblemType
from sqbert_cli.tasks.dataset import Dataset, Split, check, check_known, joined, make_split, own_dataset, read_split
from sqbert_cli.tasks.entities import entity_labels
from sqbert_cli.tasks.glue import TASKS, glue_dataset, glue_dev, glue_head
from sqbert_cli.tasks.metrics import OWN_METRICS, Metric
from sqbert_cli.tasks.nli import COLUMNS, columns_of, nli_dataset, read_nli
from sqbert_cli.tasks.nli import LABELS as NLI_LABELS
from sqbert_cli.tasks.running_text import masked_dataset, read_text
from sqbert_cli.tasks.spans import (
    ANSWER_FIELDS,
    ENTITY_FIELDS,
    check_entities,
    entity_counts,
    entity_dataset,
    entity_problems,
    question_counts,
    question_dataset,
    read_entities,
    read_questions,
)
from sqbert_cli.text.fields import DEFAULT_FIELDS, Fields, FoundFields, QuestionFields
from sqbert_cli.text.readers import FIXED, Format, guess_format, read_records

KINDS: dict[str, HeadKind] = {"ner": "token", "qa": "span", "masked": "masked_word"}
"""What the tasks need that do not judge whole texts."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """The files of one task, and how they are read."""

    train: Sequence[Path] = ()
    dev: Path | None = None
    fields: Fields = DEFAULT_FIELDS
    format: Format = "auto"
    problem: ProblemType = "single_label_classification"
    seed: int = 42
    characters: int = 20_000_000
    """Of running text."""
    offline: bool = False


def fields_of(task: str | None, text: str | None = None, pair: str | None = None, label: str | None = None) -> Fields:
    """Fill in the names of fields that a task commonly has."""
    if task == "qa":
        return QuestionFields(text=text or "context", pair=pair or "question", label=label or ANSWER_FIELDS.label)
    return Fields(text=text or "text", pair=pair, label=label or (ENTITY_FIELDS.label if task == "ner" else "label"))


def parse_multi(items: Sequence[str], source: Source) -> list[Dataset]:
    """Read tasks written as `NAME=TRAIN[,TRAIN...][:DEV]`; another name is that of a head for one's own labels."""
    datasets: list[Dataset] = []
    for item in items:
        name, equals, paths = item.partition("=")
        if not (name and equals and paths):
            raise SqbertError(f"`{item}` is not a task", hint="expected `ner=train.conll:dev.conll`, or `sst2=glue`")
        before, _, after = paths.partition(":")
        train, dev = [Path(path) for path in before.split(",") if path], Path(after) if after else None
        if absent := [path for path in (*train, dev) if path and not path.exists()]:
            raise SqbertError(f"`{item}`: `{absent[0]}` does not exist")
        own = replace(
            source,
            train=train,
            dev=dev,
            fields=fields_of(name),
        )
        dataset = choose_dataset(name, own)
        datasets.append(replace(dataset, name=name, head=replace(dataset.head, name=name)))
    if len({dataset.name for dataset in datasets}) < len(datasets):
        raise SqbertError(
            "two tasks have the same name", hint="join their files with a comma: `ner=one.conll,two.conll`"
        )
    return datasets


def parse_named(option: str, items: Sequence[str], names: Sequence[str], nameless: Sequence[str]) -> dict[str, str]:
    """Read `NAME=VALUE`, for the task of that name, and `VALUE`, for those of `nameless` that have none yet."""
    found: dict[str, str] = {}
    tasks = f"the tasks are {', '.join(names)}: `{option} {names[0]}=...`"
    for item in sorted(items, key=lambda item: item.partition("=")[0] not in names):  # those without a name last
        name, equals, value = item.partition("=")
        is_named = bool(equals) and name in names
        if equals and not is_named and not Path(item).exists():
            raise SqbertError(f"`{option} {item}`: `{name}` is none of the tasks", hint=tasks)
        if not (value if is_named else item):
            raise SqbertError(f"`{option} {item}` names nothing", hint=tasks)
        free = [task for task in ([name] if is_named else nameless) if task not in found]
        if not free:
            raise SqbertError(f"`{option} {item}`: another is given for the same task", hint=tasks)
        found |= dict.fromkeys(free, value if is_named else item)
    return found


def parse_texts(items: Sequence[str], names: Sequence[str]) -> dict[str, Path]:
    """Read `--unlabelled`: `NAME=FILE`, or `FILE` for the first task."""
    files = {task: Path(file) for task, file in parse_named("--unlabelled", items, names, names[:1]).items()}
    if absent := [file for file in files.values() if not file.is_file()]:
        raise SqbertError(
            f"`{absent[0]}` is no file", hint="`--unlabelled` is a file: a text a line, or pairs of texts"
        )
    return files


def choose_dataset(task: str | None, source: Source) -> Dataset:
    """Read the data of a task: GLUE's (from a folder, else the hub), one of files, or labels of one's own."""
    if task in TASKS:
        if source.dev or len(source.train) > 1:
            raise SqbertError(
                f"the GLUE task `{task}` has files of its own, a dev set too",
                hint=f"name their folder alone: `{task}=glue`; files of yours are a head of another name",
            )
        return glue_dataset(task, source.train[0] if source.train else None, offline=source.offline)
    if not source.train:
        raise SqbertError(f"the task `{task}` needs files to learn from", hint="name them with `--train`")
    dev = None if source.dev is None else read_examples(task, source.dev, source)
    if task == "masked":
        return masked_dataset(read_text(source.train, source.characters), dev, source.seed)
    train = joined([read_examples(task, path, source) for path in source.train])
    if task == "ner":
        return entity_dataset(train, dev, source.seed)
    if task == "qa":
        return question_dataset(train, dev, source.seed)
    if task == "nli":
        return nli_dataset(train, dev, source.seed)
    return own_dataset(", ".join(path.name for path in source.train), train, dev, source.problem, source.seed)


def read_examples(task: str | None, path: Path, source: Source) -> Split:
    """Read the examples of one file."""
    match task:
        case "ner":
            return read_entities(path, source.format, source.fields)
        case "qa":
            return read_questions(path, source.format, source.fields)
        case "nli":
            return read_nli(path, source.format)
        case "masked":
            return read_text([path], source.characters)
        case _ if (format := guess_format(path) if source.format == "auto" else source.format) in FIXED:
            task = "qa" if format == "squad" else "ner"
            raise SqbertError(f"`{path}` has {FIXED[format]}", hint=f"that is `--task {task}`, or `--multi {task}=...`")
        case _:
            return read_split(path, source.fields, source.problem, source.format)


def read_unlabelled(path: Path, dataset: Dataset, source: Source) -> Split:
    """Read more of what a task is about, without labels: texts, or pairs of texts where its examples are such."""
    format, own = guess_format(path), replace(source.fields, label=None)
    glue = TASKS[dataset.name].columns if dataset.name in TASKS else None
    if format == "text" and source.format in ("jsonl", "csv", "tsv"):  # as the examples are
        format = source.format
    if all(record.pair is None for record in dataset.train.records):
        if format == "text":
            return read_text([path], source.characters, shortest=1)
        if glue:
            own = FoundFields(text=columns_of(path, format, [("text", glue.text)])[0])
        return make_split(str(path), read_records(path, format, own))
    if dataset.head.kind == "sequence" and not own.pair and format == "text":
        format = "tsv"  # as SNLI's and SICK's own files are
    if format in ("text", "conll"):
        raise SqbertError(
            f"`{path}` holds single texts, `{dataset.name}` is about pairs", hint="pairs are JSONL, CSV or TSV"
        )
    if dataset.head.kind == "span":
        own = own if own.pair else QuestionFields()
    elif not own.pair:
        texts, pairs = ((*COLUMNS[0], glue.text), (*COLUMNS[1], glue.pair or "")) if glue else COLUMNS[:2]
        text, pair = columns_of(path, format, (texts, pairs))
        own = FoundFields(text=text, pair=pair)
    return make_split(str(path), read_records(path, format, own))


def counts_of(dataset: Dataset) -> list[str]:
    """Say how much there is to learn from, and to be judged by."""
    count = {"token": entity_counts, "span": question_counts}.get(dataset.head.kind, _example_count)
    return [count(split) for split in (dataset.train, *dataset.dev)]


def problems_of(dataset: Dataset) -> list[str]:
    """Return what is wrong with the data, each with its place; raise `SqbertError` if there is nothing to learn."""
    problems = check(dataset)
    if dataset.head.kind == "token":
        problems += [problem for split in (dataset.train, *dataset.dev) for problem in entity_problems(split)]
    return problems


def _example_count(split: Split) -> str:
    return f"{split.name}: {len(split.records):,} examples"


@dataclass(frozen=True, kw_only=True)
class EvalSet:
    """Examples that a head is judged by."""

    head: HeadConfig
    metrics: tuple[Metric, ...]
    splits: tuple[Split, ...]


def choose_test(task: str | None, source: Source, own: HeadConfig) -> EvalSet:
    """Read the examples that the head `own` is to be judged by: of a task, or with labels as the head has them."""
    if task in TASKS:
        folder = source.train[0] if source.train else None
        test = EvalSet(
            head=glue_head(task),
            metrics=TASKS[task].metrics,
            splits=glue_dev(task, folder, offline=source.offline),
        )
    else:
        split = read_examples(task, source.train[0], replace(source, problem=own.problem_type))
        head = HeadConfig(name="nli", kind="sequence", labels=NLI_LABELS) if task == "nli" else own
        test = EvalSet(head=head, metrics=OWN_METRICS[head.problem_type], splits=(split,))
    if test.head.kind == "token":
        for split in test.splits:
            check_entities(split, entity_labels(test.head.labels))
    if test.head.kind == "sequence" and test.head.problem_type != "regression":
        for split in test.splits:
            check_known(split, test.head.labels)
    return test

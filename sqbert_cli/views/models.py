"""Models for a person: one with its shape and heads, or many in a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.text import Text

from sqbert_cli.console import data, printable
from sqbert_cli.text.fields import first_of
from sqbert_cli.views.tables import plain_table

NARROW = 60
"""Columns of a terminal; on fewer a table of models is no table any more."""
LISTED = 8
"""Of more labels, so many are named."""


def show_model(about: Mapping[str, Any]) -> None:
    data.print(Text(printable(about["name"]), "bold"))
    data.print(_size(about))
    config = about["config"]
    groups = "/".join(str(config[name]) for name in config if name.endswith("_groups"))
    data.print(
        f"{config['model_type']}: {config['num_hidden_layers']} layers, width {config['hidden_size']}, "
        f"{config['num_attention_heads']} heads, {config['max_position_embeddings']} positions"
        + (f", groups {groups}" if groups else "")
    )
    for line in _origin(about):
        data.print(line)
    table = plain_table("head", "answers", "window", "labels")
    for head in about["heads"]:
        labels = first_of(head["labels"], LISTED)
        name = Text(printable(head["name"]), "bold")
        table.add_row(name, head["answers"], str(head["max_length"]), Text(printable(labels)))
    data.print(table)
    for split, metrics in about["scores"].items():
        told = "  ".join(f"{metric} {value * 100:.2f}" for metric, value in metrics.items())
        data.print(Text.assemble((printable(split), "dim"), printable(f"  {told}")))


def show_list(models: Iterable[Mapping[str, Any]]) -> None:
    if data.width < NARROW:
        for about in models:
            show_pulled(about)
        return
    table = plain_table("model", "origin", "parameters", "size", "heads", "scores, %", "made by")
    table.columns[0].overflow = "fold"  # a name that is cut off names nothing
    for column in table.columns[1:4]:
        column.no_wrap = True
    problems = []
    for about in models:
        name = Text(printable(about["name"]), "bold")
        if problem := about.get("problem"):
            table.add_row(name, about["origin"], Text("cannot be used", "red"))
            problems.append(Text.assemble(name, f": {printable(problem)}"))
            continue
        is_read = about["parameters"] is not None  # of a pickle nothing is, until it is loaded
        heads = ", ".join(head["name"] for head in about["heads"]) or ("none" if is_read else "?")
        count = "?" if not is_read else f"{about['parameters'] / 1e6:,.1f} M"
        cells = (heads, ", ".join(_best(about["scores"])), str(about["made_by"].get("command", "")))
        table.add_row(name, about["origin"], count, _megabytes(about), *(Text(printable(cell)) for cell in cells))
    data.print(table)
    for line in problems:
        data.print(line)


def show_pulled(about: Mapping[str, Any]) -> None:
    data.print(Text(printable(about["name"]), "bold"))
    if problem := about.get("problem"):
        data.print(Text(printable(problem), "red"))
        return
    data.print(_size(about))
    for line in _origin(about):
        data.print(line)


def _size(about: Mapping[str, Any]) -> Text:
    dtype = f" in {about['dtype']}" if about["dtype"] else ""  # of a pickle it is not known
    count = "?" if about["parameters"] is None else f"{about['parameters']:,}"
    return Text(printable(f"{count} parameters, {_megabytes(about)}{dtype}"))


def _origin(about: Mapping[str, Any]) -> Iterable[Text]:
    named = {"commit": about["commit"], "licence": about["license"], "card": about["card"]}
    for name, value in named.items():
        if value is not None:
            yield Text.assemble((f"{name} ", "dim"), printable(str(value)))
    if made := about["made_by"]:
        told = (str(value) if key == "command" else f"{key} {value}" for key, value in made.items())
        yield Text.assemble(("made by ", "dim"), printable(", ".join(told)))


def _best(scores: Mapping[str, Mapping[str, float]]) -> Iterable[str]:
    """The first measure of each data set."""
    for metrics in scores.values():
        for metric, value in list(metrics.items())[:1]:
            yield f"{metric} {value * 100:.1f}"


def _megabytes(about: Mapping[str, Any]) -> str:
    return f"{about['bytes'] / 1e6:,.1f} MB"

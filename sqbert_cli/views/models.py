"""A model for a person: its shape, and a table of its heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.table import Table
from rich.text import Text

from sqbert_cli.console import data, printable

LISTED = 8
"""Of more labels, so many are named."""


def show_model(about: Mapping[str, Any]) -> None:
    data.print(Text(printable(about["name"]), "bold"))
    data.print(f"{about['parameters']:,} parameters, {about['bytes'] / 1e6:,.1f} MB in {about['dtype']}")
    config = about["config"]
    groups = "/".join(str(config[name]) for name in config if name.endswith("_groups"))
    data.print(
        f"{config['model_type']}: {config['num_hidden_layers']} layers, width {config['hidden_size']}, "
        f"{config['num_attention_heads']} heads, {config['max_position_embeddings']} positions"
        + (f", groups {groups}" if groups else "")
    )
    table = Table("head", "answers", "window", "labels", box=None, pad_edge=False, header_style="dim")
    for head in about["heads"]:
        labels = head["labels"][:LISTED]
        more = f" and {len(head['labels']) - LISTED} more" if len(head["labels"]) > LISTED else ""
        name = Text(printable(head["name"]), "bold")
        table.add_row(name, head["answers"], str(head["max_length"]), Text(printable(", ".join(labels) + more)))
    data.print(table)
    for split, metrics in about["scores"].items():
        told = "  ".join(f"{metric} {value * 100:.2f}" for metric, value in metrics.items())
        data.print(Text.assemble((printable(split), "dim"), f"  {told}"))

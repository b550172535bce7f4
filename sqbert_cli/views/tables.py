"""A plain table: no lines, a dim header, words on the left and numbers on the right."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text


def plain_table(*left: str, right: Sequence[str | Text] = (), no_wrap: bool = False) -> Table:
    """Name the columns; `no_wrap` keeps those on the right in one line each."""
    table = Table(*left, box=None, pad_edge=False, header_style="dim")
    for name in right:
        table.add_column(name, justify="right", no_wrap=no_wrap)
    return table

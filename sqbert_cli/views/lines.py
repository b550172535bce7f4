"""Results for a program: a record of JSONL, CSV or TSV each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from sqbert_cli.text.writers import AnyResult, OutputFormat, result_writer


def line_view(format: str, to_fields: Callable[[AnyResult], Mapping[str, Any]]) -> Callable[[AnyResult], None]:
    """Return what writes one result to stdout, as JSONL unless `format` is `csv` or `tsv`."""
    chosen: OutputFormat = "csv" if format == "csv" else "tsv" if format == "tsv" else "jsonl"
    return result_writer(chosen, sys.stdout.buffer, to_fields)

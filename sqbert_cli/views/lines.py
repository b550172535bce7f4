"""Results for a program: a record of JSONL, CSV or TSV each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from sqbert_cli.text.writers import FORMATS, AnyResult, result_writer


def line_view(format: str, to_fields: Callable[[AnyResult], Mapping[str, Any]]) -> Callable[[AnyResult], None]:
    """Return what writes one result to stdout, as JSONL unless `format` is `csv` or `tsv`."""
    return result_writer(FORMATS.get(format, "jsonl"), sys.stdout.buffer, to_fields)

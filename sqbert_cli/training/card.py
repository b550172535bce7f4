"""The model card that a trained folder carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MADE_BY = ("command", "task", "model", "teacher", "unlabelled", "vectors_on", "vectors_of", "text")


def model_card(name: str, training: Mapping[str, Any]) -> str:
    """Tell in Markdown what a model is, how it was made, and how well it does."""
    scores = "".join(
        f"| {split} | {metric} | {value * 100:.2f} |\n"
        for split, of_split in training.get("scores", {}).items()
        for metric, value in of_split["metrics"].items()
    )
    table = f"\n## Scores\n\n| data | measure | % |\n|---|---|---|\n{scores}" if scores else ""
    made = "".join(f"- {key}: {training[key]}\n" for key in MADE_BY if training.get(key))
    settings = "".join(f"- {key}: {value}\n" for key, value in training["settings"].items())
    return (
        f"# {name}\n\nA model trained with sqbert {training['versions']['sqbert']}.\n{table}\n"
        f"## How it was made\n\n{made}\nSettings:\n\n{settings}\n"
        "All of it, with data hashes and versions, is in `training.json`.\n"
    )

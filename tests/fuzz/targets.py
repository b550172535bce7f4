"""All targets by name, each made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from tests.fuzz.engine import Fuzzed

TEXTS = ("text", "jsonl", "csv", "tsv", "conll", "squad", "gold", "gzip", "xz", "glue")
MODELS = ("config", "model", "tokenizer", "vocabulary", "weights", "safetensors", "header", "pickle", "archive",
          "training", "resume", "tokens", "manifest")  # fmt: skip
PHONES = ("result", "marked", "phone", "report")
TARGETS = (*TEXTS, *MODELS, *PHONES)


def make_target(name: str, folder: Path) -> Fuzzed:
    return next(target for target in _family(name)(folder) if target.name == name)


def _family(name: str) -> Callable[[Path], Iterable[Fuzzed]]:
    if name in TEXTS:
        from tests.fuzz.texts import text_targets

        return text_targets
    if name in PHONES:
        from tests.fuzz.phones import phone_targets

        return phone_targets
    from tests.fuzz.models import model_targets

    return model_targets

"""Run and train small text models: one compact SqueezeBERT, weights included.

from sqbert_cli import classify, load

model = load()
for result in classify(model, ["I loved every minute of it"]):
    print(result.label, result.score)
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqbert_cli.api import (
        BadRecord,
        Record,
        SqbertError,
        classify,
        classify_any,
        embed,
        fill_masks,
        find_answers,
        find_entities,
        load,
    )

__all__ = [
    "BadRecord", "Record", "SqbertError", "__version__", "classify", "classify_any", "embed", "fill_masks",
    "find_answers", "find_entities", "load",
]  # fmt: skip
__version__ = "0.1.0"


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    """Import torch only when it is wanted."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from sqbert_cli import api

    return getattr(api, name)

"""What is learnt from running text: the text itself, and a teacher.

| objective | what is learnt |
|---|---|
| masked-words | hidden words (Devlin et al. 2018) |
| sentence-order | whether two neighbouring passages have changed places (Lan et al. 2019) |
| states | the teacher's hidden states, layer by layer (TinyBERT, Jiao et al. 2020); needs its width |
| relations | how the teacher's queries, keys and values are related (MiniLMv2, Wang et al. 2021); any width |
| logits | the teacher's chances of the hidden words (Sanh et al. 2019) |
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Literal, get_args

from sqbert_cli.errors import SqbertError

Objective = Literal["masked-words", "sentence-order", "states", "relations", "logits"]
OF_A_TEACHER: tuple[Objective, ...] = ("states", "relations", "logits")
HIDES: tuple[Objective, ...] = ("masked-words", "logits")


def hides(objectives: Iterable[str]) -> bool:
    """Whether words are hidden for any of them."""
    return any(name in HIDES for name in objectives)


def parse_objectives(text: str) -> dict[Objective, float]:
    """`states,masked-words=0.5` -> weights by name."""
    weights: dict[Objective, float] = {}
    for part in text.split(","):
        name, _, weight = part.strip().partition("=")
        known = {objective: objective for objective in get_args(Objective)}
        if name not in known:
            raise SqbertError(f"no objective `{name}`", hint=f"there are {', '.join(known)}")
        if name in weights:
            raise SqbertError(f"objective `{name}` is named twice")
        weights[known[name]] = _weight(name, weight)
    return weights


def _weight(name: str, text: str) -> float:
    try:
        weight = float(text or 1)
    except ValueError:
        weight = math.nan
    if not 0 < weight < math.inf:
        raise SqbertError(f"objective `{name}`: the weight `{text}` is not a number above 0")
    return weight


def check_objectives(
    weights: Mapping[Objective, float], *, has_teacher: bool, same_width: bool, tells_words: bool
) -> None:
    """Raise `SqbertError` where a teacher is needed, useless, or of another shape."""
    wanted = [name for name in OF_A_TEACHER if name in weights]
    if wanted and not has_teacher:
        raise SqbertError(f"objective `{wanted[0]}` needs a teacher", hint="name one with `--teacher`")
    if has_teacher and not wanted:
        raise SqbertError("nothing is learnt from the teacher", hint=f"name one of {', '.join(OF_A_TEACHER)}")
    if "states" in weights and not same_width:
        raise SqbertError("hidden states can be compared at equal width only", hint="use the objective `relations`")
    if "logits" in weights and not tells_words:
        raise SqbertError("the teacher has no head for masked words", hint="leave out the objective `logits`")

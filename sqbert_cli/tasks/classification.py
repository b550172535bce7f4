"""Single label, several labels, or a number, for a text or a pair. Letters: N rows, L labels, W windows of a text."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from sqbert_cli.model.config import HeadConfig, ProblemType
from sqbert_cli.records import Classification, Gold, Record, labels_of


def scores(logits: Tensor, problem: ProblemType) -> Tensor:
    """Turn logits into probabilities, or into the predicted number. *Shapes:* (N, L) -> (N, L)."""
    logits = logits.float()
    if problem == "regression":
        return logits
    return logits.sigmoid() if problem == "multi_label_classification" else logits.softmax(-1)


def combine(window_scores: Tensor, tokens: Sequence[int]) -> Tensor:
    """Average the windows of one text, each weighted by its tokens. *Shapes:* (W, L) -> (L,)."""
    weights = torch.tensor(tokens, dtype=window_scores.dtype)
    return (weights / weights.sum()) @ window_scores


def decode(record: Record, row: Sequence[float], head: HeadConfig, threshold: float, windows: int) -> Classification:
    """Name the scores of one record, best first (a tie keeps the order of the model's labels)."""
    ranked = dict(sorted(zip(head.labels, row, strict=True), key=lambda pair: -pair[1]))
    match head.problem_type:
        case "regression":
            labels: tuple[str, ...] = ()
        case "multi_label_classification":
            labels = tuple(label for label, score in ranked.items() if score >= threshold)
        case "single_label_classification":
            labels = (next(iter(ranked)),)
    return Classification(record, ranked, labels, windows)


def targets(golds: Sequence[Gold], head: HeadConfig) -> Tensor:
    """Return what `loss` wants: label indices (N,), or rows of 0 and 1, or numbers (N, L)."""
    index = {label: position for position, label in enumerate(head.labels)}
    if head.problem_type == "single_label_classification":
        return torch.tensor([index[str(gold)] for gold in golds])
    if head.problem_type == "regression":
        return torch.tensor([[float(gold)] for gold in golds if not isinstance(gold, tuple)])
    rows = torch.zeros(len(golds), len(index))
    for row, gold in zip(rows, golds, strict=True):
        row[[index[label] for label in labels_of(gold)]] = 1
    return rows


def loss(
    logits: Tensor,
    wanted: Tensor,
    problem: ProblemType,
    smoothing: float = 0.0,
    weights: Tensor | None = None,
) -> Tensor:
    """Cross-entropy, binary cross-entropy of each label, or squared error. `weights` are those of `weights_of`.

    *Shapes:* (N, L), as `targets` -> ().
    """
    logits = logits.float()
    if problem == "regression":
        return functional.mse_loss(logits, wanted)
    if problem == "multi_label_classification":
        softened = wanted * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, softened, weight=weights)
    return _mean(functional.cross_entropy(logits, wanted, label_smoothing=smoothing, reduction="none"), weights)


def soft_loss(
    logits: Tensor, teacher_logits: Tensor, problem: ProblemType, temperature: float, weights: Tensor | None = None
) -> Tensor:
    """How far a student is from its teacher: divergence at a temperature, scaled by its square (Hinton et al. 2015).

    *Shapes:* (N, L), (N, L) -> (). `weights` are those of `weights_of`.
    """
    logits = logits.float()
    if problem == "regression":
        return functional.mse_loss(logits, teacher_logits)
    ours, theirs = logits / temperature, teacher_logits / temperature
    if problem == "multi_label_classification":
        return functional.binary_cross_entropy_with_logits(ours, theirs.sigmoid(), weight=weights) * temperature**2
    parts = functional.kl_div(ours.log_softmax(-1), theirs.log_softmax(-1), log_target=True, reduction="none")
    return _mean(parts.sum(-1), weights) * temperature**2


def weights_of(wanted: Tensor, label_weights: Tensor | None) -> Tensor | None:
    """How much each text weighs, or where a text has several labels each answer: by its label, as soon as it has it.

    Of what is smoothed or told by a teacher it is the same, so that the best answer stays theirs. *Shapes:* as
    `targets`, (L,) -> as `targets`.
    """
    if label_weights is None:
        return None
    return label_weights[wanted] if wanted.ndim == 1 else 1 + (label_weights - 1) * wanted


def _mean(each: Tensor, weights: Tensor | None) -> Tensor:
    return each.mean() if weights is None else (each * weights).sum() / weights.sum()

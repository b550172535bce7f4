"""Answers to questions, from contexts of any length."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from itertools import chain

from torch import Tensor

from sqbert_cli.checkpoint import Checkpoint
from sqbert_cli.model.config import HeadConfig
from sqbert_cli.predict.rows import by_text
from sqbert_cli.predict.stream import Records, in_order
from sqbert_cli.records import Answers, BadRecord, Record
from sqbert_cli.tasks.answers import best_answers, chance_of_none, question_fits, window_answers
from sqbert_cli.text.pieces import read_pieces
from sqbert_cli.text.tokenizer import Window
from sqbert_cli.text.windows import Stretch, stretches, window_stride

KEPT = 64
"""Spans that are remembered of a context, of any number of windows."""
MAX_ANSWER_WORDS = 30
NO_ANSWER_THRESHOLD = 0.5


def find_answers(
    checkpoint: Checkpoint,
    records: Records,
    *,
    head: str | None = None,
    top_k: int = 1,
    no_answer_threshold: float = NO_ANSWER_THRESHOLD,
    max_answer_words: int = MAX_ANSWER_WORDS,
    stride: int | None = None,
    live: bool = False,
) -> Iterator[Answers | BadRecord]:
    """Answer each record's question (`pair`) from its context (`text`), in order.

    A long context is read in windows that share `stride` tokens (default: a quarter of a window), in memory that does
    not grow with it. There is no answer where that is likelier than `no_answer_threshold`; 1 always gives one.
    """
    chosen = checkpoint.head("span", head)
    window_stride(stride, checkpoint.max_length(chosen) - 3)

    def answer(some: Sequence[Record]) -> Iterator[Answers | BadRecord]:
        questions = checkpoint.tokenizer.encode([record.pair or "" for record in some])
        longest = checkpoint.max_length(chosen)
        fits = [bool(record.pair) and question_fits(q, longest) for record, q in zip(some, questions, strict=True)]
        asked = list(zip(some, questions, fits, strict=True))
        texts = (
            question_stretches(checkpoint, chosen, record, question, stride) for record, question, fit in asked if fit
        )
        answered = by_text(checkpoint, chosen.name, texts)
        for record, question, fit in asked:
            if fit:
                yield _answers(record, next(answered), top_k, no_answer_threshold, max_answer_words)
            else:
                yield _unfit(record, question, longest)

    return in_order(records, answer, live)


def question_stretches(
    checkpoint: Checkpoint, head: HeadConfig, record: Record, question: list[int], stride: int | None
) -> Iterator[Stretch]:
    """Windows onto one context, the question before each."""
    room = checkpoint.max_length(head) - 3 - len(question)

    def frame(ids: list[int]) -> Window:
        return checkpoint.tokenizer.window(question, ids)

    sections = read_pieces(checkpoint.tokenizer, record.text)
    # Beside a long question a wide stride would leave hardly a new token to each window.
    shared = min(window_stride(stride, checkpoint.max_length(head) - 3), room // 2)
    return stretches(sections, frame, len(question) + 2, room, shared)


def _unfit(record: Record, question: Sequence[int], max_length: int) -> BadRecord:
    source = record.source or "the question"
    if not record.pair:
        return BadRecord(source, "no question")
    longest = (max_length - 3) // 2
    return BadRecord(
        source, f"the question has {len(question)} tokens, more than half of the model's window: at most {longest}"
    )


def _answers(
    record: Record,
    scored: Iterator[tuple[Stretch, Tensor]],
    top_k: int,
    threshold: float,
    max_words: int,
) -> Answers:
    best: list[tuple[float, int, int]] = []
    nothing, windows = 1.0, 0
    for stretch, logits in scored:
        spans, no_answer = window_answers(stretch, logits, max_words)
        best = heapq.nlargest(max(KEPT, 4 * top_k), chain(best, spans))
        nothing, windows = min(nothing, no_answer), windows + 1
    found = best_answers(record.text, set(best), top_k)
    no_answer = chance_of_none(found[0].score if found else 0.0, nothing)
    return Answers(record, found if no_answer <= threshold else (), no_answer, windows)

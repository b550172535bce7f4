"""Tags of words (IOB1, IOB2, BIOES, BILOU, or bare names) to spans of words, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqbert_cli.records import Span

OUTSIDE = "O"
PREFIXES = {"B": "B", "I": "I", "E": "E", "S": "S", "L": "E", "U": "S", "M": "I"}
"""Those of BIOES, and what BILOU and BMES call them."""


def split_tag(tag: str) -> tuple[str, str]:
    """`B-PER` is (`B`, `PER`); a name without a prefix goes on where its neighbour has the same: (`I`, `PER`)."""
    prefix, _, label = tag.partition("-")
    return (PREFIXES[prefix], label) if is_prefixed(tag) else ("I", tag)


def tag_spans(tags: Iterable[str]) -> list[Span]:
    """Return the spans of words, as conlleval reads tags of any scheme.

    A span begins at B and S, after E and S, and where the label changes; so an I- after nothing begins one.
    """
    spans: list[Span] = []
    open_label, ended = OUTSIDE, True
    for index, tag in enumerate(tags):
        if tag == OUTSIDE:
            open_label = OUTSIDE
            continue
        prefix, label = split_tag(tag)
        if label == open_label and prefix in ("I", "E") and not ended:
            spans[-1] = Span(spans[-1].start, index + 1, label)
        else:
            spans.append(Span(index, index + 1, label))
        open_label, ended = label, prefix in ("E", "S")
    return spans


def span_tags(spans: Iterable[Span], length: int) -> list[str]:
    """Return the IOB2 tags of `length` words."""
    tags = [OUTSIDE] * length
    for span in spans:
        tags[span.start : span.end] = [f"B-{span.label}"] + [f"I-{span.label}"] * (span.end - span.start - 1)
    return tags


def is_iob2(tags: Sequence[str]) -> bool:
    """Tell whether B- opens a span here that IOB1 would open with I-."""
    return any(tag.startswith("B-") and split_tag(before)[1] != tag[2:] for before, tag in _with_previous(tags))


def is_prefixed(tag: str) -> bool:
    """Tell a tag of a scheme from a bare name."""
    return tag.partition("-")[0] in PREFIXES and "-" in tag


def broken(tags: Sequence[str]) -> list[int]:
    """Return the places of I-, E- and the like where nothing of their label is open: after O, another's, or an end."""
    return [
        index
        for index, (before, tag) in enumerate(_with_previous(tags))
        if is_prefixed(tag) and split_tag(tag)[0] in ("I", "E") and not _goes_on(before, split_tag(tag)[1])
    ]


def _goes_on(before: str, label: str) -> bool:
    prefix, open_label = split_tag(before)
    return open_label == label and prefix in ("B", "I")


def _with_previous(tags: Sequence[str]) -> Iterable[tuple[str, str]]:
    return zip([OUTSIDE, *tags], tags, strict=False)

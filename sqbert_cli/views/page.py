"""Entities as one HTML page, which needs no script and nothing from elsewhere."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from html import escape

from sqbert_cli.records import Entities, Found

HUES = (250, 70, 150, 345, 295, 195, 25, 115)
"""Degrees of OKLCH, where one lightness is equally light in every hue; neighbours in the list are far apart."""

FORBIDDEN = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters that HTML does not allow, and what UTF-8 cannot encode."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fdfdfc; --ink: #1f2328; --quiet: #5c636d; --line: #e4e5e7;
  --tint: 92% 0.06; --edge: 72% 0.13; --deep: 40% 0.13;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #16181c; --ink: #e3e5e8; --quiet: #9aa1ab; --line: #2d3138;
    --tint: 34% 0.07; --edge: 62% 0.12; --deep: 86% 0.09;
  }
}
body {
  display: flex; flex-direction: column; box-sizing: border-box;
  max-width: 75ch; margin: 0 auto; padding: clamp(1.25rem, 5vw, 3.5rem) clamp(1rem, 4vw, 2rem);
  background: var(--page); color: var(--ink);
  font: 1.0625rem/1.85 system-ui, sans-serif; overflow-wrap: anywhere;
}
h1 { margin: 0; font-size: 1.75rem; line-height: 1.25; letter-spacing: -0.015em; text-wrap: balance; }
h2 { margin: 0 0 0.25rem; font-size: 0.8125rem; font-weight: 500; color: var(--quiet); }
main { order: 1; }
article { padding: 1.5rem 0; border-top: 1px solid var(--line); }
article p { margin: 0; white-space: pre-wrap; }
section { padding: 0.5rem 0 1.75rem; color: var(--quiet); font-variant-numeric: tabular-nums; }
section p { margin: 0; }
ul { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; margin: 0.75rem 0 0; padding: 0; list-style: none; }
mark {
  margin: 0 0.06em; padding: 0.12em 0.3em 0.06em; border-radius: 0.25em;
  background: oklch(var(--tint) var(--hue)); color: inherit;
  border-bottom: 0.1em solid oklch(var(--edge) var(--hue));
  -webkit-box-decoration-break: clone; box-decoration-break: clone;
  -webkit-print-color-adjust: exact; print-color-adjust: exact;
}
article mark { padding-inline-end: 0; }
li mark { margin-inline-end: 0.4em; padding-inline: 0.5em; font-size: 0.75em; }
mark small, li mark { font-weight: 650; letter-spacing: 0.03em; color: oklch(var(--deep) var(--hue)); }
mark small { font-size: 0.6875em; word-spacing: 0.1em; -webkit-user-select: none; user-select: none; }
@media print {
  :root { color-scheme: light; --page: #fff; }
  body { max-width: none; padding: 0; font-size: 11pt; }
  h2 { break-after: avoid; }
}
"""


def page(results: Iterable[Entities], title: str) -> Iterator[str]:
    """Yield a self-contained HTML page piece by piece: its head, each text as it comes, and the legend.

    The legend counts all that came, so it stands last in the file; the style shows it above the texts.
    """
    yield _head(_safe(title))
    texts, labels = 0, Counter[str]()
    for result in results:
        texts += 1
        labels.update(entity.label for entity in result.entities)
        yield _article(result, _hues(labels))
    yield f"</main>\n<section>\n{_legend(texts, labels)}</section>\n</body>\n</html>\n"


def _head(title: str) -> str:
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>{STYLE}</style>
</head>
<body>
<h1 dir="auto">{title}</h1>
<main>
"""


def _hues(labels: Iterable[str]) -> Mapping[str, int]:
    """Labels have their hues in the order in which they first came, and share them when there are many."""
    return {label: HUES[index % len(HUES)] for index, label in enumerate(labels)}


def _article(result: Entities, hues: Mapping[str, int]) -> str:
    text, end = result.record.text, 0
    pieces: list[str] = []
    for entity in result.entities:
        pieces += _safe(text[end : entity.start]), _mark(text, entity, hues[entity.label])
        end = entity.end
    source = f"<h2>{_safe(result.record.source)}</h2>\n" if result.record.source else ""
    # The language of a text is not known, so it is not the page's.
    return f'<article>\n{source}<p lang="" dir="auto">{"".join(pieces)}{_safe(text[end:])}</p>\n</article>\n'


def _mark(text: str, entity: Found, hue: int) -> str:
    label = _safe(entity.label)
    # With a direction of its own, the label has no say in that of the text.
    tag = f'<small dir="auto">&nbsp;{label}&nbsp;</small>'
    words = _safe(text[entity.start : entity.end])
    return f'<mark style="--hue: {hue}" title="{label} {entity.score:.3f}">{words}{tag}</mark>'


def _legend(texts: int, labels: Counter[str]) -> str:
    if not texts:
        return "<p>There were no texts.</p>\n"
    hues = _hues(labels)
    items = "".join(
        f'<li><mark style="--hue: {hues[label]}"><bdi>{_safe(label)}</bdi></mark> {count:,}</li>\n'
        for label, count in labels.most_common()
    )
    total = f"{_count(texts, 'text', 'texts')}, {_count(labels.total(), 'entity', 'entities')}"
    return f"<p>{total}</p>\n" + (f"<ul>\n{items}</ul>\n" if items else "")


def _count(number: int, one: str, many: str) -> str:
    return f"{number:,} {one if number == 1 else many}"


def _safe(text: str) -> str:
    """Escape for text and attributes; a parser would take a bare `\\r` for a line end."""
    return escape(FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)).replace("\r", "&#13;")

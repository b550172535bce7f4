"""The HTML page: every text is whole in it, whatever it holds, and nothing in it acts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqbert_cli.records import Entities, Found, Record
from sqbert_cli.views.page import FORBIDDEN, HUES, page

HOSTILE = '</mark></p></title></style><script src="//x">alert(1)</script><!-- &lt; " onclick=\'x\''
TAGS = {"html", "head", "meta", "title", "style", "body", "h1", "main", "article", "h2", "p", "mark", "small",
        "section", "ul", "li", "bdi"}  # fmt: skip


class Page(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self, *results: Entities, title: str = "news.txt") -> None:
        super().__init__()
        self.html = "".join(page(results, title))
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.said: list[tuple[str, str]] = []
        """The path of each piece of text, as `article p mark`, and the text."""
        self.feed(self.html.replace("\r\n", "\n").replace("\r", "\n"))  # as the standard begins
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)
        if tag == "p":
            self.said.append((self.path, ""))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said.append((self.path, data))

    @property
    def path(self) -> str:
        return " ".join(self.open).removeprefix("html body ").removeprefix("main ")

    def all(self, path: str) -> str:
        return "".join(text for where, text in self.said if where == path)

    @property
    def text(self) -> str:
        """Of all articles, without labels."""
        return "".join(text for where, text in self.said if where in ("article p", "article p mark"))


def result(text: str, *spans: tuple[int, int, str], source: str = "") -> Entities:
    return Entities(
        Record(text, source=source),
        tuple(Found(text[start:end], start, end, 0.9979, label) for start, end, label in spans),
    )


ANN = result("Ann saw Rome.", (0, 3, "PER"), (8, 12, "LOC"), source="news.txt:1")
anything = st.text(st.characters(exclude_categories=[]) | st.sampled_from("\r\n\t<>&\"' \0"))


@st.composite
def results(draw: st.DrawFn) -> Entities:
    text = draw(anything)
    ends = sorted(draw(st.sets(st.integers(0, len(text)), max_size=6)))
    spans = [(start, end, draw(anything)) for start, end in zip(ends[::2], ends[1::2], strict=False)]
    return result(text, *spans, source=draw(anything))


def test_entities_are_marked_with_label_and_score() -> None:
    seen = Page(ANN)
    assert seen.all("article p mark") == "AnnRome"
    assert seen.all("article p mark small").split() == ["PER", "LOC"]
    assert ("title", "PER 0.998") in seen.attributes
    assert seen.all("article h2") == "news.txt:1"


@given(results())
def test_every_text_is_whole_without_its_labels(one: Entities) -> None:
    seen = Page(one)
    assert seen.text == FORBIDDEN.sub("\ufffd", one.record.text)
    assert seen.html.encode()


@given(results())
def test_nothing_acts_or_closes_what_it_did_not_open(one: Entities) -> None:
    seen = Page(one, title=one.record.text)
    assert seen.open == []
    assert seen.tags <= TAGS
    assert not FORBIDDEN.search(seen.html)


def test_hostile_words_are_inert() -> None:
    seen = Page(result(HOSTILE, (3, 30, HOSTILE), source=HOSTILE), title=HOSTILE)
    assert seen.tags <= TAGS
    assert seen.text == seen.all("article h2") == seen.all("h1") == HOSTILE
    assert seen.all("article p mark small").strip() == seen.all("section ul li mark bdi") == HOSTILE
    assert ("title", f"{HOSTILE} 0.998") in seen.attributes
    assert {name for name, _ in seen.attributes}.isdisjoint({"src", "href", "onclick"})


def test_nothing_comes_from_elsewhere() -> None:
    assert not re.search(r"<script|https?:|url\(|@import|src=|href=|<link", Page(ANN).html)


def test_a_text_without_entities_is_plain() -> None:
    seen = Page(result("No one.\n\n  Nowhere."))
    assert seen.text == "No one.\n\n  Nowhere."
    assert "mark" not in seen.tags
    assert seen.all("section p") == "1 text, 0 entities"


def test_control_characters_and_lone_surrogates_are_replaced() -> None:
    assert Page(result("a\0\x1b\x85\ud800\t\r\n\r")).text == "a\ufffd\ufffd\ufffd\ufffd\t\r\n\r"


def test_it_yields_each_text_before_it_reads_the_next() -> None:
    read: list[Entities] = []

    def stream() -> Iterator[Entities]:
        for one in (ANN, result("Two.")):
            read.append(one)
            yield one

    pieces = page(stream(), "news.txt")
    assert next(pieces).startswith("<!doctype html>")
    assert not read
    assert "Rome" in next(pieces)
    assert len(read) == 1
    assert "Two." in next(pieces)
    assert next(pieces).endswith("</html>\n")


def test_the_legend_counts_labels_most_frequent_first() -> None:
    seen = Page(ANN, result("Oslo", (0, 4, "LOC")))
    assert seen.all("section p") == "2 texts, 3 entities"
    assert seen.all("section ul li mark bdi") == "LOCPER"
    assert seen.all("section ul li").split() == ["2", "1"]


@pytest.mark.parametrize("count", [1, len(HUES), len(HUES) + 1])
def test_a_label_keeps_its_hue_and_hues_are_used_in_turn(count: int) -> None:
    spans = [(index, index + 1, f"L{index}") for index in range(count)]
    styles = [value for name, value in Page(result("x" * count, *spans)).attributes if name == "style"]
    assert styles[:count] == styles[count:]
    assert len(set(styles)) == min(count, len(HUES))


def test_no_texts_at_all() -> None:
    seen = Page()
    assert seen.all("section p") == "There were no texts."
    assert seen.all("h1") == "news.txt"
    assert seen.open == []

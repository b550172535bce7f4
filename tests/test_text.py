"""Windows cover every token once; chunks and batches lose nothing and keep the order."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from threading import Semaphore

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sqbert_cli.errors import SqbertError
from sqbert_cli.predict.rows import in_batches
from sqbert_cli.records import BadRecord, Record
from sqbert_cli.text.batches import token_batches
from sqbert_cli.text.chunks import FIRST_CHUNK, MAX_CHARACTERS, MAX_RECORDS, chunks, live_chunks
from sqbert_cli.text.tokenizer import Tokenizer, Window, parts_for, split

IDS = st.lists(st.integers(5, 99), max_size=300)
ITEMS = st.lists(
    st.one_of(st.builds(Record, text=st.text()), st.builds(BadRecord, source=st.text(), reason=st.just("bad")))
)


@pytest.fixture(scope="module")
def tokenizer(vocabulary: Path) -> Tokenizer:
    return Tokenizer.read(vocabulary)


@given(IDS, st.integers(1, 50))
def test_parts_join_to_the_whole_and_are_about_equal(ids: list[int], size: int) -> None:
    parts = split(ids, parts_for(len(ids), size))
    assert list(chain(*parts)) == ids
    assert all(len(part) <= size for part in parts)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@given(ids=IDS, max_length=st.integers(3, 64))
def test_windows_cover_every_token_once(tokenizer: Tokenizer, ids: list[int], max_length: int) -> None:
    windows = tokenizer.windows(ids, None, max_length)
    assert all(len(window.input_ids) <= max_length for window in windows)
    assert all(set(window.token_type_ids) == {0} for window in windows)
    ends = [(window.input_ids[0], window.input_ids[-1]) for window in windows]
    assert set(ends) == {(tokenizer.cls_id, tokenizer.sep_id)}
    assert list(chain(*(window.input_ids[1:-1] for window in windows))) == ids


@given(length=st.integers(0, 300), pair_length=st.integers(0, 300), max_length=st.integers(8, 64))
def test_windows_of_a_pair_hold_every_token_of_both_and_are_as_many_as_needed(
    tokenizer: Tokenizer, length: int, pair_length: int, max_length: int
) -> None:
    ids, pair_ids = range(5, 5 + length), range(1000, 1000 + pair_length)
    seen: set[int] = set()
    windows = tokenizer.windows(list(ids), list(pair_ids), max_length)
    for window in windows:
        assert len(window.input_ids) <= max_length
        border = window.token_type_ids.index(1)
        first, second = window.input_ids[1 : border - 1], window.input_ids[border:-1]
        assert first in [list(ids[start : start + len(first)]) for start in range(length + 1)]
        assert second in [list(pair_ids[start : start + len(second)]) for start in range(pair_length + 1)]
        seen.update(first, second)
    assert seen == {*ids, *pair_ids}
    assert len(windows) <= 1 + 3 * (length + pair_length) / (max_length - 3)


def test_a_short_question_stays_whole_beside_a_long_text(tokenizer: Tokenizer) -> None:
    windows = tokenizer.windows([7] * 10, list(range(20, 90)), 32)
    assert all(window.input_ids[:12] == [tokenizer.cls_id, *[7] * 10, tokenizer.sep_id] for window in windows)
    assert list(chain(*(window.input_ids[12:-1] for window in windows))) == list(range(20, 90))


@given(st.text(st.characters(codec="utf-8")))
def test_any_unicode_text_is_encoded_to_known_ids(tokenizer: Tokenizer, text: str) -> None:
    (ids,) = tokenizer.encode([text])
    assert all(0 <= number < tokenizer.vocab_size for number in ids)


def test_a_folder_without_a_tokenizer_says_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(SqbertError, match="no tokenizer"):
        Tokenizer.read(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(SqbertError, match=r"tokenizer\.json` is not a tokenizer"):
        Tokenizer.read(tmp_path)


@given(st.lists(st.integers(1, 600), max_size=200), st.integers(1, 2048))
def test_batches_hold_every_row_once_and_at_most_the_tokens(lengths: list[int], max_tokens: int) -> None:
    batches = list(token_batches(lengths, max_tokens))
    assert sorted(chain(*batches)) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[row] for row in batch) <= max_tokens


@given(lengths=st.lists(st.integers(3, 600), min_size=1, max_size=60), fits=st.integers(600, 2_000))
def test_a_batch_too_large_for_a_gpu_is_halved_and_nothing_lost(lengths: list[int], fits: int) -> None:
    windows = [Window(list(range(length)), [0] * length) for length in lengths]
    failed: list[int] = []

    def compute(some: list[Window]) -> list[torch.Tensor]:
        if len(some) * max(len(window.input_ids) for window in some) > fits:
            failed.append(len(some))
            raise torch.OutOfMemoryError
        return [torch.tensor([len(window.input_ids)]) for window in some]

    assert [int(row) for row in in_batches(windows, 16_384, compute)] == lengths
    assert len(failed) <= 5  # from 16,384 to 600; then all are small enough
    with pytest.raises(SqbertError, match="2001 tokens do not fit") as caught:
        in_batches([*windows, Window([0] * 2_001, [0] * 2_001)], 16_384, compute)
    assert "--device cpu" in str(caught.value.hint)


@given(ITEMS)
def test_chunks_keep_everything_in_order(items: list[Record | BadRecord]) -> None:
    assert list(chain(*chunks(items))) == items
    assert list(chain(*live_chunks(items))) == items


@pytest.mark.parametrize("cut", [chunks, live_chunks])
def test_what_was_read_before_reading_breaks_off_comes_first(cut: Callable[..., Iterator[list[Record]]]) -> None:
    def items() -> Iterator[Record]:
        yield from map(Record, "abc")
        raise SqbertError("the file is damaged")

    given, found = cut(items()), list[Record]()
    while len(found) < 3:
        found += next(given)
    assert [record.text for record in found] == ["a", "b", "c"]
    with pytest.raises(SqbertError, match="damaged"):
        next(given)


def test_chunks_are_bounded_in_records_and_characters() -> None:
    sizes = [len(chunk) for chunk in chunks(Record("a") for _ in range(5000))]
    assert sizes[0] == FIRST_CHUNK
    assert max(sizes) == MAX_RECORDS
    long = Record("a" * MAX_CHARACTERS)
    assert [len(chunk) for chunk in chunks([long, long, long])] == [1, 1, 1]


@pytest.mark.parametrize("cut", [chunks, live_chunks])
def test_large_fields_count_too(cut: Callable[..., Iterator[list[Record]]]) -> None:
    records = (Record("a", fields={"text": "a", "page": "x" * 400_000, "more": ["y" * 300_000]}) for _ in range(20))
    sizes = [len(chunk) for chunk in cut(records)]
    assert sum(sizes) == 20
    assert max(sizes) <= 2


def test_live_chunks_do_not_wait_for_more() -> None:
    taken = Semaphore(0)

    def slowly() -> Iterator[Record]:
        for number in range(3):
            yield Record(str(number))
            taken.acquire(timeout=10)

    found = []
    for chunk in live_chunks(slowly()):
        found.append([record.text for record in chunk])
        taken.release()
    assert found == [["0"], ["1"], ["2"]]


def test_an_error_while_reading_comes_after_what_was_read() -> None:
    def breaking() -> Iterator[Record]:
        yield Record("whole")
        raise SqbertError("the file is damaged")

    stream = chain.from_iterable(live_chunks(breaking()))
    assert next(stream) == Record("whole")
    with pytest.raises(SqbertError, match="damaged"):
        next(stream)

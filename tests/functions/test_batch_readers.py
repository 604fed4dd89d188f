"""How the lines and rows of a batch's file are told apart while it streams by."""

from __future__ import annotations

import importlib
import sys
import time
import tracemalloc
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.functions.stand_ins import ROOT, function

LONGEST = 1_000_000
# Quotes, commas and line ends are what reading can go wrong on.
CSV_TEXTS = st.text(st.sampled_from('a"é,\r\n'), max_size=40)


@pytest.fixture(scope="module")
def rows() -> Iterator[ModuleType]:
    with function("batch"):
        yield importlib.import_module("rows")


@pytest.fixture(scope="module")
def lines() -> Iterator[ModuleType]:
    with function("batch"):
        yield importlib.import_module("lines")


@pytest.fixture(scope="module")
def served() -> Any:
    """The serving code's own reader of CSV."""
    folder = str(ROOT / "inference")
    sys.path.insert(0, folder)
    try:
        return importlib.import_module("wire.csv_rows").read_rows
    finally:
        sys.path.remove(folder)


def cut(content: bytes, size: int) -> list[bytes]:
    return [content[at : at + size] for at in range(0, len(content), size)]


@settings(max_examples=300, deadline=None)
@given(content=st.binary(max_size=60), size=st.integers(1, 7), longest=st.integers(0, 9))
def test_lines_are_those_between_line_feeds(lines, content, size, longest):
    found = list(lines.read(cut(content, size), longest=longest))
    expected = content.split(b"\n")
    expected = expected if expected[-1] else expected[:-1]
    assert [length for _, length in found] == [len(line) for line in expected]
    assert [line for line, _ in found] == [
        line if len(line) <= longest else b"" for line in expected
    ]


@settings(max_examples=400, deadline=None)
@given(text=CSV_TEXTS, size=st.integers(1, 9))
def test_rows_are_those_that_the_serving_code_reads(rows, served, text, size):
    found = [
        (row.line, row.text if isinstance(row.text, str) else type(row.text).__name__)
        for row in rows.read(cut(text.encode(), size), longest=LONGEST)
    ]
    assert found == [
        (line, row if isinstance(row, str) else "BadRowError") for line, row in served(text)
    ]


@settings(max_examples=300, deadline=None)
@given(text=CSV_TEXTS, size=st.integers(1, 9), longest=st.integers(1, 12))
def test_no_row_is_lost_or_read_twice_whatever_the_longest(rows, text, size, longest):
    content = text.encode()
    found = list(rows.read(cut(content, size), longest=longest))
    assert sum(row.size for row in found) == len(content)
    numbers = [row.line for row in found]
    assert numbers == sorted(set(numbers))
    assert all(len(row.text) <= longest for row in found if isinstance(row.text, str))


@settings(max_examples=200, deadline=None)
@given(text=CSV_TEXTS, longest=st.integers(3, 50))
def test_rows_go_on_where_they_were_left(rows, text, longest):
    content = text.encode()
    whole = list(rows.read([content], longest=longest))
    for at in range(len(whole)):
        size = sum(row.size for row in whole[:at])
        line = whole[at].line
        rest = list(rows.read([content[size:]], longest=longest, line=line))
        assert [(r.line, str(r.text)) for r in rest] == [(r.line, str(r.text)) for r in whole[at:]]


def test_a_quote_that_is_never_closed_costs_one_line_and_no_memory(rows):
    def chunks() -> Iterator[bytes]:
        yield b'fine\n"never closed\n'
        for _ in range(40):
            yield (b"x" * 999 + b"\n") * 1_000

    tracemalloc.start()
    bad = [
        row.line for row in rows.read(chunks(), longest=100_000) if not isinstance(row.text, str)
    ]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bad == [2]
    assert peak < 8_000_000, "of 40 MB"


def test_a_line_without_an_end_costs_no_memory(lines, rows):
    tracemalloc.start()
    endless = [b"x" * 1_000_000] * 50
    found = list(lines.read([*endless, b"\nlast"], longest=100_000))
    assert found == [(b"", 50_000_000), (b"last", 4)]
    [long, last] = rows.read([*endless, b"\r\nlast"], longest=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (long.size, last.text, last.line) == (50_000_002, "last", 2)
    assert peak < 8_000_000


def test_a_row_that_is_no_text_is_refused_alone(rows):
    found = list(rows.read([b"late\ncaf\xe9\nrefund\n"], longest=LONGEST))
    assert [str(row.text) for row in found] == ["late", "not valid utf-8", "refund"]


def test_many_short_rows_are_read_fast(rows):
    content = b'"a text, with a comma",\n"another ""quoted"" one"\nplain\n' * 100_000
    started = time.perf_counter()
    count = sum(1 for _ in rows.read(cut(content, 1 << 20), longest=LONGEST))
    assert count == 300_000
    assert time.perf_counter() - started < 10

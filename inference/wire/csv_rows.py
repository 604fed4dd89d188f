"""Reads CSV of one column without a header: RFC 4180, and whole again after a broken quote."""

import re
from collections.abc import Iterator

from fault import Fault

_LINE_END = re.compile(r"\r\n|\r|\n")
_FIELD_END = re.compile(r"[,\r\n]")
_EMPTY = 'an empty line: write "" for an empty text'


class _BrokenQuote(Exception):
    """The row is no CSV; its text says why."""


def read_rows(text: str) -> Iterator[tuple[int, str | Fault]]:
    """Yield each row's line number, from 1, with its one field or what is wrong with it.

    A quoted field may span lines. Where its quotes are broken, only the line on which the row
    starts is lost. What is read twice for that is bounded: a quote that opens a field for the
    broken row closes one for the next, so no text is read by more than two broken rows.
    """
    start, line = 0, 1
    while start < len(text):
        try:
            fields, end = _fields(text, start)
            row = _only(fields) if end > start else Fault("invalid_csv", _EMPTY)
        except _BrokenQuote as error:
            end = _line_end(text, start)
            row = Fault("invalid_csv", f"{error}: quote the text, and double the quotes in it")
        yield line, row
        after = _LINE_END.match(text, end)
        line += len(_LINE_END.findall(text, start, end)) + 1
        start = after.end() if after else end


def _only(fields: list[str]) -> str | Fault:
    if len(fields) > 1:
        return Fault(
            "invalid_csv", f"one column is read, got {len(fields)}: put the text in quotes"
        )
    return fields[0]


def _fields(text: str, start: int) -> tuple[list[str], int]:
    """The fields of the row at `start`, and where its line ends."""
    fields: list[str] = []
    literal = False
    while True:
        if text.startswith('"', start):
            end = _closing_quote(text, start + 1)
            fields.append(text[start + 1 : end].replace('""', '"'))
            end += 1
        else:
            found = _FIELD_END.search(text, start)
            end = found.start() if found else len(text)
            fields.append(text[start:end])
            literal = literal or '"' in fields[-1]
        if end < len(text) and text[end] not in ",\r\n":
            raise _BrokenQuote("text follows a closing quote")
        # Harmless in a line that is one field; beside others it may be a quote gone wrong.
        if literal and len(fields) + text.startswith(",", end) > 1:
            raise _BrokenQuote("a field that is not quoted holds a quote")
        if not text.startswith(",", end):
            return fields, end
        start = end + 1


def _closing_quote(text: str, start: int) -> int:
    found = text.find('"', start)
    while text.startswith('""', found) and found >= 0:
        found = text.find('"', found + 2)
    if found < 0:
        raise _BrokenQuote("a quote is never closed")
    return found


def _line_end(text: str, start: int) -> int:
    found = _LINE_END.search(text, start)
    return found.start() if found else len(text)

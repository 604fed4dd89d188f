"""Reads a stream of CSV row by row: one column, no header, RFC 4180, as the serving code reads it.

A quoted field may span lines. Where its quotes are broken, only the line on which the row starts is
lost. No row may be longer than a limit, so a quote that is never closed costs no memory.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_LINE_END = re.compile(r"\r\n|\r|\n")
_FIELD_END = re.compile(r"[,\r\n]")


class BadRowError(Exception):
    """A row that holds no text to ask about; its text says why."""


@dataclass(frozen=True)
class Row:
    """One row: its text or what is wrong with it, the line it starts on, what it took to read."""

    line: int
    text: str | BadRowError
    lines: int
    """How many lines it takes."""
    size: int
    """Bytes, with the line end after it."""


class _BrokenQuoteError(Exception):
    pass


def read(chunks: Iterable[bytes], *, longest: int, line: int = 1) -> Iterator[Row]:
    """Yield the rows of UTF-8 text whose first line has the number `line`."""
    window = _Window(chunks, longest + 4)
    while window.has_more():
        text, start = window.text, window.start
        row: str | BadRowError
        try:
            fields, end = _fields(text, start, start + longest)
            row = _only(fields) if end > start else _empty()
        except _BrokenQuoteError as error:
            end = _line_end(text, start)
            row = BadRowError(f"{error}: quote the text, and double the quotes in it")
        if len(text) - end < 2 and not window.is_last:
            # Longer than any row may be, and its end is not in sight.
            yield Row(line, _too_long(longest), 1, window.pass_line())
            line += 1
            continue
        if end - start > longest:
            row = _too_long(longest)
        after = _LINE_END.match(text, end)
        window.start = after.end() if after else end
        ends = len(_LINE_END.findall(text, start, end)) + 1
        yield Row(line, _checked(row), ends, _bytes(text[start : window.start]))
        line += ends


class _Window:
    """The part of the text that is being read, decoded as it comes."""

    def __init__(self, chunks: Iterable[bytes], size: int) -> None:
        self.text, self.start = "", 0
        self.is_last = False
        self._size = size
        # Bytes that are no text become surrogates, to be found row by row.
        self._decoded = codecs.iterdecode(chunks, "utf-8", "surrogateescape")

    def has_more(self) -> bool:
        """Whether a row begins here; if so, the window holds the longest row that there may be."""
        if len(self.text) - self.start < self._size and not self.is_last:
            parts = [self.text[self.start :]]
            held = len(parts[0])
            # Twice as much, so that what is left over is seldom moved.
            while held < 2 * self._size and not self.is_last:
                more = next(self._decoded, None)
                self.is_last = more is None
                parts.append(more or "")
                held += len(parts[-1])
            self.text, self.start = "".join(parts), 0
        return self.start < len(self.text)

    def pass_line(self) -> int:
        """Go behind the next line end, however far it is; returns the bytes that were passed."""
        passed = 0
        while True:
            found = _LINE_END.search(self.text, self.start)
            # The next character decides whether a line end is whole.
            if found and (found.end() < len(self.text) or self.is_last):
                stop, over = found.end(), True
            else:
                stop, over = len(self.text) - (0 if self.is_last else 1), self.is_last
            passed += _bytes(self.text[self.start : stop])
            self.start = stop
            if over:
                return passed
            self.has_more()


def _too_long(longest: int) -> BadRowError:
    return BadRowError(f"longer than {longest} characters")


def _empty() -> BadRowError:
    return BadRowError('an empty line: write "" for an empty text')


def _only(fields: list[str]) -> str | BadRowError:
    if len(fields) > 1:
        return BadRowError(f"one column is read, got {len(fields)}: put the text in quotes")
    return fields[0]


def _checked(row: str | BadRowError) -> str | BadRowError:
    if isinstance(row, str) and not row.isascii():
        try:
            row.encode("utf-8")
        except UnicodeEncodeError:
            return BadRowError("not valid utf-8")
    return row


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def _fields(text: str, start: int, limit: int) -> tuple[list[str], int]:
    """The fields of the row at `start`, and where its line ends."""
    fields: list[str] = []
    literal = False
    while True:
        if text.startswith('"', start):
            end = _closing_quote(text, start + 1, limit)
            fields.append(text[start + 1 : end].replace('""', '"'))
            end += 1
        else:
            found = _FIELD_END.search(text, start)
            end = found.start() if found else len(text)
            fields.append(text[start:end])
            literal = literal or '"' in fields[-1]
        if end < len(text) and text[end] not in ",\r\n":
            raise _BrokenQuoteError("text follows a closing quote")
        # Harmless in a line that is one field; beside others it may be a quote gone wrong.
        if literal and len(fields) + text.startswith(",", end) > 1:
            raise _BrokenQuoteError("a field that is not quoted holds a quote")
        if not text.startswith(",", end):
            return fields, end
        start = end + 1


def _closing_quote(text: str, start: int, limit: int) -> int:
    found = text.find('"', start, limit + 1)
    while found >= 0 and text.startswith('""', found):
        found = text.find('"', found + 2, limit + 1)
    if found < 0:
        raise _BrokenQuoteError("a quote is never closed")
    return found


def _line_end(text: str, start: int) -> int:
    found = _LINE_END.search(text, start)
    return found.start() if found else len(text)

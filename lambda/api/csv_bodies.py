"""Reads CSV without a header: a text a row, or a pair of texts; RFC 4180, as batches read it."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import islice
from typing import Any

from problems import Problem


def read(body: bytes, *, pairs: bool, most: int) -> list[Any]:
    """The inputs that the rows stand for, one more than `most` at most; raises a 400 problem."""
    inputs: list[Any] = []
    columns = 0
    for place, row in islice(_rows(body), most + 1):
        columns = columns or len(row)
        if wrong := _fault(row, columns, pairs=pairs):
            raise Problem("malformed-body", f"{place}: {wrong}")
        inputs.append(row[0] if columns == 1 else {"text": row[0], "text_pair": row[1]})
    if not inputs:
        raise Problem("malformed-body", "the body is empty")
    return inputs


def _rows(body: bytes) -> Iterator[tuple[str, list[str]]]:
    """Each row, and where it is: its number and that of the line on which it starts, from 1."""
    # A field may be as long as the body; the limit is the module's own.
    csv.field_size_limit(max(csv.field_size_limit(), len(body)))
    # Bytes that are no text become surrogates, to be found in their row.
    text = io.StringIO(body.decode("utf-8-sig", "surrogateescape"), newline="")
    reader = csv.reader(text, strict=True)
    number, line = 1, 1
    while True:
        place = f"row {number} (line {line})"
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            is_open = "end of data" in str(error)
            wrong = "a quote is never closed" if is_open else "text follows a closing quote"
            words = f"{place}: {wrong}: quote the text, and double the quotes in it"
            raise Problem("malformed-body", words) from error
        yield place, row
        number, line = number + 1, reader.line_num + 1


def _fault(row: list[str], columns: int, *, pairs: bool) -> str | None:
    """What is wrong with a row of a body whose first row has so many columns."""
    if not row:
        return 'an empty line: write "" for an empty text'
    most = 2 if pairs else 1
    if len(row) > most:
        read = "one column is read, or two for pairs of texts" if pairs else "one column is read"
        return f"{read}, got {len(row)}: put the text in quotes"
    if len(row) != columns:
        return f"columns: {len(row)}, in the first row {columns}: put a text with commas in quotes"
    text = "".join(row)
    if "\0" in text:
        return "holds a NUL character: send UTF-8"
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "not valid UTF-8"
    return None

"""Reads JSON lines, and JSON documents that are an array, one object at a time."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path

from rows import Columns, DataError, Row, listed, read_row
from rows_text import RECORD_CHARACTERS, bounded_lines, open_text

CHUNK = 1 << 16
SPACE = " \t\r\n"


def read_json(
    path: Path, name: str, columns: Columns, digest: "hashlib._Hash"
) -> Iterator[tuple[int, Row | str]]:
    """Yield (line or element, row) or (line or element, why there is none)."""
    for number, record in objects(path, name, digest):
        if isinstance(record, str):
            yield number, record
            continue
        fields = columns.fields(record)
        missing = [field for field in fields.all if field not in record]
        if missing:
            yield number, f"no field '{missing[0]}', found {listed(record)}"
            continue
        yield number, read_row(record, fields, columns)


def is_array(path: Path) -> bool:
    """Whether the file is one JSON array, whose rows are counted by element and not by line."""
    if path.suffix.lower() != ".json":
        return False
    with open_text(path, newline="\n") as file:
        return file.read(CHUNK).lstrip().startswith("[")


def objects(
    path: Path, name: str, digest: "hashlib._Hash | None" = None
) -> Iterator[tuple[int, dict[str, object] | str]]:
    """Yield (line or element, object), or (line or element, why it is none)."""
    array = is_array(path)
    # Only a line feed ends a line here: U+2028 and its like may stand inside a string.
    with open_text(path, digest, newline="\n") as file:
        for number, value in _elements(file, name) if array else _lines(file):
            if isinstance(value, dict | str) and not (array and isinstance(value, str)):
                yield number, value
            else:
                yield number, "not a JSON object" + ("" if array else " on one line")


def _lines(file: io.TextIOBase) -> Iterator[tuple[int, object]]:
    """Yield (line, value); text stands for what is not an object."""
    for number, line in enumerate(bounded_lines(file), start=1):
        if line is None:
            yield number, f"a line of more than {RECORD_CHARACTERS:,} characters"
            continue
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        yield number, value if isinstance(value, dict) else None


def _elements(file: io.TextIOBase, name: str) -> Iterator[tuple[int, object]]:
    """Yield (number, element) of an array; raises DataError where the array itself is broken."""
    decoder = json.JSONDecoder()
    text = file.read(CHUNK)
    at = _skip(text, 0) + 1
    lines = number = 0
    final = False
    while True:
        problem, where = "", at
        at = _skip(text, at)
        if number == 0 and text[at : at + 1] == "]":
            end = at
            break
        try:
            value, end = decoder.raw_decode(text, at)
            end = _skip(text, end)
        except json.JSONDecodeError as error:
            end = len(text)
            problem, where = error.msg, error.pos
        except RecursionError:
            raise _broken(
                name, number, lines + text.count("\n", 0, at), "nested too deep"
            ) from None
        # What ends with the buffer may go on in the file, even a whole number.
        if end == len(text):
            if final or len(text) - at > RECORD_CHARACTERS:
                if not final:
                    problem = f"an element of more than {RECORD_CHARACTERS:,} characters {problem}"
                elif not problem or where >= len(text):
                    problem = "the file ends before the array does"
                raise _broken(name, number, lines + text.count("\n", 0, where), problem)
            more = file.read(max(CHUNK, len(text) - at))
            final = not more
            lines += text.count("\n", 0, at)
            text, at = text[at:] + more, 0
            continue
        if text[end] not in ",]":
            problem = f"'{text[end]}' after an element"
            raise _broken(name, number, lines + text.count("\n", 0, end), problem)
        number += 1
        yield number, value
        if text[end] == "]":
            break
        at = end + 1
    rest = text[end + 1 :]
    while rest:
        if rest.strip():
            raise DataError(
                f"{name}: there is more after the array's end, element {number}: keep one array in "
                "a file, or write one object a line"
            )
        rest = file.read(CHUNK)


def _broken(name: str, elements: int, line_feeds: int, problem: str) -> DataError:
    return DataError(
        f"{name} element {elements + 1} (line {line_feeds + 1}): not a JSON array any more "
        f"({problem}): mend the file, or write one object a line so that a bad one costs no other"
    )


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in SPACE:
        at += 1
    return at

"""Reads CSV and TSV files record by record, with a header or without."""

import csv
import hashlib
import io
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from rows import Columns, DataError, Fields, Row, listed, read_row
from rows_text import RECORD_CHARACTERS, bounded_lines, open_text

DELIMITERS = {".csv": ",", ".tsv": "\t"}
TOO_LONG = f"more than {RECORD_CHARACTERS:,} characters"
POSITIONS = (
    "with a text column given by its position, counted from 0, every other column is a position too"
)
NAMES_OR_POSITIONS = (
    "set the text and the label column to names that are there, or to positions (0, 1, …) in a "
    "file without a header"
)


class _TooLong(Exception):
    """A record that did not end where a record must have ended."""


class _Lines:
    """Lines for a csv reader, which can be put back but for the first line of the record."""

    def __init__(self, lines: Iterable[str | None]) -> None:
        self._source = iter(lines)
        self._again: deque[str | None] = deque()
        self._size = 0
        self.taken: list[str | None] = []
        self.number = 1

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._source)
        self.taken.append(line)
        if line is None:
            raise _TooLong
        self._size += len(line)
        if self._size > RECORD_CHARACTERS:
            raise _TooLong
        return line

    def next_record(self, lines_used: int | None = None) -> None:
        """Go on after the lines taken, or after the first few of them."""
        used = len(self.taken) if lines_used is None else lines_used
        self._again.extendleft(reversed(self.taken[used:]))
        self.number += used
        self.taken.clear()
        self._size = 0


def read_delimited(
    path: Path, name: str, columns: Columns, digest: "hashlib._Hash"
) -> Iterator[tuple[int, Row | str]]:
    """Yield (line, row) or (line, why there is none)."""
    fields: Fields | None = None
    for number, cells, names in named_records(path, name, columns, digest):
        if isinstance(cells, str):
            yield number, cells
            continue
        if fields is None:
            fields = columns.fields(names)
            places = [(field, names.index(field)) for field in fields.all]
        yield number, read_row({field: cells[at] for field, at in places}, fields, columns)


def named_records(
    path: Path, name: str, columns: Columns, digest: "hashlib._Hash | None" = None
) -> Iterator[tuple[int, list[str] | str, list[str]]]:
    """Yield (line, cells or why there are none, names of the columns) of all but the header."""
    names: list[str] = []
    hint = _semicolon_hint(path)
    with open_text(path, digest) as file:
        for number, cells in _records(file, DELIMITERS[path.suffix.lower()]):
            if isinstance(cells, str):
                yield number, cells + hint, names
                continue
            if not any(cell.strip() for cell in cells):
                continue
            if not names:
                names, is_header = _names(cells, f"{name} line {number}", columns, hint)
                if is_header:
                    continue
            if len(cells) != len(names):
                yield number, f"{len(cells)} columns instead of {len(names)}{hint}", names
                continue
            yield number, cells, names


def _semicolon_hint(path: Path) -> str:
    """What to do about a .csv that has semicolons where commas belong; of any other nothing."""
    if path.suffix.lower() != ".csv":
        return ""
    with open_text(path) as file:
        first = file.readline(RECORD_CHARACTERS)
    if ";" not in first or "," in first:
        return ""
    return ": the file seems to be parted by ';', part it by commas, or by tabs and name it .tsv"


def _names(cells: list[str], place: str, columns: Columns, hint: str) -> tuple[list[str], bool]:
    """The names of the columns, and whether the first record gave them."""
    if columns.positional:
        names = [str(position) for position in range(len(cells))]
        missing = [f for f in columns.fields(names).all if f not in names and f != "*"]
        if missing:
            raise DataError(
                f"{place}: no column '{missing[0]}' in {len(cells)} columns without a header"
                + (hint or f": {POSITIONS}, at most {len(cells) - 1}")
            )
        return names, False
    header = [cell.strip() for cell in cells]
    names = header if columns.named else [cell.lower() for cell in header]
    wanted = [f for f in columns.fields(names).all if f != "*"]
    if all(field in names for field in wanted):
        _refuse_a_column_twice(names, wanted, f"{place}: the header {listed(header)}")
        return names, True
    if columns.named:
        raise DataError(
            f"{place}: the header must hold {listed(wanted)}, found {listed(header)}"
            + (hint or f": {NAMES_OR_POSITIONS}")
        )
    return ["label", "text"], False


def _refuse_a_column_twice(names: list[str], wanted: list[str], header: str) -> None:
    for field in wanted:
        if (count := names.count(field)) > 1:
            raise DataError(f"{header} holds '{field}' {count} times: rename all but one of them")


def _records(file: io.TextIOBase, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield (line, cells), or (line, reason) for a line that does not parse.

    After a broken quote the parser resumes on the very next line, so one bad line costs no other.
    Many programs write TSV without quoting: there a line whose quotes do not match is taken as is.
    """
    csv.field_size_limit(RECORD_CHARACTERS)
    lines = _Lines(bounded_lines(file))
    while True:
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            for cells in reader:
                first = lines.taken[0]
                if len(lines.taken) > 1 and delimiter == "\t" and _one_row_a_line(lines, cells):
                    cells, used = _literal(first), 1
                else:
                    used = len(lines.taken)
                yield lines.number, cells
                lines.next_record(used)
            return
        except csv.Error as error:
            reason = f"quotes do not match ({error})"
        except _TooLong:
            one_line = lines.taken[0] is None
            reason = f"a line of {TOO_LONG}" if one_line else f"quotes do not match in {TOO_LONG}"
        first = lines.taken[0]
        literal = delimiter == "\t" and first is not None
        yield lines.number, _literal(first) if literal else reason
        lines.next_record(1)


def _one_row_a_line(lines: _Lines, cells: list[str]) -> bool:
    """Whether quotes joined lines of a TSV file that are whole rows each."""
    return all(line and line.count("\t") + 1 == len(cells) for line in lines.taken)


def _literal(line: str | None) -> list[str]:
    return (line or "").rstrip("\r\n").split("\t")

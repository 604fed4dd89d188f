"""Reads labelled texts from CSV, TSV and JSON-lines files, one record or one reject at a time."""

import csv
import io
import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

DELIMITERS = {".csv": ",", ".tsv": "\t"}
JSON_LINES = (".json", ".jsonl")
READABLE = (*DELIMITERS, *JSON_LINES)


class DataError(ValueError):
    """The data cannot be used as it is; the text says where and what to do."""


@dataclass(frozen=True)
class Columns:
    """Which fields hold text and label; `auto` stands for `text` and `label`."""

    text: str = "auto"
    label: str = "auto"
    label_at_least: float | None = None

    @property
    def named(self) -> bool:
        return (self.text, self.label) != ("auto", "auto")

    @property
    def text_field(self) -> str:
        return "text" if self.text == "auto" else self.text

    @property
    def label_field(self) -> str:
        return "label" if self.label == "auto" else self.label


@dataclass(frozen=True)
class Row:
    """One labelled text and the line it came from."""

    text: str
    label: str
    file: str
    line: int


@dataclass(frozen=True)
class Reject:
    """A line that holds no usable row, and why."""

    file: str
    line: int
    reason: str


@dataclass
class Read:
    """What a directory of files held."""

    rows: list[Row] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    skipped_files: list[str] = field(default_factory=list)


def read_directory(directory: Path, columns: Columns) -> Read:
    """Read every CSV, TSV and JSON-lines file under `directory`, in the order of their names."""
    found = Read()
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        name = path.relative_to(directory).as_posix()
        if path.suffix.lower() not in READABLE:
            found.skipped_files.append(name)
            continue
        found.files.append(name)
        for record in read_file(path, name, columns):
            (found.rows if isinstance(record, Row) else found.rejects).append(record)  # type: ignore[arg-type]
    if not found.files:
        raise DataError(
            f"no data under {directory}: files must end in {', '.join(READABLE)}, "
            f"found {', '.join(found.skipped_files) or 'none'}"
        )
    return found


def read_file(path: Path, name: str, columns: Columns) -> Iterator[Row | Reject]:
    text = _decode(path.read_bytes())
    suffix = path.suffix.lower()
    if suffix in JSON_LINES:
        yield from _read_json_lines(text, name, columns)
    else:
        yield from _read_delimited(text, name, columns, DELIMITERS[suffix])


def _decode(content: bytes) -> str:
    # Bytes that are not UTF-8 become lone surrogates, so that only their own row is rejected.
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", errors="replace")
    return content.decode("utf-8-sig", errors="surrogateescape")


def _read_json_lines(text: str, name: str, columns: Columns) -> Iterator[Row | Reject]:
    # Only a line feed ends a line here: U+2028 and its like may stand inside a string.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError):
            yield Reject(name, number, "not a JSON object on one line")
            continue
        if not isinstance(record, dict):
            yield Reject(name, number, "not a JSON object on one line")
            continue
        missing = [f for f in (columns.text_field, columns.label_field) if f not in record]
        if missing:
            yield Reject(name, number, f"no field '{missing[0]}', found {_listed(record)}")
            continue
        yield _row(record[columns.text_field], record[columns.label_field], name, number, columns)


def _read_delimited(
    text: str, name: str, columns: Columns, delimiter: str
) -> Iterator[Row | Reject]:
    text_at, label_at, width = 1, 0, 2
    first = True
    for number, cells in _records(text, delimiter):
        if isinstance(cells, str):
            first = False
            yield Reject(name, number, cells)
            continue
        if not any(cell.strip() for cell in cells):
            continue
        if first:
            first = False
            header = [cell.strip() for cell in cells]
            names = header if columns.named else [cell.lower() for cell in header]
            if columns.text_field in names and columns.label_field in names:
                text_at = names.index(columns.text_field)
                label_at = names.index(columns.label_field)
                width = len(header)
                continue
            if columns.named:
                raise DataError(
                    f"{name} line {number}: the header must hold '{columns.text_field}' and "
                    f"'{columns.label_field}', found {_listed(header)}: set the text and the label "
                    "column to names that are there"
                )
        if len(cells) != width:
            yield Reject(name, number, f"{len(cells)} columns instead of {width}")
            continue
        yield _row(cells[text_at], cells[label_at], name, number, columns)


def _records(text: str, delimiter: str) -> Iterator[tuple[int, list[str] | str]]:
    """Yield (line number, cells), or (line number, reason) for a line that does not parse.

    After a broken quote the parser resumes on the very next line, so one bad line costs no other.
    """
    csv.field_size_limit(sys.maxsize)
    lines = list(io.StringIO(text, newline=""))
    start = 0
    while start < len(lines):
        rest = map(lines.__getitem__, range(start, len(lines)))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
        consumed = 0
        try:
            for cells in reader:
                yield start + consumed + 1, cells
                consumed = reader.line_num
            return
        except csv.Error as error:
            yield start + consumed + 1, f"quotes do not match ({error})"
        start += consumed + 1


def _row(text: object, label: object, name: str, line: int, columns: Columns) -> Row | Reject:
    if not isinstance(text, str):
        return Reject(name, line, f"the text is {_kind(text)}, not a string")
    if not text.strip():
        return Reject(name, line, "empty text")
    class_name = _class_name(label, columns.label_at_least)
    if class_name is None:
        wanted = "a number" if columns.label_at_least is not None else "a string or a number"
        return Reject(name, line, f"the label is {_kind(label)}, not {wanted}")
    if not _encodable(text) or not _encodable(class_name):
        return Reject(name, line, "not valid Unicode: save the file as UTF-8")
    return Row(text.strip(), class_name, name, line)


def _class_name(label: object, at_least: float | None) -> str | None:
    if at_least is not None:
        number = _number(label)
        return None if number is None else str(int(number >= at_least))
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, str | int | float):
        # Spreadsheets and data frames write whole numbers as 1.0.
        return re.sub(r"^(-?\d+)\.0+$", r"\1", str(label).strip()) or None
    return None


def _number(label: object) -> float | None:
    if isinstance(label, bool) or not isinstance(label, str | int | float):
        return None
    try:
        number = float(label)
    except (ValueError, OverflowError):
        return None
    return None if math.isnan(number) else number


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _kind(value: object) -> str:
    if value is None or value == "":
        return "missing"
    return f"'{value}'"[:60] if isinstance(value, str) else f"a JSON {type(value).__name__}"


def _listed(names: object) -> str:
    return ", ".join(f"'{name}'" for name in list(names)[:12]) or "none"  # type: ignore[call-overload]

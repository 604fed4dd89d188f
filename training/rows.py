"""What a row of training data is, and how a record's fields become one or the reason why not."""

import math
import re
import unicodedata
from collections.abc import Container, Mapping
from dataclasses import dataclass

from rows_lists import is_bracketed, read_list

TRUE = (True, 1, "1", "1.0", "true")
FALSE = (False, 0, "0", "0.0", "false")
INVISIBLE = ("Cc", "Cf", "Zl", "Zp", "Zs")
"""Unicode's categories of control, format and white space."""


class DataError(ValueError):
    """The data cannot be used as it is; the text says where and what to do."""


@dataclass(frozen=True)
class Row:
    """A text or a pair of texts with its labels: just one unless the problem is multi-label."""

    text: str
    pair: str | None
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Fields:
    """The names under which one record holds its text, its pair and its labels."""

    text: str
    pair: str | None
    labels: tuple[str, ...]

    @property
    def all(self) -> tuple[str, ...]:
        return (self.text, *([] if self.pair is None else [self.pair]), *self.labels)


@dataclass(frozen=True)
class Columns:
    """Which fields hold text, pair and labels; `auto` stands for `text` and `labels` or `label`.

    With `one_hot`, each of its names is a label and `label` is not looked at.
    """

    text: str = "auto"
    label: str = "auto"
    label_at_least: float | None = None
    pair: str | None = None
    multi_label: bool = False
    label_delimiter: str | None = None
    one_hot: tuple[str, ...] = ()

    @property
    def named(self) -> bool:
        return (self.text, self.label, self.pair) != ("auto", "auto", None)

    @property
    def positional(self) -> bool:
        """Digits are positions in a file without a header, counted from 0."""
        return self.text.isdecimal()

    def fields(self, names: Container[str]) -> Fields:
        """The fields to read from a record that holds `names`."""
        label = self.label
        if label == "auto":
            label = "labels" if self.multi_label and "labels" in names else "label"
        text = "text" if self.text == "auto" else self.text
        return Fields(text, self.pair, self.one_hot or (label,))


def read_row(record: Mapping[str, object], fields: Fields, columns: Columns) -> Row | str:
    """Return the row, or why the record holds none."""
    texts = []
    for name, what in ((fields.text, "text"), (fields.pair, "text pair")):
        if name is None:
            continue
        text = record[name]
        if not isinstance(text, str):
            return f"the {what} is {_kind(text)}, not a string"
        texts.append(text.strip())
        if not _is_visible(texts[-1]):
            return f"empty {what}"
    if columns.one_hot:
        labels = _switched_on(record, columns)
    elif columns.multi_label:
        labels = _listed_labels(record[fields.labels[0]], columns)
    else:
        labels = _only_label(record[fields.labels[0]], columns)
    if isinstance(labels, str):
        return labels
    if not all(_encodable(part) for part in (*texts, *labels)):
        return "not UTF-8, or half of a surrogate pair"
    return Row(texts[0], texts[1] if len(texts) > 1 else None, labels)


def is_switch(value: object) -> bool:
    """Whether the value of a one-hot column is 0 or 1, as a number, a boolean or text."""
    value = value.strip().lower() if isinstance(value, str) else value
    return not isinstance(value, list | dict) and (value in TRUE or value in FALSE)


def is_missing(value: object) -> bool:
    """Whether the value is null, NaN or blank."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def _is_visible(text: str) -> bool:
    return any(unicodedata.category(character) not in INVISIBLE for character in text)


def _switched_on(record: Mapping[str, object], columns: Columns) -> tuple[str, ...] | str:
    labels = []
    for name in columns.one_hot:
        value = record[name]
        if columns.label_at_least is not None:
            number = _number(value)
            if number is None:
                return f"column '{name}' is {_kind(value)}, not a number"
            on = number >= columns.label_at_least
        elif is_switch(value):
            on = (value.strip().lower() if isinstance(value, str) else value) in TRUE
        else:
            return f"column '{name}' is {_kind(value)}, not 0 or 1"
        if on:
            labels.append(name)
    return tuple(labels)


def _listed_labels(value: object, columns: Columns) -> tuple[str, ...] | str:
    if isinstance(value, list):
        parts = value
    elif is_bracketed(value):
        found = read_list(value)
        if found is None:
            return (
                f"the labels are {_kind(value)}, not a list that can be read: write them as "
                '["a", "b"], or without brackets and parted by the label delimiter'
            )
        parts = found
    elif isinstance(value, str) and columns.label_delimiter is not None:
        parts = [part for part in value.split(columns.label_delimiter) if part.strip()]
    elif isinstance(value, str) and not value.strip():
        parts = []
    else:
        parts = [value]
    names = [_class_name(part) for part in parts]
    if None in names:
        wrong = parts[names.index(None)]
        return f"a label is {_kind(wrong)}, not a string or a number"
    return tuple(dict.fromkeys(name for name in names if name is not None))


def _only_label(value: object, columns: Columns) -> tuple[str, ...] | str:
    if columns.label_at_least is not None:
        number = _number(value)
        if number is None:
            return f"the label is {_kind(value)}, not a number"
        return (str(int(number >= columns.label_at_least)),)
    name = _class_name(value)
    if name is None:
        way_out = ": set problem: multi-label" if isinstance(value, list) else ""
        return f"the label is {_kind(value)}, not a string or a number{way_out}"
    return (name,)


def _class_name(label: object) -> str | None:
    if isinstance(label, bool):
        return str(label).lower()
    if isinstance(label, float) and not math.isfinite(label):
        return None
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
    if isinstance(value, str):
        return f"'{value}'"[:60]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"the number {value}"[:60]
    return f"a JSON {type(value).__name__}"


def listed(names: object) -> str:
    return ", ".join(f"'{name}'" for name in list(names)[:12]) or "none"  # type: ignore[call-overload]

"""Finds the files of training data and the split each belongs to, and reads their rows."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path, PurePosixPath

from rows import Columns, DataError, Row, is_missing, is_switch, listed
from rows_delimited import DELIMITERS, named_records, read_delimited
from rows_json import is_array, objects, read_json

JSON = (".json", ".jsonl")
READABLE = (*DELIMITERS, *JSON)
SPLITS = ("train", "validation", "test")
SPLIT_NAMES = {
    "train": "train",
    **dict.fromkeys(("validation", "valid", "val", "dev"), "validation"),
    "test": "test",
}
# The Hub's names of a split's parts: train-00000-of-00001.
PART = re.compile(r"-[0-9]{5}-of-[0-9]{5}$")
LOOKED_AT = 1_000
"""Rows of a file by which `*` finds the one-hot columns."""
ONE_HOT = 0.95
"""The share of 0 and 1 among a column's values that makes it one-hot; other values are faults."""
NEARLY_ONE_HOT = 0.5
"""From this share on a person is told that the column was left out."""


@dataclass
class DataFile:
    """A file and, once it is read, the digest of its bytes and how many rows it gave."""

    path: Path
    name: str
    split: str
    unit: str
    rows: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def read(self, columns: Columns) -> Iterator[tuple[int, Row | str]]:
        """Yield (line or element, row) or (line or element, why there is none)."""
        read = read_json if self.path.suffix.lower() in JSON else read_delimited
        yield from read(self.path, self.name, columns, self.digest)


def find_files(directory: Path) -> tuple[list[DataFile], list[str]]:
    """The files to read, in the order of their names, and the names of those skipped."""
    files, skipped = [], []
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        name = path.relative_to(directory).as_posix()
        if path.suffix.lower() not in READABLE:
            skipped.append(name)
            continue
        files.append(DataFile(path, name, split_of(name), "element" if is_array(path) else "line"))
    if not files:
        raise DataError(
            f"no data under {directory}: files must end in {', '.join(READABLE)}, "
            f"found {', '.join(skipped) or 'none'}"
        )
    if all(file.split != "train" for file in files):
        raise DataError(
            f"no training data: {listed(file.name for file in files)} are by their names for "
            f"{' and '.join(sorted({file.split for file in files}))}: add a file for training, or "
            "rename one so that neither its folders nor its name say otherwise"
        )
    return files, skipped


def split_of(name: str) -> str:
    """The split that the outermost folder of such a name says, else the file's stem; else train."""
    path = PurePosixPath(name)
    places = [place.lower() for place in (*path.parts[:-1], PART.sub("", path.stem))]
    return next((SPLIT_NAMES[place] for place in places if place in SPLIT_NAMES), "train")


def with_one_hot(columns: Columns, files: Iterable[DataFile]) -> tuple[Columns, list[str]]:
    """Columns with the label columns that `*` stands for in the first training file.

    Returns with them the columns that are left out though they hold mostly 0 and 1.
    """
    if columns.label != "*":
        return columns, []
    file = next(file for file in files if file.split == "train")
    shares = _shares_of_switches(file, columns)
    besides = columns.fields(()).all[:-1]
    of_label = {name: share for name, share in shares.items() if name not in besides}
    names = tuple(name for name, share in of_label.items() if share >= ONE_HOT)
    if not names:
        raise DataError(
            f"{file.name}: label column '*' stands for the columns whose values are 0 and 1, at "
            f"least {ONE_HOT:.0%} of them, of {listed(shares)} none does: name the label columns, "
            "separated by commas"
        )
    left_out = [name for name, share in of_label.items() if NEARLY_ONE_HOT <= share < ONE_HOT]
    return replace(columns, one_hot=names), left_out


def _shares_of_switches(file: DataFile, columns: Columns) -> dict[str, float]:
    """Of each column the share of 0 and 1 among the values that are there."""
    present: Counter[str] = Counter()
    switches: Counter[str] = Counter()
    for record in islice(_plain_records(file, columns), LOOKED_AT):
        for name, value in record.items():
            present[name] += not is_missing(value)
            switches[name] += is_switch(value)
    return {name: switches[name] / max(present[name], 1) for name in present}


def _plain_records(file: DataFile, columns: Columns) -> Iterator[dict[str, object]]:
    if file.path.suffix.lower() in JSON:
        yield from (r for _, r in objects(file.path, file.name) if isinstance(r, dict))
        return
    for _, cells, names in named_records(file.path, file.name, columns):
        if not isinstance(cells, str):
            yield dict(zip(names, cells, strict=True))

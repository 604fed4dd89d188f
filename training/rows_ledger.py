"""Keeps a few bytes of each row in memory, while the rows themselves lie in a scratch file."""

import hashlib
from array import array

import numpy as np

from rows import DataError, Row

MOST_LABELS = 100_000


class Ledger:
    """What splitting needs to know of the rows, in the order in which they were read.

    About 40 bytes a row: the digest of its text, its split (an index into the splits), the ids of
    its labels, its length in characters and where it came from.
    """

    def __init__(self) -> None:
        self.label_ids: dict[str, int] = {}
        self._digests = bytearray()
        self._splits = bytearray()
        self._labels = array("i")
        self._ends = array("q")
        self._characters = array("I")
        self._files = array("I")
        self._numbers = array("I")

    def __len__(self) -> int:
        return len(self._splits)

    def add(self, row: Row, split: int, file: int, number: int) -> None:
        for label in row.labels:
            self._labels.append(self.label_ids.setdefault(label, len(self.label_ids)))
        if len(self.label_ids) > MOST_LABELS:
            raise DataError(
                f"more than {MOST_LABELS:,} different labels, the last is '{row.labels[-1][:60]}': "
                "set the label column to one that holds classes"
            )
        # 0xff stands nowhere in UTF-8, so no text runs into its pair.
        key = row.text.encode() + (b"" if row.pair is None else b"\xff" + row.pair.encode())
        self._digests += hashlib.blake2b(key, digest_size=16).digest()
        self._splits.append(split)
        self._ends.append(len(self._labels))
        self._characters.append(len(row.text) + len(row.pair or ""))
        self._files.append(file)
        self._numbers.append(number)

    @property
    def label_names(self) -> list[str]:
        return list(self.label_ids)

    def place(self, row: int) -> tuple[int, int]:
        """The file's index and the line or element that a row came from."""
        return self._files[row], self._numbers[row]

    def labels_of(self, row: int) -> frozenset[int]:
        start = self._ends[row - 1] if row else 0
        return frozenset(self._labels[start : self._ends[row]])

    def digests(self) -> np.ndarray:
        """Shape (rows, 2), the halves of each digest."""
        return np.frombuffer(bytes(self._digests), dtype=np.uint64).reshape(-1, 2)

    def splits(self) -> np.ndarray:
        return np.frombuffer(bytes(self._splits), dtype=np.uint8)

    def characters(self) -> np.ndarray:
        return np.array(self._characters, dtype=np.int64)

    def labels(self) -> tuple[np.ndarray, np.ndarray]:
        """The label ids of all rows after one another, and the row of each."""
        sizes = np.diff(np.array(self._ends, dtype=np.int64), prepend=0)
        return np.array(self._labels, dtype=np.int64), np.repeat(np.arange(len(sizes)), sizes)

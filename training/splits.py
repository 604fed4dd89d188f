"""Decides which split each row goes to: duplicates dropped, the rest drawn by class and seed."""

import random
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rows_files import SPLITS
from rows_ledger import Ledger

DROPPED = len(SPLITS)
"""Stands beside the indices of SPLITS for a row that goes nowhere."""

WINS = {"test": 0, "validation": 1, "train": 2}


@dataclass(frozen=True)
class Dropped:
    """Rows of one split whose text is kept in one (the same or another)."""

    dropped_from: str
    kept_in: str
    rows: int
    conflicting: int


def class_order(labels: Iterable[str]) -> list[str]:
    """Labels that are all integers sort as numbers ("2" before "10"), others as text."""
    names = sorted(labels)
    try:
        return sorted(names, key=int)
    except ValueError:
        return names


def drop_duplicates(ledger: Ledger) -> tuple[np.ndarray, list[Dropped]]:
    """Keep one row of each text: test before validation before train, then the first.

    Returns each row's split, DROPPED for those that go; conflicting are those whose labels differ
    from the labels of the row that stays.
    """
    splits = ledger.splits().copy()
    if not len(splits):
        return splits, []
    keys = ledger.digests()
    rank = np.array([WINS[name] for name in SPLITS], dtype=np.uint8)[splits]
    order = np.lexsort((rank, keys[:, 1], keys[:, 0]))
    repeats = np.zeros(len(order), dtype=bool)
    repeats[1:] = (keys[order[1:]] == keys[order[:-1]]).all(axis=1)
    first = np.maximum.accumulate(np.where(repeats, 0, np.arange(len(order))))
    dropped, kept = order[repeats], order[first[repeats]]
    rows: Counter[tuple[int, int]] = Counter()
    conflicts: Counter[tuple[int, int]] = Counter()
    for row, stays in zip(dropped.tolist(), kept.tolist(), strict=True):
        pair = int(splits[row]), int(splits[stays])
        rows[pair] += 1
        conflicts[pair] += ledger.labels_of(row) != ledger.labels_of(stays)
    splits[dropped] = DROPPED
    return splits, [
        Dropped(SPLITS[pair[0]], SPLITS[pair[1]], rows[pair], conflicts[pair])
        for pair in sorted(rows)
    ]


def count_labels(ledger: Ledger, splits: np.ndarray) -> np.ndarray:
    """Shape (labels, splits): how many rows of each split have each label."""
    labels, rows = ledger.labels()
    kinds = DROPPED + 1
    flat = np.bincount(
        labels * kinds + splits[rows].astype(np.int64), minlength=len(ledger.label_ids) * kinds
    )
    return flat.reshape(-1, kinds)[:, :DROPPED]


def draw(
    ledger: Ledger,
    splits: np.ndarray,
    fractions: Mapping[str, float],
    seed: int,
    *,
    multi_label: bool,
) -> np.ndarray:
    """Move rows from train to the splits of `fractions`, by the same share of each stratum.

    A stratum is a class, or in a multi-label problem the rarest of a row's labels. Each gets at
    least one row in every split; a multi-label stratum that is too small for it stays in train, and
    so does one row at least of every label.
    """
    splits = splits.copy()
    if not fractions:
        return splits
    drawn = [name for name in ("test", "validation") if name in fractions]
    for stratum, rows in _strata(ledger, splits):
        if multi_label and len(rows) <= len(drawn):
            continue
        order = array("q", rows.tobytes())
        # Not a secret: the seed makes the split repeatable, and apart for each class.
        random.Random(f"{seed}:{stratum}").shuffle(order)  # noqa: S311
        start = 0
        for index, name in enumerate(drawn):
            most = len(order) - start - (len(drawn) - index)
            share = min(max(1, round(len(order) * fractions[name])), most)
            splits[np.array(order[start : start + share], dtype=np.int64)] = SPLITS.index(name)
            start += share
    _give_train_every_label(ledger, splits, [SPLITS.index(name) for name in drawn])
    return splits


def _strata(ledger: Ledger, splits: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """The rows of train by their rarest label, in the order read; "" of rows without a label."""
    names = ledger.label_names
    train = SPLITS.index("train")
    counts = count_labels(ledger, splits)[:, train]
    by_name = class_order(names)
    position = {name: place for place, name in enumerate(by_name)}
    tie = np.array([position[name] for name in names], dtype=np.int64)
    rarity = np.empty(len(names), dtype=np.int64)
    rarity[np.lexsort((tie, counts))] = np.arange(len(names))

    labels, rows = ledger.labels()
    rarest = np.full(len(splits), len(names), dtype=np.int64)
    np.minimum.at(rarest, rows, rarity[labels])
    named = np.argsort(rarity)
    members = np.flatnonzero(splits == train)
    members = members[np.argsort(rarest[members], kind="stable")]
    cuts = np.flatnonzero(np.diff(rarest[members])) + 1
    return [
        (names[named[at]] if (at := rarest[part[0]]) < len(names) else "", part)
        for part in np.split(members, cuts)
        if len(part)
    ]


def _give_train_every_label(ledger: Ledger, splits: np.ndarray, drawn: Sequence[int]) -> None:
    """Take back the first row of each label that was drawn away whole; changes `splits`."""
    train = SPLITS.index("train")
    counts = count_labels(ledger, splits)
    labels, rows = ledger.labels()
    for label in np.flatnonzero((counts[:, train] == 0) & (counts[:, drawn].sum(axis=1) > 0)):
        having = rows[labels == label]
        if not (splits[having] == train).any():
            splits[having[np.isin(splits[having], drawn)][0]] = train

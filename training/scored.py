"""Rows with their true classes and a model's probabilities, and every figure of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metrics import ClassCounts, averages, per_class
from predictions import MULTI_LABEL
from ranking import Ranking, Weights, areas, rank

BINS = 15
MEANS_OVER_CLASSES = ("f1", "precision", "recall", "roc_auc", "average_precision")
Figures = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Scored:
    """What is true of rows and what a model says of them."""

    problem: str
    labels: tuple[str, ...]
    true: NDArray[Any]
    """Single-label: class indices of shape (rows,); multi-label: booleans of (rows, labels)."""
    probabilities: NDArray[np.float64]
    """Of shape (rows, labels)."""
    thresholds: NDArray[np.float64]
    """Of shape (labels,); multi-label only."""

    @property
    def rows(self) -> int:
        return len(self.true)

    @property
    def multi_label(self) -> bool:
        return self.problem == MULTI_LABEL

    @cached_property
    def predicted(self) -> NDArray[Any]:
        """As `true`: the most probable class, or every label that reaches its threshold."""
        if self.multi_label:
            return self.probabilities >= self.thresholds
        return self.probabilities.argmax(axis=1)

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Rows whose class, or whose whole set of labels, is predicted."""
        same = self.predicted == self.true
        return same.all(axis=1) if self.multi_label else same

    def is_true(self, label: int) -> NDArray[np.bool_]:
        """Which rows have this label."""
        return self.true[:, label] if self.multi_label else self.true == label


def names(problem: str, labels: Sequence[str]) -> list[str]:
    """The figures that a problem of these labels has."""
    of = ("f1", "precision", "recall")
    binary = [f"{n}_binary" for n in of] if len(labels) == 2 and problem != MULTI_LABEL else []
    averaged = [*of, *(f"{n}_{kind}" for kind in ("micro", "weighted") for n in of)]
    return ["accuracy", *averaged, *binary, "roc_auc", "average_precision", "ece"]


def measure(scored: Scored) -> Callable[[Weights], Figures]:
    """Sort and sum once what no weighting changes; return what scores any weightings of the rows.

    Weights are of shape (rows, weightings), figures of shape (weightings,):
    accuracy is the share of rows that are right, of multi-label rows those whose whole set is;
    precision, recall and f1 are averaged as `metrics.averages` says, and of two classes also
    given for the last one (`f1_binary`); roc_auc and average_precision are means over the classes
    that have both positives and negatives, each against the rest; ece is `calibration_error`'s.
    """
    tally = _tally(scored)
    rankings = [ranking for ranking in rank_each(scored) if ranking is not None]
    error = calibration_error(scored)
    wanted = names(scored.problem, scored.labels)
    right = scored.right.astype(np.float32)

    def figures(weights: Weights) -> Figures:
        counts = tally(weights)
        rows = weights.sum(axis=0, dtype=np.float64)
        found = {"accuracy": (right @ weights) / rows, **averages(counts)}
        if "f1_binary" in wanted:
            of_class = per_class(counts)
            found |= {f"{name}_binary": of_class[name][..., -1] for name in of_class}
        found["roc_auc"], found["average_precision"] = _mean_areas(rankings, weights)
        found["ece"] = error(weights)
        return {name: np.asarray(found[name], dtype=np.float64) for name in wanted}

    return figures


def rank_each(scored: Scored) -> list[Ranking | None]:
    """Each class against the rest."""
    return [
        rank(scored.probabilities[:, label], scored.is_true(label))
        for label in range(len(scored.labels))
    ]


def counts_of(scored: Scored) -> ClassCounts:
    """How often each class is right, true and predicted in these rows, of shape (labels,)."""
    counts = _tally(scored)(np.ones((scored.rows, 1), dtype=np.float32))
    return ClassCounts(counts.hits[0], counts.support[0], counts.predicted[0])


def fewest_rows(scored: Scored) -> dict[str, tuple[int, int]]:
    """Of each figure the rows of the rarest class that it is a mean over, and how many these are.

    A figure of all rows together has these, and one class; `…_binary` the rows of the last class.
    """
    support = counts_of(scored).support
    there = support[support > 0]
    found = {}
    for name in names(scored.problem, scored.labels):
        found[name] = (scored.rows, 1)
        if name.endswith("_binary"):
            found[name] = (int(support[-1]), 1)
        elif name in MEANS_OVER_CLASSES and len(there):
            found[name] = (int(there.min()), len(there))
    return found


def calibration_error(scored: Scored) -> Callable[[Weights], NDArray[np.float64]]:
    """The expected calibration error, over 15 bins of equal width from 0 to 1.

    Single-label: the bins are of the top probability, compared with the share of right rows.
    Multi-label: of the probability of every label of every row, compared with the share that have
    the label. Each bin counts by its members: sum over bins of |members' mean outcome - members'
    mean probability| x members / all.
    """
    excess = np.zeros((scored.rows, BINS), dtype=np.float64)
    for probability, outcome in _outcomes(scored):
        excess[np.arange(scored.rows), bin_of(probability)] += outcome - probability
    per_row = len(scored.labels) if scored.multi_label else 1

    def error(weights: Weights) -> NDArray[np.float64]:
        gaps = np.abs(excess.T @ weights.astype(np.float64)).sum(axis=0)
        return gaps / (weights.sum(axis=0, dtype=np.float64) * per_row)

    return error


def bin_of(probability: NDArray[np.float64], bins: int = BINS) -> NDArray[np.int64]:
    """Index of the bin; each holds its lower edge, the last one also 1."""
    return np.minimum((probability * bins).astype(np.int64), bins - 1)


def calibration(scored: Scored) -> dict[str, Any]:
    """The reliability diagram: of each bin its members, mean probability and share of outcomes."""
    members, probabilities, outcomes = np.zeros((3, BINS))
    for probability, outcome in _outcomes(scored):
        which = bin_of(probability)
        members += np.bincount(which, minlength=BINS)
        probabilities += np.bincount(which, weights=probability, minlength=BINS)
        outcomes += np.bincount(which, weights=outcome, minlength=BINS)
    return {
        "of": "every label's probability" if scored.multi_label else "the top probability",
        "bins": [
            {
                "from": round(i / BINS, 6),
                "to": round((i + 1) / BINS, 6),
                "members": int(members[i]),
                "probability": round(probabilities[i] / members[i], 6) if members[i] else None,
                "outcome": round(outcomes[i] / members[i], 6) if members[i] else None,
            }
            for i in range(BINS)
        ],
    }


def _outcomes(scored: Scored) -> list[tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Columns of probabilities and of what came true, each of shape (rows,)."""
    if not scored.multi_label:
        return [(scored.probabilities.max(axis=1), scored.right.astype(np.float64))]
    return [
        (scored.probabilities[:, label], scored.true[:, label].astype(np.float64))
        for label in range(len(scored.labels))
    ]


def _tally(scored: Scored) -> Callable[[Weights], ClassCounts]:
    """From weights to the counts of each class, of shape (weightings, labels)."""
    if scored.multi_label:
        # Whole numbers below 2^24 are exact in float32, and these products fast.
        parts = [
            part.astype(np.float32).T
            for part in (scored.true & scored.predicted, scored.true, scored.predicted)
        ]
        return lambda weights: ClassCounts(*((part @ weights).T.astype(float) for part in parts))
    classes = len(scored.labels)
    hits = np.flatnonzero(scored.right)
    every = np.arange(scored.rows)
    sums = [
        _summed_by_class(rows, of_class[rows], classes)
        for rows, of_class in (
            (hits, scored.true),
            (every, scored.true),
            (every, scored.predicted),
        )
    ]
    return lambda weights: ClassCounts(*(total(weights) for total in sums))


def _summed_by_class(
    rows: NDArray[np.int64], of_class: NDArray[np.int64], classes: int
) -> Callable[[Weights], NDArray[np.float64]]:
    order = rows[np.argsort(of_class, kind="stable")]
    present, starts = np.unique(np.sort(of_class), return_index=True)

    def total(weights: Weights) -> NDArray[np.float64]:
        sums = np.zeros((weights.shape[1], classes))
        if len(order):
            sums[:, present] = np.add.reduceat(weights[order], starts, axis=0).T
        return sums

    return total


def _mean_areas(
    rankings: Sequence[Ranking], weights: Weights
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means over the classes that have positives and negatives in a weighting."""
    totals = np.zeros((2, weights.shape[1]))
    usable = np.zeros(weights.shape[1])
    for ranking in rankings:
        both = np.stack(areas(ranking, weights))
        there = ~np.isnan(both[0])
        totals += np.where(there, both, 0)
        usable += there
    roc_auc, average_precision = np.where(usable > 0, totals / np.maximum(usable, 1), np.nan)
    return roc_auc, average_precision

"""Accuracy and macro-averaged precision, recall and f1 from counts per class."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class ClassCounts:
    """How often each class was right, true and predicted; the last axis is the class.

    Leading axes are allowed, so that a thousand resamples are scored at once.
    """

    hits: Counts
    support: Counts
    predicted: Counts


def count(true: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> ClassCounts:
    """Count class indices, both arrays of shape (rows,)."""
    return ClassCounts(
        hits=np.bincount(true[true == predicted], minlength=classes).astype(float),
        support=np.bincount(true, minlength=classes).astype(float),
        predicted=np.bincount(predicted, minlength=classes).astype(float),
    )


def per_class(counts: ClassCounts) -> dict[str, Counts]:
    """Precision, recall and f1 of each class; zero where nothing is there to divide by."""
    return {
        "precision": _ratio(counts.hits, counts.predicted),
        "recall": _ratio(counts.hits, counts.support),
        "f1": _ratio(2 * counts.hits, counts.predicted + counts.support),
    }


def summary(counts: ClassCounts) -> dict[str, Counts]:
    """Accuracy, and the means over the classes that are true or predicted at least once."""
    seen = (counts.support + counts.predicted) > 0
    macro = {
        name: (values * seen).sum(axis=-1) / seen.sum(axis=-1)
        for name, values in per_class(counts).items()
    }
    accuracy = counts.hits.sum(axis=-1) / counts.support.sum(axis=-1)
    return {"accuracy": accuracy, **{name: macro[name] for name in ("f1", "precision", "recall")}}


def _ratio(part: Counts, whole: Counts) -> Counts:
    return np.divide(part, whole, out=np.zeros_like(part, dtype=float), where=whole > 0)

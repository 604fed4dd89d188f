"""Precision, recall, f1 and their averages from counts per class, of one or many resamples."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.float64]


@dataclass(frozen=True)
class ClassCounts:
    """How often each class was right, true and predicted; the last axis is the class.

    Leading axes are allowed, so that a thousand resamples are scored at once. Of a multi-label
    problem a label counts as right where it is both true and predicted.
    """

    hits: Counts
    support: Counts
    predicted: Counts


def per_class(counts: ClassCounts) -> dict[str, Counts]:
    """Precision, recall and f1 of each class; zero where nothing is there to divide by."""
    return {
        "precision": _ratio(counts.hits, counts.predicted),
        "recall": _ratio(counts.hits, counts.support),
        "f1": _ratio(2 * counts.hits, counts.predicted + counts.support),
    }


def averages(counts: ClassCounts) -> dict[str, Counts]:
    """Macro (`f1`), micro (`f1_micro`) and weighted (`f1_weighted`) f1, precision and recall.

    macro: the mean over the classes that are true or predicted at least once.
    micro: the figure of the summed counts; of a single-label problem all three are the accuracy.
    weighted: the mean over classes, each as often as it is true.
    """
    of_class = per_class(counts)
    seen = (counts.support + counts.predicted) > 0
    summed = ClassCounts(
        *(part.sum(axis=-1) for part in (counts.hits, counts.support, counts.predicted))
    )
    micro = per_class(summed)
    names = ("f1", "precision", "recall")
    macro = {n: _ratio(of_class[n].sum(axis=-1), seen.sum(axis=-1)) for n in names}
    weighted = {
        f"{n}_weighted": _ratio((of_class[n] * counts.support).sum(axis=-1), summed.support)
        for n in names
    }
    return {**macro, **{f"{n}_micro": micro[n] for n in names}, **weighted}


def _ratio(part: Counts, whole: Counts) -> Counts:
    part = np.asarray(part, dtype=float)
    return np.divide(part, whole, out=np.zeros_like(part), where=np.asarray(whole) > 0)

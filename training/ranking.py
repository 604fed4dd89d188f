"""ROC-AUC and average precision of a class against the rest, under many weightings of the rows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Weights = NDArray[np.float32]
"""Of shape (rows, weightings): how often a row is in each resample."""


@dataclass(frozen=True)
class Ranking:
    """The rows in the order of one class's scores, cut where its positives lie.

    Rows of equal score are a tie. Only ties with positives in them matter one by one; the negatives
    between two of these are summed, so a class of few positives costs little beside the sorting.
    """

    order: NDArray[np.int32]
    """Rows by ascending score."""
    starts: NDArray[np.int64]
    """Where in `order` each piece begins: a tie with positives, or negatives between two."""
    with_positives: NDArray[np.int64]
    """Which pieces hold positives."""
    positives: NDArray[np.int32]
    """The positive rows by ascending score."""
    positive_starts: NDArray[np.int64]
    """Where in `positives` each piece with positives begins."""


def rank(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> Ranking | None:
    """Sort the rows once; None where all are positive or none is, so that nothing is ranked."""
    if positive.all() or not positive.any():
        return None
    order = np.argsort(scores, kind="stable")
    sorted_scores, sorted_positive = scores[order], positive[order]
    positive_scores = sorted_scores[sorted_positive]
    distinct, positive_starts = np.unique(positive_scores, return_index=True)
    tie_starts = np.searchsorted(sorted_scores, distinct, side="left")
    tie_ends = np.searchsorted(sorted_scores, distinct, side="right")
    starts = np.unique(np.concatenate([[0], tie_starts, tie_ends[tie_ends < len(order)]]))
    return Ranking(
        order=order.astype(np.int32),
        starts=starts,
        with_positives=np.searchsorted(starts, tie_starts),
        positives=order[sorted_positive].astype(np.int32),
        positive_starts=positive_starts,
    )


def areas(ranking: Ranking, weights: Weights) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """ROC-AUC and average precision for each weighting; not a number without both kinds of rows.

    ROC-AUC is the share of pairs, one positive and one negative, of which the positive scores
    higher; a tie counts half. Average precision is the sum, over the distinct scores from the
    highest, of the precision there times the recall gained there, without interpolation.
    """
    every = np.add.reduceat(weights[ranking.order], ranking.starts, axis=0).astype(np.float64)
    positive = np.add.reduceat(weights[ranking.positives], ranking.positive_starts, axis=0).astype(
        np.float64
    )
    below_or_tied = np.cumsum(every, axis=0)
    rows = below_or_tied[-1]
    positives_up_to = np.cumsum(positive, axis=0)
    positives = positives_up_to[-1]
    here = every[ranking.with_positives]
    reached = below_or_tied[ranking.with_positives]
    positives_below = positives_up_to - positive
    negatives_below = reached - here - positives_below
    won = (positive * (negatives_below + 0.5 * (here - positive))).sum(axis=0)
    precision = _divided(positives - positives_below, rows - reached + here)
    found = (positive * precision).sum(axis=0)
    usable = (positives > 0) & (positives < rows)
    roc_auc = np.where(usable, _divided(won, positives * (rows - positives)), np.nan)
    average_precision = np.where(usable, _divided(found, positives), np.nan)
    return roc_auc, average_precision


def _divided(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)

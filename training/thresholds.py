"""Thresholds of multi-label models, chosen on validation rows."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# With fewer positives, the best threshold of a label says more of these rows than of the label.
FEWEST_POSITIVES = 5
DIGITS = 4
# Below it, rounding would let everything through.
LOWEST = 10.0**-DIGITS

Numbers = NDArray[Any]


def label_thresholds(scores: Numbers, true: Numbers) -> list[float]:
    """The threshold of each label with the highest F1 on rows (rows, labels).

    A label with few positives gets the one threshold that suits all labels best. A score of at
    least its threshold is a prediction.
    """
    fallback = best_single_threshold(scores, true)
    return [
        _best(scores[:, label], true[:, label])
        if np.count_nonzero(true[:, label]) >= FEWEST_POSITIVES
        else fallback
        for label in range(true.shape[1])
    ]


def best_single_threshold(scores: Numbers, true: Numbers) -> float:
    """The threshold with the highest micro-F1 over all labels; 0.5 where there is no positive."""
    return _best(scores.ravel(), true.ravel())


def _best(scores: Numbers, true: Numbers) -> float:
    """Of equal F1, the threshold nearest to 0.5; midway between two scores, rounded."""
    true = np.asarray(true, dtype=bool)
    positives = np.count_nonzero(true)
    if not positives or not np.isfinite(scores).all():
        return 0.5
    order = np.argsort(-scores, kind="stable")
    falling = scores[order]
    hits = np.concatenate([[0], np.cumsum(true[order])])
    midway = (falling + np.append(falling[1:], 0.0)) / 2
    candidates = np.unique(np.clip(np.round(midway, DIGITS), LOWEST, 1 - LOWEST))
    predicted = np.searchsorted(-falling, -candidates, side="right")
    f1 = 2 * hits[predicted] / (predicted + positives)
    best = candidates[f1 >= f1.max() - 1e-12]
    return round(float(best[np.argmin(np.abs(best - 0.5))]), DIGITS)

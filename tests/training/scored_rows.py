"""Rows with true classes and made-up probabilities, ties and missing classes among them."""

import numpy as np

from scored import Scored


def single(rows, labels, lift=2.0, seed=0, true=None):
    random = np.random.default_rng(seed)
    true = random.integers(0, len(labels), rows) if true is None else np.asarray(true)
    logits = random.normal(size=(rows, len(labels)))
    logits[np.arange(rows), true] += lift
    # Few digits, so that many scores tie.
    exponents = np.exp(logits.round(1))
    probabilities = exponents / exponents.sum(axis=1, keepdims=True)
    return Scored("single-label", tuple(labels), true, probabilities, np.full(len(labels), 0.5))


def multi(rows, labels, seed=0, share=0.3):
    random = np.random.default_rng(seed)
    true = random.random((rows, len(labels))) < share
    probabilities = 1 / (1 + np.exp(-(random.normal(size=true.shape) + 2.5 * true - 1)))
    thresholds = random.uniform(0.2, 0.7, len(labels)).round(2)
    return Scored("multi-label", tuple(labels), true, probabilities.round(2), thresholds)


def taken(scored, rows):
    """The same with rows left out or repeated."""
    return Scored(
        scored.problem,
        scored.labels,
        scored.true[rows],
        scored.probabilities[rows],
        scored.thresholds,
    )

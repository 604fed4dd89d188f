"""The figures of one evaluation on validation rows, and the number by which the best is chosen."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import EvalPrediction

from thresholds import best_single_threshold

Numbers = NDArray[Any]

# A nat of loss weighs as a tenth of accuracy: on few rows, one more that is right says less of a
# model than how sure it is of all of them.
LOSS_WEIGHT = 0.1


def measure(classes: int, *, several: bool) -> Callable[[EvalPrediction], dict[str, float]]:
    """Return accuracy, f1 (macro), f1_micro and selection of an evaluation's logits.

    The best evaluation is that of the highest selection: accuracy, of several labels micro-F1 at
    the one threshold that suits all best, less LOSS_WEIGHT times the loss.
    """
    figures = _of_several if several else _of_one

    def of_evaluation(prediction: EvalPrediction) -> dict[str, float]:
        logits = np.asarray(prediction.predictions, dtype=np.float64)
        found = figures(logits, np.asarray(prediction.label_ids), classes)
        return {name: float(value) for name, value in found.items()}

    return of_evaluation


def _of_one(logits: Numbers, true: Numbers, classes: int) -> dict[str, float]:
    predicted = logits.argmax(axis=-1)
    right = np.count_nonzero(predicted == true)
    hits = np.bincount(true[predicted == true], minlength=classes)
    support = np.bincount(true, minlength=classes)
    f1 = _macro_f1(hits, support, np.bincount(predicted, minlength=classes))
    share = right / len(true)
    loss = _cross_entropy(logits, true)
    selection = share - LOSS_WEIGHT * loss
    return {"accuracy": share, "f1": f1, "f1_micro": share, "selection": selection}


def _of_several(logits: Numbers, true: Numbers, classes: int) -> dict[str, float]:
    scores = sigmoid(logits)
    true = true.astype(bool)
    predicted = scores >= best_single_threshold(scores, true)
    hits, support = (predicted & true).sum(axis=0), true.sum(axis=0)
    all_predicted = predicted.sum(axis=0)
    micro = 2 * hits.sum() / max(1, support.sum() + all_predicted.sum())
    loss = _binary_cross_entropy(logits, true)
    return {
        "accuracy": (predicted == true).all(axis=-1).mean(),
        "f1": _macro_f1(hits, support, all_predicted),
        "f1_micro": micro,
        "selection": micro - LOSS_WEIGHT * loss,
    }


def sigmoid(logits: Numbers) -> Numbers:
    """Probabilities, without overflow for large negative logits."""
    return np.exp(-np.logaddexp(0, -logits))


def _macro_f1(hits: Numbers, support: Numbers, predicted: Numbers) -> float:
    """The mean over the classes that are true or predicted at least once."""
    seen = support + predicted > 0
    if not seen.any():
        return 0.0
    return float((2 * hits[seen] / (support + predicted)[seen]).mean())


def _cross_entropy(logits: Numbers, labels: Numbers) -> float:
    """Mean over rows, in nats; infinite where the logits are not numbers."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_likelihood = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return _finite(-log_likelihood[np.arange(len(labels)), labels].mean())


def _binary_cross_entropy(logits: Numbers, true: Numbers) -> float:
    return _finite(np.logaddexp(0, np.where(true, -logits, logits)).mean())


def _finite(loss: float) -> float:
    return float(loss) if np.isfinite(loss) else math.inf

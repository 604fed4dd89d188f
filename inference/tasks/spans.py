"""From a window's logits to the spans of tokens that most likely answer a question."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float32]
# What a token that no answer may touch counts as, in logits.
IMPOSSIBLE = np.float32(-10_000)


@dataclass(frozen=True)
class Span:
    """An answer from its first token to its last, and its probability."""

    first: int
    last: int
    score: float


def best_spans(
    logits: Scores, eligible: NDArray[np.bool_], *, top_k: int, longest: int
) -> tuple[list[Span], float]:
    """The `top_k` most likely spans of at most `longest` tokens, and how likely there is none.

    `logits` has the shape (tokens, 2), for beginning and end of an answer. The probability of a
    span is that of its beginning times that of its end, as in Chen et al., 2017
    (arXiv:1704.00051); that of no answer is the first token's, which stands for it.
    """
    masked = np.where(eligible[:, None], logits, IMPOSSIBLE)
    shifted = np.exp(masked - masked.max(axis=0))
    begins, ends = (shifted / shifted.sum(axis=0)).T
    none = float(begins[0] * ends[0])
    begins[0] = ends[0] = 0.0
    scores = np.tril(np.triu(np.outer(begins, ends)), longest - 1)
    # The first token may be taken whatever it is; its probability is 0.
    allowed = eligible.copy()
    allowed[0] = True
    spans = []
    for index in _largest(scores.ravel(), top_k):
        first, last = divmod(int(index), len(logits))
        if allowed[first] and allowed[last]:
            spans.append(Span(first, last, float(scores[first, last])))
    return spans, none


def _largest(scores: Scores, count: int) -> NDArray[np.intp]:
    """The places of the largest scores, largest first."""
    # Where scores are equal, which they mostly are at 0, the choice is the pipeline's.
    if count == 1:
        return np.asarray([scores.argmax()])
    if len(scores) <= count:
        return np.argsort(-scores)
    chosen = np.argpartition(-scores, count)[:count]
    return chosen[np.argsort(-scores[chosen])]

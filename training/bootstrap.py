"""The bootstrap over rows: figures of resamples, their standard errors and intervals."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ranking import Weights
from scored import Figures

CONFIDENCE = 0.95
# Weights that are scored at once: 4 MB, so that they stay in the processor's cache.
WEIGHTS_AT_ONCE = 1_000_000


def resampled(
    measures: Sequence[Callable[[Weights], Figures]], rows: int, resamples: int, seed: int
) -> list[Figures]:
    """Score resamples of the rows, drawn with replacement: for each measure, (resamples,) figures.

    A resample is how often each row is in it. All measures see the same ones, so that differences
    between them are those of paired rows.
    """
    random = np.random.default_rng(seed)
    at_once = max(1, min(resamples, WEIGHTS_AT_ONCE // rows))
    parts: list[list[Figures]] = [[] for _ in measures]
    for start in range(0, resamples, at_once):
        weights = draw(random, rows, min(at_once, resamples - start))
        for part, measure in zip(parts, measures, strict=True):
            part.append(measure(weights))
    return [
        {name: np.concatenate([piece[name] for piece in part]) for name in part[0]}
        for part in parts
    ]


def draw(random: np.random.Generator, rows: int, resamples: int) -> Weights:
    """How often each row is drawn, of shape (rows, resamples); each column sums to `rows`."""
    drawn = random.integers(0, rows, size=(rows, resamples))
    drawn *= resamples
    drawn += np.arange(resamples)
    times = np.bincount(drawn.ravel(), minlength=rows * resamples)
    return times.reshape(rows, resamples).astype(np.float32)


def observed(measure: Callable[[Weights], Figures], rows: int) -> dict[str, float | None]:
    """Figures of the rows as they are, each once; None where a figure is not defined."""
    figures = measure(np.ones((rows, 1), dtype=np.float32))
    return {name: rounded(values[0]) for name, values in figures.items()}


def spread(draws: NDArray[np.float64]) -> tuple[float | None, list[float] | None]:
    """Standard error and percentile interval of the resamples in which the figure is defined."""
    defined = draws[~np.isnan(draws)]
    if len(defined) < 2:
        return None, None
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(defined, [tail, 100 - tail])
    return round(float(defined.std(ddof=1)), 6), [round(float(low), 6), round(float(high), 6)]


def exact(value: float, rows: int, classes: int = 1) -> list[float]:
    """Interval of a figure that is the same in all resamples.

    Of what none of `rows` rows shows, the share is below 1 - 0.05^(1/rows): the bound of Clopper
    and Pearson, with all 5 % on the one side that there is. Of a mean over `classes`, the rarest
    of which has `rows`, all that is unseen is taken to be in that one.
    """
    unseen = (1 - (1 - CONFIDENCE) ** (1 / max(1, rows))) / classes
    return [round(max(0.0, value - unseen), 6), round(min(1.0, value + unseen), 6)]


def rounded(value: float) -> float | None:
    """As evaluation.json has it: six digits, None where it is not a number."""
    return round(float(value), 6) if math.isfinite(value) else None

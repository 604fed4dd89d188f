"""The median rule by which TrainingJobEarlyStoppingType Auto stops a training job."""

from __future__ import annotations

from statistics import fmean, median

# With fewer, one lucky job would decide over all others.
FEWEST_EARLIER_JOBS = 3


def is_behind(value: float, epoch: int, earlier: list[list[float]], *, maximize: bool) -> bool:
    """Whether a job's value at an epoch (from 1) is worse than earlier jobs were up to there.

    AWS's rule: of each earlier job the average of its objective up to the epoch; of those the
    median; a value worse than it stops the job.
    """
    averages = [fmean(curve[:epoch]) for curve in earlier if len(curve) >= epoch]
    if len(averages) < FEWEST_EARLIER_JOBS:
        return False
    middle = median(averages)
    return value < middle if maximize else value > middle

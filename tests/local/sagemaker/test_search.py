"""How values are proposed: scales, seeds, and what each strategy makes of earlier jobs."""

from __future__ import annotations

import math
from statistics import median

import pytest

from local.sagemaker.tuning.early_stopping import is_behind
from local.sagemaker.tuning.ranges import read
from local.sagemaker.tuning.request import Plan
from local.sagemaker.tuning.search import Search


def search(strategy="Random", name="some-job", seed=1, jobs=30, **ranges):
    return Search(
        Plan(
            name=name,
            strategy=strategy,
            ranges=read(ranges),
            metric="f1",
            maximize=True,
            jobs=jobs,
            parallel=1,
            seconds=None,
            seed=seed,
            stops_early=False,
            resources=None,
        )
    )


def continuous(low, high, scale):
    item = {"Name": "x", "MinValue": low, "MaxValue": high, "ScalingType": scale}
    return {"ContinuousParameterRanges": [item]}


def drawn(count=200, **settings):
    found = search(**settings)
    return [found.ask().values["x"] for _ in range(count)]


@pytest.mark.parametrize(
    ("low", "high", "scale", "middle"),
    [
        ("1e-6", "1e-2", "Logarithmic", 1e-4),
        ("1e-6", "1e-2", "Auto", 1e-4),
        ("1e-6", "1e-2", "Linear", 5e-3),
        ("0.1", "0.3", "Auto", 0.2),
        ("0.9", "0.9999", "ReverseLogarithmic", 0.9968),
    ],
)
def test_half_of_the_values_lie_below_the_middle_of_their_scale(low, high, scale, middle):
    values = [float(text) for text in drawn(**continuous(low, high, scale))]
    assert float(low) <= min(values)
    assert max(values) <= float(high)
    assert sum(value < middle for value in values) == pytest.approx(100, abs=25)


def test_integers_are_whole_and_reach_both_ends():
    item = {"Name": "x", "MinValue": "2", "MaxValue": "4"}
    assert set(drawn(IntegerParameterRanges=[item])) == {"2", "3", "4"}
    item = {"Name": "x", "MinValue": "1", "MaxValue": "1024", "ScalingType": "Logarithmic"}
    assert median(map(int, drawn(IntegerParameterRanges=[item]))) == pytest.approx(32, abs=16)


@pytest.mark.parametrize("strategy", ["Bayesian", "Random", "Hyperband"])
def test_a_seed_gives_the_same_values_again_and_another_seed_others(strategy):
    ranges = continuous("0", "1", "Linear")
    first = drawn(6, strategy=strategy, seed=5, **ranges)
    assert drawn(6, strategy=strategy, seed=5, **ranges) == first
    assert drawn(6, strategy=strategy, seed=6, **ranges) != first
    assert len(set(first)) == 6


def test_the_bayesian_search_comes_near_the_best_value_in_batches_of_four():
    distances = {}
    for strategy in ("Bayesian", "Random"):
        found = search(strategy, jobs=40, **continuous("0", "1", "Linear"))
        distances[strategy] = []
        for _ in range(10):
            batch = [found.ask() for _ in range(4)]
            for proposal in batch:
                distance = abs(float(proposal.values["x"]) - 0.3)
                distances[strategy].append(distance)
                proposal.report(1 - distance)
                proposal.completed(1 - distance)
    late = {strategy: median(found[20:]) for strategy, found in distances.items()}
    assert late["Bayesian"] < late["Random"] / 2


EARLIER = [[0.5, 0.7], [0.6, 0.8], [0.2, 0.3]]


def test_the_median_rule_compares_with_running_averages_of_earlier_jobs():
    # The averages up to the second epoch are 0.6, 0.7 and 0.25.
    assert is_behind(0.59, 2, EARLIER, maximize=True)
    assert not is_behind(0.61, 2, EARLIER, maximize=True)
    assert is_behind(0.61, 2, EARLIER, maximize=False)
    assert not is_behind(0.51, 1, EARLIER, maximize=True)


def test_the_median_rule_needs_three_earlier_jobs_that_got_as_far():
    assert not is_behind(-math.inf, 2, EARLIER[:2], maximize=True)
    assert not is_behind(-math.inf, 3, EARLIER, maximize=True)

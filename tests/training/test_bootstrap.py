"""Weighted figures against scikit-learn on the rows repeated, and the spread of resamples."""

import time
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, average_precision_score, f1_score, roc_auc_score

from bootstrap import draw, observed, resampled, spread
from evaluate import evaluate
from scored import measure
from tests.training.scored_rows import multi, single, taken

PROBLEMS = {
    "two classes": single(120, "ab", seed=1),
    "five classes, one never true": single(
        120, "abcde", 1.0, true=np.random.default_rng(4).integers(0, 4, 120)
    ),
    "labels": multi(120, "abcd", seed=2),
    "rare labels": multi(120, "abcdef", seed=3, share=0.02),
}


@pytest.mark.parametrize("scored", PROBLEMS.values(), ids=PROBLEMS)
def test_weighting_rows_is_repeating_them(scored):
    weights = draw(np.random.default_rng(7), scored.rows, 12)
    assert (weights.sum(axis=0) == scored.rows).all()
    figures = measure(scored)(weights)
    for resample in range(12):
        rows = np.repeat(np.arange(scored.rows), weights[:, resample].astype(int))
        repeated = observed(measure(taken(scored, rows)), len(rows))
        found = {name: values[resample] for name, values in figures.items()}
        wanted = {n: np.nan if value is None else value for n, value in repeated.items()}
        assert found == pytest.approx(wanted, abs=1e-6, nan_ok=True)


@pytest.mark.parametrize("scored", [PROBLEMS["two classes"], PROBLEMS["labels"]])
def test_a_resample_s_figures_equal_scikit_learn_s_with_these_weights(scored):
    weights = draw(np.random.default_rng(8), scored.rows, 3)
    figures = measure(scored)(weights)
    classes = range(len(scored.labels))
    for resample in range(3):
        times = {"sample_weight": weights[:, resample]}
        ranked = [
            [of(scored.is_true(c), scored.probabilities[:, c], **times) for c in classes]
            for of in (roc_auc_score, average_precision_score)
        ]
        wanted = {
            "accuracy": accuracy_score(scored.true, scored.predicted, **times),
            "f1": f1_score(scored.true, scored.predicted, average="macro", **times),
            "f1_weighted": f1_score(scored.true, scored.predicted, average="weighted", **times),
            "roc_auc": np.mean(ranked[0]),
            "average_precision": np.mean(ranked[1]),
        }
        assert {n: figures[n][resample] for n in wanted} == pytest.approx(wanted, abs=1e-6)


def test_errors_and_intervals_equal_those_of_resampling_row_by_row():
    scored = single(150, "abc", 1.0, seed=2)
    found = evaluate(scored, resamples=4000, seed=1)["metrics"]
    random = np.random.default_rng(5)
    draws = []
    for _ in range(1000):
        rows = random.integers(0, 150, 150)
        draws.append(observed(measure(taken(scored, rows)), 150))
    for name, metric in found.items():
        values = [resample[name] for resample in draws]
        assert metric["standard_error"] == pytest.approx(np.std(values), rel=0.1)
        assert metric["confidence_interval"] == pytest.approx(
            np.percentile(values, [2.5, 97.5]), abs=0.02
        )


def test_both_models_see_the_same_resamples():
    scored = single(80, "abc", seed=6)
    one, other = resampled([measure(scored), measure(scored)], 80, 50, seed=3)
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])
    assert len(set(one["accuracy"])) > 5


def test_many_rows_are_drawn_in_parts_that_differ(monkeypatch):
    scored = single(80, "abc", seed=6)
    monkeypatch.setattr("bootstrap.WEIGHTS_AT_ONCE", 800)
    [draws] = resampled([measure(scored)], 80, 25, seed=3)
    assert draws["accuracy"].shape == (25,)
    assert not np.array_equal(draws["ece"][:10], draws["ece"][10:20])


def test_the_seed_repeats_the_intervals():
    scored = single(100, "abcd", seed=3)
    one, again, other = (evaluate(scored, resamples=250, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one["metrics"] != other["metrics"]


def test_resamples_in_which_a_figure_is_not_defined_are_left_out():
    error, interval = spread(np.array([np.nan, 0.5, 0.7, np.nan]))
    assert error == pytest.approx(np.std([0.5, 0.7], ddof=1), abs=1e-6)
    assert interval == pytest.approx([0.505, 0.695])
    assert spread(np.array([np.nan, 0.5])) == (None, None)


def test_a_thousand_resamples_of_ten_thousand_rows_take_seconds_and_little_memory():
    scored = single(10_000, [f"c{i}" for i in range(77)], seed=5)
    figures = measure(scored)
    once = min(seconds(lambda: figures(np.ones((10_000, 1), np.float32))) for _ in range(5))
    tracemalloc.start()
    took = seconds(lambda: evaluate(scored, resamples=1000, seed=1))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert took < 30
    # Resample by resample it would be a thousand times, however fast the machine.
    assert took < 500 * once
    # All resamples at once would be 200 MB.
    assert peak < 100e6


def seconds(run):
    started = time.process_time()
    run()
    return time.process_time() - started


def test_thousands_of_classes_are_measured_in_little_memory():
    classes, rows = 600, 4000
    scored = single(rows, [f"c{i}" for i in range(classes)], seed=4)
    tracemalloc.start()
    found = evaluate(scored, resamples=5, seed=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2 * scored.probabilities.nbytes
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(scored.right))
    assert found["confusion_matrix"] is None
    assert len(found["per_class"]) == classes

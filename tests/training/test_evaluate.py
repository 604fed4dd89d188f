"""Figures against scikit-learn, errors against resampling row by row; run under both versions."""

import json
import tracemalloc

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    precision_recall_fscore_support,
)
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from evaluate import EvaluationError, evaluate, main, predict
from metrics import count, summary
from tests.inference import tiny


def some_predictions(rows, classes, right, seed):
    random = np.random.default_rng(seed)
    true = random.integers(0, classes, rows)
    noise = random.integers(0, classes, rows)
    return true, np.where(random.random(rows) < right, true, noise)


@pytest.mark.parametrize(
    ("true", "predicted"),
    [
        some_predictions(300, 5, 0.7, 1),
        (np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])),
        # A class that is never predicted, one that is never true, one that is neither.
        (np.array([0, 1, 1, 0]), np.array([0, 0, 2, 0])),
        (np.array([3, 3]), np.array([3, 3])),
    ],
)
def test_figures_equal_scikit_learn_s(true, predicted):
    labels = [f"class {i}" for i in range(5)]
    found = evaluate(true, predicted, labels, resamples=10, seed=0)
    seen = sorted({*true, *predicted})
    each = precision_recall_fscore_support(true, predicted, labels=range(5), zero_division=0)
    macro = [
        np.mean(figures)
        for figures in precision_recall_fscore_support(
            true, predicted, labels=seen, zero_division=0
        )[:3]
    ]
    values = {name: metric["value"] for name, metric in found["metrics"].items()}
    wanted = dict(zip(("precision", "recall", "f1"), macro, strict=True))
    assert values == pytest.approx(
        {"accuracy": accuracy_score(true, predicted), **wanted}, abs=1e-6
    )
    for i, label in enumerate(labels):
        figures = [found["per_class"][label][n] for n in ("precision", "recall", "f1", "support")]
        assert figures == pytest.approx([column[i] for column in each], abs=1e-6)
    matrix = confusion_matrix(true, predicted, labels=range(5))
    assert found["confusion_matrix"] == {"labels": labels, "true_by_predicted": matrix.tolist()}


def test_errors_and_intervals_equal_those_of_resampling_row_by_row():
    true, predicted = some_predictions(200, 3, 0.6, 2)
    found = evaluate(true, predicted, ["a", "b", "c"], resamples=4000, seed=1)["metrics"]
    random = np.random.default_rng(5)
    draws = {name: [] for name in found}
    for _ in range(4000):
        rows = random.integers(0, 200, 200)
        for name, value in summary(count(true[rows], predicted[rows], 3)).items():
            draws[name].append(float(value))
    for name, metric in found.items():
        low, high = np.percentile(draws[name], [2.5, 97.5])
        assert metric["standard_error"] == pytest.approx(np.std(draws[name]), rel=0.06)
        assert metric["confidence_interval"] == pytest.approx([low, high], abs=0.01)
        assert low < metric["value"] < high


def test_thousands_of_classes_are_measured_in_little_memory():
    classes = 4000
    true, predicted = some_predictions(8000, classes, 0.6, 4)
    tracemalloc.start()
    found = evaluate(true, predicted, [f"c{i}" for i in range(classes)], resamples=20, seed=1)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 100e6
    assert found["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(true == predicted))
    assert found["confusion_matrix"] is None
    assert len(found["per_class"]) == classes


def test_the_seed_repeats_the_intervals():
    true, predicted = some_predictions(100, 4, 0.5, 3)
    one, again, other = (
        evaluate(true, predicted, list("abcd"), resamples=250, seed=seed) for seed in (1, 1, 2)
    )
    assert one == again
    assert one["metrics"] != other["metrics"]


def test_predictions_keep_their_order_whatever_the_batches(tmp_path, monkeypatch):
    directory = tiny.classifier(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    words = AutoTokenizer.from_pretrained(directory)
    texts = ["refund", "my parcel is late " * 20, "the app", "", "my bill was charged twice"] * 5
    one_by_one = [int(predict(model, words, [text])[0]) for text in texts]
    assert len(set(one_by_one)) > 1
    monkeypatch.setitem(__import__("evaluate").TOKENS_PER_BATCH, "cpu", 70)
    assert predict(model, words, texts).tolist() == one_by_one


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "holds no rows"),
        ([{"text": "a", "label": "violet"}], r"the rows also hold \['violet'\]"),
    ],
)
def test_rows_that_do_not_fit_the_model_are_refused(tmp_path, rows, said):
    import shutil

    (tmp_path / "packed").mkdir()
    (tmp_path / "test").mkdir()
    directory = tiny.classifier(tmp_path / "model")
    shutil.make_archive(str(tmp_path / "packed" / "model"), "gztar", directory)
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "test" / "rows.jsonl").write_text(lines)
    places = [f"--model={tmp_path / 'packed'}", f"--test={tmp_path / 'test'}"]
    with pytest.raises(EvaluationError, match=said):
        main([*places, f"--output={tmp_path / 'evaluation'}"])


def test_a_directory_without_an_artifact_is_named(tmp_path):
    with pytest.raises(EvaluationError, match=r"no model\.tar\.gz in"):
        main([f"--model={tmp_path}", f"--test={tmp_path}", f"--output={tmp_path}"])

"""Figures against scikit-learn, and the script on real artifacts; run under every version."""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    precision_recall_fscore_support,
    roc_auc_score,
)
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from evaluate import EvaluationError, evaluate, main
from gate import GateError
from predictions import load, predict
from scored import Scored
from tests.inference import tiny
from tests.training.scored_rows import multi, single

TRAINING = Path(__file__).parents[2] / "training"
LABELS = ("billing", "delivery", "returns")
TEXTS = [
    "my parcel is late",
    "my bill was charged twice",
    "refund the shoes please",
    "the app crashes",
    "where is the courier",
    "why was my card charged a fee",
]


def given(true, predicted, classes):
    """Single-label rows that are answered with certainty."""
    labels = tuple(f"class {i}" for i in range(classes))
    probabilities = np.eye(classes)[predicted]
    return Scored("single-label", labels, np.asarray(true), probabilities, np.full(classes, 0.5))


def averages(true, predicted, seen):
    wanted = {}
    for average, suffix in (("macro", ""), ("micro", "_micro"), ("weighted", "_weighted")):
        of = precision_recall_fscore_support(
            true, predicted, labels=seen, average=average, zero_division=0
        )
        wanted |= {f"{n}{suffix}": of[i] for i, n in enumerate(("precision", "recall", "f1"))}
    return wanted


def check_per_class(found, scored, each):
    for i, label in enumerate(scored.labels):
        of_label = found["per_class"][label]
        figures = [of_label[n] for n in ("precision", "recall", "f1", "support")]
        assert figures == pytest.approx([column[i] for column in each], abs=1e-6)
        positive = scored.is_true(i)
        if positive.all() or not positive.any():
            assert (of_label["roc_auc"], of_label["average_precision"]) == (None, None)
            continue
        scores = scored.probabilities[:, i]
        assert of_label["roc_auc"] == pytest.approx(roc_auc_score(positive, scores), abs=1e-6)
        assert of_label["average_precision"] == pytest.approx(
            average_precision_score(positive, scores), abs=1e-6
        )


def error_bin_by_bin(probabilities, outcomes):
    total = 0.0
    for start in range(15):
        inside = (probabilities >= start / 15) & (
            (probabilities < (start + 1) / 15) | (start == 14)
        )
        if inside.any():
            total += abs(outcomes[inside].mean() - probabilities[inside].mean()) * inside.sum()
    return total / len(probabilities)


@pytest.mark.parametrize(
    "scored",
    [
        single(300, "abcde", 1.5, seed=1),
        given([0, 0, 1, 1], [0, 1, 1, 1], 2),
        # A class that is never predicted, one that is never true, one that is neither.
        given([0, 1, 1, 0], [0, 0, 2, 0], 4),
        given([3, 3], [3, 3], 5),
    ],
)
def test_single_label_figures_equal_scikit_learn_s(scored):
    found = evaluate(scored, resamples=10, seed=0)
    classes = range(len(scored.labels))
    true, predicted = scored.true, scored.predicted
    wanted = {
        "accuracy": accuracy_score(true, predicted),
        **averages(true, predicted, sorted({*true, *predicted})),
        "ece": error_bin_by_bin(scored.probabilities.max(axis=1), scored.right),
    }
    ranked = [c for c in classes if 0 < scored.is_true(c).sum() < scored.rows]
    for name, of in (("roc_auc", roc_auc_score), ("average_precision", average_precision_score)):
        each = [of(scored.is_true(c), scored.probabilities[:, c]) for c in ranked]
        wanted[name] = np.mean(each) if each else None
    if len(scored.labels) == 2:
        binary = precision_recall_fscore_support(true, predicted, average="binary", pos_label=1)
        wanted |= dict(
            zip(("precision_binary", "recall_binary", "f1_binary"), binary[:3], strict=True)
        )
    values = {name: metric["value"] for name, metric in found["metrics"].items()}
    assert values.keys() == wanted.keys()
    for name, value in wanted.items():
        assert values[name] == (None if value is None else pytest.approx(value, abs=1e-6)), name
    each = precision_recall_fscore_support(true, predicted, labels=classes, zero_division=0)
    check_per_class(found, scored, each)
    matrix = confusion_matrix(true, predicted, labels=classes)
    assert found["confusion_matrix"] == {
        "labels": list(scored.labels),
        "true_by_predicted": matrix.tolist(),
    }


def test_multi_label_figures_equal_scikit_learn_s():
    scored = multi(400, "abcdef", seed=5)
    found = evaluate(scored, resamples=10, seed=0)
    true, predicted = scored.true, scored.predicted
    wanted = {
        "accuracy": accuracy_score(true, predicted),
        **averages(true, predicted, range(6)),
        "roc_auc": roc_auc_score(true, scored.probabilities, average="macro"),
        "average_precision": average_precision_score(true, scored.probabilities, average="macro"),
        "ece": error_bin_by_bin(scored.probabilities.ravel(), true.ravel()),
    }
    values = {name: metric["value"] for name, metric in found["metrics"].items()}
    assert values == pytest.approx(wanted, abs=1e-6)
    each = precision_recall_fscore_support(true, predicted, zero_division=0)
    check_per_class(found, scored, each)
    assert [of["threshold"] for of in found["per_class"].values()] == list(scored.thresholds)
    assert "confusion_matrix" not in found


def test_a_label_that_reaches_its_threshold_is_predicted():
    scored = Scored(
        "multi-label",
        ("a", "b"),
        np.array([[True, True]]),
        np.array([[0.3, 0.3]]),
        np.array([0.3, 0.31]),
    )
    assert scored.predicted.tolist() == [[True, False]]


def test_the_reliability_diagram_holds_every_row():
    scored = single(300, "abc", seed=4)
    bins = evaluate(scored, resamples=5, seed=0)["calibration"]["bins"]
    assert sum(b["members"] for b in bins) == 300
    right = sum(b["members"] * b["outcome"] for b in bins if b["members"])
    assert right == pytest.approx(scored.right.sum(), abs=0.01)


def test_the_difference_is_of_paired_rows():
    better = single(300, "abc", 2.0, seed=8)
    worse = single(300, "abc", 1.0, seed=9, true=better.true)
    both = evaluate(better, worse, version="3", resamples=300, seed=0)["comparison"]
    accuracy = both["metrics"]["accuracy"]
    assert both["version"] == "3"
    difference = np.mean(better.right) - np.mean(worse.right)
    assert accuracy["difference"] == pytest.approx(difference, abs=1e-6)
    low, high = accuracy["confidence_interval"]
    assert low < difference < high
    alike = evaluate(better, better, version="3", resamples=300, seed=0)["comparison"]
    assert {m["difference"] for m in alike["metrics"].values()} == {0.0}
    assert {m["standard_error"] for m in alike["metrics"].values()} == {0.0}


@pytest.mark.parametrize(("rows", "lower"), [(5, 0.549280), (20, 0.860892), (1000, 0.997009)])
def test_few_rows_that_are_all_right_do_not_make_a_certain_model(rows, lower):
    """Clopper and Pearson's bound, 0.05^(1/rows)."""
    true = [i % 2 for i in range(rows)]
    [perfect, hopeless] = (
        evaluate(given(true, predicted, 2), resamples=200, seed=1)["metrics"]["accuracy"]
        for predicted in (true, [1 - t for t in true])
    )
    assert perfect["confidence_interval"] == [lower, 1]
    assert hopeless["confidence_interval"] == [0, pytest.approx(1 - lower)]
    # One mistake more never raises the lower end.
    once_wrong = [1 - true[0], *true[1:]]
    worse = evaluate(given(true, once_wrong, 2), resamples=200, seed=1)["metrics"]["accuracy"]
    assert worse["confidence_interval"][0] < lower


def test_of_a_rare_class_that_is_always_right_only_its_own_rows_tell():
    true = [0] * 995 + [1] * 5
    found = evaluate(given(true, true, 2), resamples=200, seed=1)["metrics"]
    unseen = 1 - 0.05 ** (1 / 5)
    lower = {name: metric["confidence_interval"][0] for name, metric in found.items()}
    for name in ("accuracy", "f1_micro", "f1_weighted"):
        assert lower[name] == pytest.approx(0.997009, abs=1e-6)
    for name in ("f1", "precision", "recall", "roc_auc", "average_precision"):
        assert lower[name] == pytest.approx(1 - unseen / 2, abs=1e-6)
    assert lower["recall_binary"] == pytest.approx(1 - unseen, abs=1e-6)
    assert found["ece"]["confidence_interval"] == [0, pytest.approx(1 - 0.997009, abs=1e-6)]


def test_predictions_keep_their_order_whatever_the_batches(tmp_path, monkeypatch):
    directory = tiny.classifier(tmp_path)
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    words = AutoTokenizer.from_pretrained(directory)
    texts = ["refund", "my parcel is late " * 20, "the app", "", "my bill was charged twice"] * 5
    one_by_one = np.concatenate([predict(model, words, [text]) for text in texts])
    monkeypatch.setitem(sys.modules["predictions"].TOKENS_PER_BATCH, "cpu", 70)
    together = predict(model, words, texts)
    np.testing.assert_allclose(together, one_by_one, atol=1e-5)
    np.testing.assert_allclose(together.sum(axis=1), 1)
    assert len(set(together[:, 0].round(4))) > 3
    each = predict(model, words, texts, "multi-label")
    assert np.abs(each.sum(axis=1) - 1).max() > 0.01
    pairs = predict(model, words, [(text, "refund the shoes") for text in texts])
    assert np.abs(pairs - together).max() > 0.01


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return tiny.classifier(tmp_path_factory.mktemp("weights"), labels=LABELS)


@pytest.fixture
def packed(tmp_path, weights):
    """Pack an artifact with other members of config.json and a lectern.json; give its directory."""

    def pack(name="model", record=None, **config):
        directory = tmp_path / f"{name}-files"
        shutil.copytree(weights, directory)
        path = directory / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
        if record is not None:
            (directory / "lectern.json").write_text(json.dumps(record))
        (tmp_path / name).mkdir()
        shutil.make_archive(str(tmp_path / name / "model"), "gztar", directory)
        return tmp_path / name

    return pack


@pytest.fixture
def test_rows(tmp_path):
    def write(rows):
        (tmp_path / "test").mkdir(exist_ok=True)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "test" / "rows.jsonl").write_text(lines)
        return tmp_path / "test"

    return write


ROWS = [{"text": t, "label": LABELS[i % 3]} for i, t in enumerate(TEXTS * 4)]
LONG = "my parcel is late and the courier was not there " * 20


def run(model, test, output, *more):
    return main(
        [f"--model={model}", f"--test={test}", f"--output={output}", "--resamples=20", *more]
    )


def test_the_script_writes_figures_and_both_cards(tmp_path, packed, test_rows, capsys):
    found = run(packed(), test_rows(ROWS), tmp_path / "out", "--require=accuracy:value:0")
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text()) == found
    assert (found["problem"], found["rows"], found["comparison"]) == ("single-label", 24, None)
    assert found["gate"]["passed"] == 1
    assert (tmp_path / "out" / "card.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "out" / "card.md").read_text().startswith("---\n")
    printed = capsys.readouterr().out
    value = found["metrics"]["accuracy"]["value"]
    assert f"METRIC accuracy={value:.6f}\n" in printed
    assert "gate passed: accuracy is" in printed


def test_the_script_runs_from_its_zip_and_a_failed_gate_is_no_failed_job(
    tmp_path, packed, test_rows
):
    with zipfile.ZipFile(tmp_path / "training.zip", "w") as archive:
        for path in TRAINING.glob("*.py"):
            archive.write(path, path.name)
    command = [
        *(sys.executable, "-m", "evaluate", f"--model={packed()}", f"--test={test_rows(ROWS)}"),
        *(f"--output={tmp_path / 'out'}", "--resamples=20", "--require=accuracy:value:1"),
        *(f"--approved={tmp_path}", "--approved-version=none", "--margin=accuracy:0.005"),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "training.zip")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    gate = json.loads((tmp_path / "out" / "evaluation.json").read_text())["gate"]
    assert gate["passed"] == 0
    assert gate["message"].endswith("at least 1 is asked")
    assert (tmp_path / "out" / "card.html").stat().st_size > 5000


def test_a_multi_label_model_uses_the_thresholds_of_its_artifact(tmp_path, packed, test_rows):
    rows = [{"text": t, "labels": list(LABELS[: i % 3])} for i, t in enumerate(TEXTS)]
    record = {"thresholds": {"billing": 0.0, "delivery": 1.1}}
    model = packed(record=record, problem_type="multi_label_classification")
    found = run(model, test_rows(rows), tmp_path / "out")
    assert found["problem"] == "multi-label"
    of = found["per_class"]
    assert [of[label]["threshold"] for label in LABELS] == [0.0, 1.1, 0.5]
    assert [of[label]["predicted"] for label in LABELS[:2]] == [len(TEXTS), 0]
    assert [of[label]["support"] for label in LABELS] == [4, 2, 0]


def test_the_approved_version_is_measured_on_the_same_rows_by_class_name(
    tmp_path, packed, test_rows
):
    other_order = {"id2label": dict(enumerate(LABELS[::-1])), "label2id": {}}
    approved = packed("approved", **other_order)
    more = [f"--approved={approved}", "--approved-version=3", "--margin=accuracy:0.9"]
    found = run(packed(), test_rows(ROWS), tmp_path / "out", *more)
    accuracy = found["comparison"]["metrics"]["accuracy"]
    alone = run(approved, test_rows(ROWS), tmp_path / "alone")["metrics"]["accuracy"]["value"]
    assert found["comparison"]["version"] == "3"
    assert accuracy["approved"] == alone
    assert accuracy["candidate"] == found["metrics"]["accuracy"]["value"] != alone
    assert f"{alone:.3f} of version 3 on the same 24 rows" in found["gate"]["message"]


@pytest.mark.parametrize(
    ("config", "said", "passed"),
    [
        (
            {"id2label": {0: "billing", 1: "delivery", 2: "spam"}},
            "lacks 'returns', it has 'spam' that the new model lacks",
            1,
        ),
        ({"problem_type": "multi_label_classification"}, "its problem is multi-label", 1),
        ({"model_type": "unheard-of"}, "its model artifact cannot be read: ", 0),
        # The head of three classes stays, and its weights have another size.
        (
            {"id2label": {0: "billing", 1: "delivery"}},
            "its model artifact cannot be read: RuntimeError: ",
            0,
        ),
    ],
)
def test_an_approved_version_that_cannot_be_compared_is_skipped(
    tmp_path, packed, test_rows, config, said, passed
):
    approved = packed("approved", **config)
    more = [f"--approved={approved}", "--approved-version=3", "--margin=accuracy:0.1"]
    found = run(packed(), test_rows(ROWS), tmp_path / "out", *more)
    assert found["comparison"].keys() == {"version", "skipped"}
    assert said in found["comparison"]["skipped"]
    assert found["gate"]["passed"] == passed
    assert said in found["gate"]["margin"]["note"]


def test_an_approved_version_without_its_tokenizer_is_named_by_the_gate(
    tmp_path, packed, test_rows, weights
):
    (tmp_path / "approved").mkdir()
    with tarfile.open(tmp_path / "approved" / "model.tar.gz", "w:gz") as tar:
        for name in ("config.json", "model.safetensors"):
            tar.add(weights / name, name)
    more = [f"--approved={tmp_path / 'approved'}", "--approved-version=3", "--margin=accuracy:0.1"]
    found = run(packed(), test_rows(ROWS), tmp_path / "out", *more)
    assert found["gate"]["passed"] == 0
    note = found["gate"]["margin"]["note"]
    assert "version 3: its model artifact cannot be read: " in note
    assert note.endswith(": reject that version, and run again")


def test_the_approved_version_s_artifact_may_have_any_name(tmp_path, packed, test_rows):
    approved = packed("approved")
    (approved / "model.tar.gz").rename(approved / "tickets-2026.tar.gz")
    more = [f"--approved={approved}", "--approved-version=3", "--margin=accuracy:0.005"]
    found = run(packed(), test_rows(ROWS), tmp_path / "out", *more)
    assert found["comparison"]["metrics"]["accuracy"]["difference"] == 0
    assert found["gate"]["passed"] == 0


def test_no_version_is_approved_where_the_pipeline_says_so(tmp_path, packed, test_rows):
    # What a pipeline puts there then is the zip of these scripts.
    (tmp_path / "approved").mkdir()
    (tmp_path / "approved" / "0123abcd.zip").write_bytes(b"scripts")
    more = [f"--approved={tmp_path / 'approved'}", "--approved-version=none"]
    found = run(packed(), test_rows(ROWS), tmp_path / "out", *more, "--margin=accuracy:0.005")
    assert found["comparison"] is None
    assert "no version is approved yet" in found["gate"]["margin"]["note"]


@pytest.mark.parametrize(
    ("names", "said"), [(["model.zip"], "got none"), (["a.tar.gz", "b.tar.gz"], "got a.tar.gz, b")]
)
def test_an_approved_version_without_one_artifact_is_refused_at_once(
    tmp_path, packed, test_rows, monkeypatch, names, said
):
    monkeypatch.setattr("evaluate.load", None)
    (tmp_path / "approved").mkdir()
    for name in names:
        (tmp_path / "approved" / name).write_bytes(b"")
    more = [f"--approved={tmp_path / 'approved'}", "--approved-version=3"]
    with pytest.raises(EvaluationError, match=rf"one \*\.tar\.gz of version 3 .* {said}"):
        run(packed(), test_rows(ROWS), tmp_path / "out", *more)


@pytest.mark.parametrize("more", ["--approved=approved", "--approved-version=3"])
def test_the_approved_version_is_given_with_its_place(tmp_path, packed, test_rows, capsys, more):
    with pytest.raises(SystemExit):
        run(packed(), test_rows(ROWS), tmp_path / "out", more)
    assert "--approved and --approved-version go together" in capsys.readouterr().err


def test_a_figure_that_too_few_resamples_define_is_printed_without_an_interval(
    tmp_path, packed, test_rows, capsys
):
    rows = [{"text": t, "label": LABELS[i > 2]} for i, t in enumerate(TEXTS[:4])]
    found = run(packed(), test_rows(rows), tmp_path / "out", "--resamples=2", "--seed=0")
    area = found["metrics"]["roc_auc"]
    assert area["confidence_interval"] is None
    assert f"roc_auc {area['value']:.4f}\n" in capsys.readouterr().out


def answered(markdown, model, text):
    """What the card's own lines answer, with a model and a text of ours."""
    lines = re.search(r"```python\n(.*?)```", markdown, flags=re.S)[1]
    lines = lines.replace('"ORG/NAME"', repr(str(model))).replace('"A text"', repr(text))
    names = {}
    exec(lines, names)
    entries = names["answer"] if isinstance(names["answer"], list) else [names["answer"]]
    return {entry["label"]: entry["score"] for entry in entries}


@pytest.mark.parametrize("problem", ["single-label", "multi-label", "pairs"])
def test_the_card_s_usage_scores_a_text_of_any_length_as_evaluation_does(
    tmp_path, packed, test_rows, problem
):
    several = problem == "multi-label"
    kind = "multi" if several else "single"
    rows = [{"text": t, **({"labels": []} if several else {"label": "billing"})} for t in TEXTS]
    if problem == "pairs":
        rows = [row | {"text_pair": "the app"} for row in rows]
    model = packed(problem_type=f"{kind}_label_classification")
    run(model, test_rows(rows), tmp_path / "out")
    found = answered((tmp_path / "out" / "card.md").read_text(), tmp_path / "model-files", LONG)
    given = (LONG, "Another") if problem == "pairs" else LONG
    loaded = load(model / "model.tar.gz")
    [wanted] = predict(loaded.model, loaded.tokenizer, [given], f"{kind}-label")
    scores = dict(zip(LABELS, wanted, strict=True))
    if not several:
        best = max(scores, key=scores.get)
        scores = {best: scores[best]}
    assert found == pytest.approx(scores, abs=1e-5)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "holds no rows"),
        ([{"text": "a", "label": "violet"}], r"the rows also hold \['violet'\]"),
        ([{"text": "a", "labels": ["billing"]}], "each row needs 'label', found labels, text"),
    ],
)
def test_rows_that_do_not_fit_the_model_are_refused(tmp_path, packed, test_rows, rows, said):
    with pytest.raises(EvaluationError, match=said):
        run(packed(), test_rows(rows), tmp_path / "out")


def test_a_figure_that_is_not_there_is_refused_before_anything_is_predicted(
    tmp_path, packed, test_rows, monkeypatch
):
    monkeypatch.setattr("evaluate.predict", None)
    with pytest.raises(GateError, match="no figure 'f1_binary'"):
        run(packed(), test_rows(ROWS), tmp_path / "out", "--require=f1_binary:value:0.5")


def test_an_artifact_that_holds_no_classifier_is_refused(tmp_path, packed):
    with pytest.raises(EvaluationError, match=r"no model\.tar\.gz in"):
        run(tmp_path, tmp_path, tmp_path)
    whole = (packed() / "model.tar.gz").read_bytes()
    for content in (b"no archive", whole[: len(whole) // 2]):
        (tmp_path / "model.tar.gz").write_bytes(content)
        with pytest.raises(EvaluationError, match="holds no classifier"):
            run(tmp_path, tmp_path, tmp_path)

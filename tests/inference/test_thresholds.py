"""What a multi-label model predicts: the labels that reach the thresholds its artifact records."""

import json
import sys

import numpy as np
import pytest

from fault import Fault
from tasks.registry import load
from tests.inference import tiny
from tests.inference.asking import ask
from tests.inference.comparing import answers
from tests.inference.conftest import ROOT

LABELS = ("red", "grün", "blue")
TEXTS = ["my parcel is late", "charged twice", "the app crashes please refund"]
VERBOSE = "application/json;verbose"
MULTI_LABEL = "multi_label_classification"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    """A packaged multi-label model whose thresholds some scores reach to the last digit."""
    sys.path.insert(0, str(ROOT / "training"))
    from package import package_directory

    directory = tiny.classifier(tmp_path_factory.mktemp("model"), LABELS, problem_type=MULTI_LABEL)
    rows = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    assert package_directory(directory, rows, int8=False)["exported"]
    record(directory, dict.fromkeys(LABELS, 0.5))
    return directory


def record(directory, thresholds):
    file = directory / "lectern.json"
    document = json.loads(file.read_text()) if file.exists() else {}
    file.write_text(json.dumps(document | {"thresholds": thresholds}))


def served(directory, engine="torch"):
    return load("text-classification", directory, engine=engine, device="cpu")


def scores(task):
    return np.stack([a.distributions.probabilities for a in asked(task)])


def asked(task, **parameters):
    return answers(task, *({"inputs": text, "parameters": parameters} for text in TEXTS))


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_labels_that_reach_their_own_threshold_are_predicted_in_class_order(artifact, engine):
    found = scores(served(artifact, engine))
    # Each label's threshold is its middle score: reached there and by the higher one.
    middle = np.sort(found, axis=0)[1]
    record(artifact, {label: float(t) for label, t in zip(LABELS, middle, strict=True)})
    predicted = [answer.distributions.predicted for answer in asked(served(artifact, engine))]
    expected = [
        [label for label, score, t in zip(LABELS, row, middle, strict=True) if score >= t]
        for row in found
    ]
    assert predicted == expected
    assert sum(map(len, predicted)) == 6


def test_the_verbose_answer_gains_them_and_no_other_shape_does(artifact):
    from inference import model_fn

    record(artifact, {"red": 0.0, "grün": 2.0, "blue": 0.0})
    model = model_fn(str(artifact))
    one = ask(model, {"inputs": TEXTS[0]}, accept=VERBOSE)
    assert one["predicted_labels"] == ["red", "blue"]
    assert set(one) == {"probabilities", "labels", "predicted_label", "predicted_labels"}
    assert one["predicted_label"] == LABELS[int(np.argmax(one["probabilities"]))]
    several = ask(model, {"inputs": TEXTS}, accept=VERBOSE)
    assert [entry["predicted_labels"] for entry in several] == [["red", "blue"]] * 3
    (plain,) = ask(model, {"inputs": TEXTS[0]})
    assert set(plain) == {"label", "score"}


def test_no_label_may_reach_its_threshold(artifact):
    record(artifact, dict.fromkeys(LABELS, 1.0))
    from inference import model_fn

    model = model_fn(str(artifact))
    assert ask(model, {"inputs": TEXTS[0]}, accept=VERBOSE)["predicted_labels"] == []


def test_scores_that_are_no_sigmoids_have_no_thresholds(artifact):
    record(artifact, dict.fromkeys(LABELS, 0.0))
    task = served(artifact)
    assert asked(task)[0].distributions.predicted == list(LABELS)
    assert asked(task, function_to_apply="none")[0].distributions.predicted is None
    assert asked(task, function_to_apply="softmax")[0].distributions.predicted is None


def test_single_label_models_and_those_without_thresholds_say_nothing_of_them(tmp_path):
    single = tiny.classifier(tmp_path / "single", LABELS)
    record(single, dict.fromkeys(LABELS, 0.0))
    several = tiny.classifier(tmp_path / "several", LABELS, problem_type=MULTI_LABEL)
    for directory in (single, several):
        (one, *_) = asked(served(directory), function_to_apply="sigmoid")
        assert one.distributions.predicted is None


@pytest.mark.parametrize("engine", ["torch", "onnx"])
@pytest.mark.parametrize(
    "thresholds", [{"red": 0.5}, {"red": 0.5, "grün": "0.5", "blue": 0.5}, [0.5, 0.5, 0.5]], ids=str
)
def test_thresholds_of_other_labels_do_not_load(artifact, engine, thresholds):
    from engine import onnx_classifier, torch_classifier

    record(artifact, thresholds)
    loads = {
        "onnx": lambda: onnx_classifier.load(artifact, int8=False),
        "torch": lambda: torch_classifier.load(artifact, "cpu"),
    }
    with pytest.raises(Fault, match=r"lectern\.json: thresholds"):
        loads[engine]()

"""Zero-shot classification against the plain transformers pipeline; run under both transformers."""

from types import SimpleNamespace

import pytest
import transformers
from transformers import pipeline

from tasks.registry import load
from tests.inference import tiny
from tests.inference.comparing import answers, ask, same

SHORT = "my parcel is late"
LONG = "why was the price on my bill not the price of the order " * 9
TEXTS = [SHORT, LONG, "refund", "the app crashes when i return to the screen", SHORT]
LABELS = ["the courier", "my bill", "login", "why do you charge my card twice"]

MODELS = {
    "encoder and decoder": tiny.bart,
    "entailment first": lambda d: tiny.classifier(d, ("ENTAILMENT", "neutral", "contradiction")),
    "entailment second": lambda d: tiny.classifier(d, ("contradiction", "entailment", "neutral")),
    "two classes": lambda d: tiny.classifier(d, ("entailment", "not_entailment")),
    "no entailment": lambda d: tiny.classifier(d, ("red", "green", "blue")),
}
PARAMETERS = [
    {"candidate_labels": LABELS},
    {"candidate_labels": LABELS, "multi_label": True},
    {"candidate_labels": LABELS, "multi_label": False},
    {"candidate_labels": LABELS[:1]},
    {"candidate_labels": LABELS[:1], "multi_label": True},
    {"candidate_labels": "the courier , my bill,, login "},
    {"candidate_labels": "login"},
    {"candidate_labels": [" login ", "LOGIN", "a, b"]},
    {"candidate_labels": ["login", "my bill", "login"]},
    {"candidate_labels": ["login", "my bill", "login"], "multi_label": True},
    {"candidate_labels": LABELS, "hypothesis_template": "{}"},
    {"candidate_labels": LABELS, "hypothesis_template": "the order is {} , is it not"},
    {"candidate_labels": ["login", "{}", "{0.__class__}", "}{"]},
]


@pytest.fixture(scope="module", params=MODELS)
def both(request, tmp_path_factory):
    directory = MODELS[request.param](tmp_path_factory.mktemp("model"))
    return SimpleNamespace(
        task=load("zero-shot-classification", directory, engine="torch", device="cpu"),
        plain=pipeline("zero-shot-classification", model=str(directory), device="cpu"),
    )


@pytest.mark.parametrize("parameters", PARAMETERS, ids=str)
def test_answers_equal_the_pipeline_s_in_shape_order_and_score(both, parameters):
    for inputs in (SHORT, LONG, [SHORT], TEXTS):
        theirs = both.plain(inputs, **parameters)
        same(ask(both.task, {"inputs": inputs, "parameters": parameters}), theirs)


def test_all_questions_at_once_are_answered_as_each_alone(both):
    questions = [
        {"inputs": text, "parameters": parameters} for text in TEXTS for parameters in PARAMETERS
    ]
    for question, answer in zip(questions, answers(both.task, *questions), strict=True):
        same(answer.value, both.plain(question["inputs"], **question["parameters"]))


@pytest.mark.parametrize("independent", [True, False])
def test_the_flat_form_says_the_same_with_the_older_name(both, independent):
    flat = {"sequences": TEXTS, "candidate_labels": LABELS, "multi_class": independent}
    theirs = both.plain(TEXTS, candidate_labels=LABELS, multi_label=independent)
    same(ask(both.task, flat), theirs)
    if transformers.__version__.startswith("4."):
        same(both.plain(TEXTS, candidate_labels=LABELS, multi_class=independent), theirs)
    parameters = {"candidate_labels": LABELS, "multi_class": independent}
    same(ask(both.task, {"inputs": TEXTS, "parameters": parameters}), theirs)

"""Text classification against the plain transformers pipeline; run under both transformers."""

from types import SimpleNamespace

import pytest
import transformers
from transformers import pipeline

from tasks.registry import load
from tests.inference import tiny
from tests.inference.comparing import ask, same

SHORT = "my parcel is late"
LONG = "why was the price on my bill not the price of the order " * 9
TEXTS = [SHORT, LONG, "refund", "the app crashes when i return to the screen, please change it", ""]
PAIR = {"text": "my parcel is late", "text_pair": "where is the courier"}
PAIRS = [
    PAIR,
    {"text": LONG, "text_pair": LONG},
    {"text": SHORT},
    {"text": "", "text_pair": "a"},
    {"text": "a", "text_pair": ""},
]

MODELS = {
    "three classes": lambda d: tiny.classifier(d),
    "two classes": lambda d: tiny.classifier(d, ("a", "b")),
    "one class": lambda d: tiny.classifier(d, ("a",)),
    "regression": lambda d: tiny.classifier(d, ("a",), problem_type="regression"),
    "multi-label": lambda d: tiny.classifier(
        d, ("a", "b", "c"), problem_type="multi_label_classification"
    ),
    "single-label": lambda d: tiny.classifier(
        d, ("a", "b", "c", "d"), problem_type="single_label_classification"
    ),
    "encoder and decoder": tiny.bart,
    "encoder that sees padding": tiny.fnet,
    "decoder that cannot pad": tiny.gpt2_without_a_pad_token,
    "decoder that pads": tiny.gpt2_that_pads,
}
INPUTS = {
    "text": SHORT,
    "long": LONG,
    "list of one": [SHORT],
    "texts": TEXTS,
    "pair": PAIR,
    "pairs": PAIRS,
    "mixed": [PAIR, *TEXTS, *PAIRS],
}
PARAMETERS = [
    {},
    {"top_k": 1},
    {"top_k": 2},
    {"top_k": None},
    {"top_k": 99},
    {"function_to_apply": None},
    {"function_to_apply": "sigmoid"},
    {"function_to_apply": "softmax", "top_k": None},
    {"function_to_apply": "none", "top_k": None},
    {"truncation": True, "function_to_apply": "softmax"},
]
WITHOUT_SPECIAL_TOKENS = ("decoder that cannot pad", "decoder that pads")


@pytest.fixture(scope="module", params=MODELS)
def both(request, tmp_path_factory):
    directory = MODELS[request.param](tmp_path_factory.mktemp("model"))
    return SimpleNamespace(
        name=request.param,
        task=load("text-classification", directory, engine="torch", device="cpu"),
        plain=pipeline("text-classification", model=str(directory), device="cpu"),
    )


def taken(both, inputs):
    """What the pipeline itself takes: a tokenizer without special tokens knows no pairs."""
    if both.name not in WITHOUT_SPECIAL_TOKENS:
        return inputs
    if isinstance(inputs, list):
        return [one for one in inputs if one and isinstance(one, str)] or [SHORT]
    return {"text": SHORT} if isinstance(inputs, dict) else inputs


@pytest.mark.parametrize("inputs", INPUTS)
def test_answers_equal_the_pipeline_s_in_shape_and_score(both, inputs):
    inputs = taken(both, INPUTS[inputs])
    for parameters in PARAMETERS:
        theirs = both.plain(inputs, **{"truncation": True, **parameters})
        same(ask(both.task, {"inputs": inputs, "parameters": parameters}), theirs)


def test_a_question_may_be_the_object_itself(both):
    same(ask(both.task, {"text": SHORT}), both.plain({"text": SHORT}))


def test_a_text_that_fits_needs_no_truncation(both):
    body = {"inputs": [SHORT, SHORT], "parameters": {"truncation": False}}
    same(ask(both.task, body), both.plain([SHORT, SHORT]))


def test_all_scores_come_in_the_shape_and_order_of_transformers_4(both):
    ranked = both.plain(SHORT, top_k=None)
    in_class_order = sorted(ranked, key=lambda e: both.plain.model.config.label2id[e["label"]])
    for inputs, expected in (
        (SHORT, [in_class_order]),
        ([SHORT, SHORT], [in_class_order] * 2),
        ({"text": SHORT}, in_class_order),
    ):
        body = {"inputs": inputs, "parameters": {"return_all_scores": True}}
        same(ask(both.task, body), expected)
        if transformers.__version__.startswith("4."):
            same(both.plain(inputs, return_all_scores=True), expected)


def test_all_scores_yield_to_top_k(both):
    body = {"inputs": SHORT, "parameters": {"return_all_scores": True, "top_k": 1}}
    same(ask(both.task, body), both.plain(SHORT, top_k=1))
    body = {"inputs": SHORT, "parameters": {"return_all_scores": False}}
    same(ask(both.task, body), both.plain(SHORT))


def test_a_batch_answers_as_each_would_alone(both):
    texts = [text for text in TEXTS * 3 if text]
    alone = [both.plain(text, truncation=True, top_k=None) for text in texts]
    same(ask(both.task, {"inputs": texts, "parameters": {"top_k": None}}), alone)

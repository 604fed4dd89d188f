"""Feature extraction: the plain pipeline's vectors, and one vector a text."""

import math

import pytest
import torch
from transformers import pipeline

from fault import Fault
from tasks import feature_extraction
from tests.inference import reference

TEXTS = [
    "Anna lives in Paris.",
    "",
    "late",
    "🙂 東京 " * 5,
    "the parcel " * 20,
    "the parcel " * 20 + "late",
]


# One was saved without a head, one with the head of another task and without a pooler.
@pytest.fixture(scope="module", params=["features", "masked"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def task(name):
    return feature_extraction.load(reference.models() / name, "cpu")


@pytest.fixture(scope="module")
def pipe(name):
    return pipeline("feature-extraction", model=str(reference.models() / name), device="cpu")


def ask(task, inputs, **parameters):
    (answer,) = task.answer([task.read({"inputs": inputs, "parameters": parameters})])
    return answer


def test_answers_equal_the_pipelines(task, pipe):
    for inputs in (*TEXTS, TEXTS, TEXTS[:1]):
        reference.assert_same(ask(task, inputs).value, pipe(inputs))
    assert ask(task, []).value == []


def test_texts_of_all_questions_are_answered_as_if_asked_alone(task, pipe):
    answers = task.answer([task.read({"inputs": text}) for text in TEXTS * 2])
    reference.assert_same([answer.value for answer in answers], pipe(TEXTS * 2))


def test_a_text_that_is_too_long_is_cut_and_counted_or_refused(task, pipe):
    answer = ask(task, [reference.LONG, "late"])
    assert answer.cut == 1
    reference.assert_same(answer.value, pipe([reference.LONG, "late"], truncation=True))
    refused = ask(task, reference.LONG, truncation=False)
    assert (refused.code, refused.fault) == ("too_long", "client")


def test_pooling_gives_one_vector_a_text(task, pipe):
    vectors = [torch.tensor(v[0]) for v in pipe(TEXTS)]
    mean = [v.mean(dim=0).tolist() for v in vectors]
    reference.assert_same(ask(task, TEXTS, pooling="mean").value, mean)
    reference.assert_same(ask(task, TEXTS[0], pooling="mean").value, mean[0])
    first = [v[0].tolist() for v in vectors]
    reference.assert_same(ask(task, TEXTS, pooling="cls").value, first)
    reference.assert_same(ask(task, TEXTS[0], pooling="none").value, pipe(TEXTS[0]))


def test_normalized_vectors_have_length_one_and_the_same_direction(task):
    plain = ask(task, TEXTS[0], pooling="mean").value
    unit = ask(task, TEXTS[0], pooling="mean", normalize=True).value
    assert math.isclose(math.hypot(*unit), 1, abs_tol=1e-5)
    reference.assert_same(unit, [x / math.hypot(*plain) for x in plain])


def test_bad_parameters_are_the_callers_fault(task):
    for parameters in ({"pooling": "max"}, {"normalize": True}, {"return_tensors": True}):
        with pytest.raises(Fault) as caught:
            task.read({"inputs": "a", "parameters": parameters})
        assert (caught.value.code, caught.value.fault) == ("invalid_parameter", "client")


def test_an_answer_that_would_be_enormous_is_refused_unless_pooled(task, monkeypatch):
    monkeypatch.setattr(feature_extraction, "MOST_NUMBERS", 1_000)
    refused = ask(task, TEXTS)
    assert (refused.code, refused.fault) == ("too_long", "client")
    assert len(ask(task, TEXTS, pooling="cls").value) == len(TEXTS)


def test_the_warm_up_is_answered(task):
    (answer,) = task.answer([task.read(task.warm_up)])
    assert not isinstance(answer, Fault)

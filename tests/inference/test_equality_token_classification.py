"""Token classification: the plain pipeline's answers, of each version of transformers."""

import pytest
from transformers import pipeline

from fault import Fault
from tasks import token_classification
from tests.inference import reference

TEXTS = [
    "Anna lives in Paris.",
    "Bert works at Berlin, where the courier is late!",
    "",
    "  odd   spaces and unknowable words: Größe 東京 🙂 e\u0301",
    # Like enough in length to share a batch, and unlike enough to need padding there.
    "the parcel " * 9,
    "the parcel " * 9 + "anna",
    "the courier " * 9 + "anna bert",
]
STRATEGIES = ("none", "simple", "first", "average", "max")


@pytest.fixture(scope="module", params=["token-classifier", "convolutional"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def task(name):
    return token_classification.load(reference.models() / name, "cpu")


@pytest.fixture(scope="module")
def pipe(name):
    return pipeline("token-classification", model=str(reference.models() / name), device="cpu")


def ask(task, inputs, **parameters):
    (answer,) = task.answer([task.read({"inputs": inputs, "parameters": parameters})])
    return answer


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_answers_equal_the_pipelines_for_every_strategy(task, pipe, strategy):
    for ignored in (None, [], ["O", "LOC", "B-PER"]):
        parameters = {"aggregation_strategy": strategy}
        if ignored is not None:
            parameters["ignore_labels"] = ignored
        reference.assert_same(ask(task, TEXTS, **parameters).value, pipe(TEXTS, **parameters))
        alone = pipe(TEXTS[1], **parameters)
        reference.assert_same(ask(task, TEXTS[1], **parameters).value, alone)


def test_answers_without_parameters_equal_the_pipelines(task, pipe):
    reference.assert_same(ask(task, TEXTS).value, pipe(TEXTS))
    reference.assert_same(ask(task, TEXTS[:1]).value, pipe(TEXTS[:1]))
    assert ask(task, []).value == []


@pytest.mark.parametrize("stride", [0, 7, 30])
@pytest.mark.parametrize("name", ["token-classifier"], indirect=True)
def test_windows_of_a_long_text_equal_the_pipelines(task, pipe, stride):
    # The pipeline pads the last of them, which changes what convolutions make of it.
    for strategy in STRATEGIES[1:]:
        parameters = {"aggregation_strategy": strategy, "stride": stride, "ignore_labels": []}
        texts = [reference.LONG, reference.PARIS]
        answer = ask(task, texts, **parameters)
        assert answer.cut == 0
        reference.assert_same(answer.value, pipe(texts, **parameters))


def test_a_text_that_is_too_long_is_cut_as_the_pipeline_cuts_it_and_counted(task, pipe):
    answer = ask(task, [reference.LONG, "anna"])
    assert answer.cut == 1
    reference.assert_same(answer.value, pipe([reference.LONG, "anna"]))


def test_texts_of_all_questions_share_batches_only_where_padding_changes_nothing(task, name):
    assert (task._encoder._budget > 0) == (name == "token-classifier")
    questions = [task.read({"inputs": text}) for text in TEXTS * 3]
    alone = [task.answer([question])[0].value for question in questions]
    together = [answer.value for answer in task.answer(questions)]
    reference.assert_same(together, alone)


def test_bad_parameters_are_the_callers_fault(task):
    for parameters, field in (
        ({"aggregation_strategy": "best"}, "aggregation_strategy"),
        ({"stride": 3}, "aggregation_strategy"),
        ({"stride": 62, "aggregation_strategy": "simple"}, "stride"),
        ({"stride": -1, "aggregation_strategy": "simple"}, "stride"),
        ({"ignore_labels": "O"}, "ignore_labels"),
        ({"top_k": 2}, "top_k"),
    ):
        with pytest.raises(Fault) as caught:
            task.read({"inputs": "anna", "parameters": parameters})
        assert (caught.value.code, caught.value.fault) == ("invalid_parameter", "client")
        assert caught.value.field == f"parameters.{field}"


def test_inputs_that_are_no_texts_are_the_callers_fault(task):
    for document in ({}, {"inputs": None}, {"inputs": ["a", 1]}, {"inputs": {"text": "a"}}):
        with pytest.raises(Fault) as caught:
            task.read(document)
        assert (caught.value.code, caught.value.fault) == ("invalid_input", "client")
    with pytest.raises(Fault) as caught:
        task.read({"inputs": ["a"] * 1_001})
    assert caught.value.code == "too_long"


def test_too_many_windows_cost_no_other_question(task):
    parameters = {"aggregation_strategy": "simple", "stride": 61}
    endless = task.read({"inputs": "late " * 2_000, "parameters": parameters})
    good = task.read({"inputs": "anna", "parameters": parameters})
    answers = task.answer([good, endless, good])
    assert answers[1].code == "too_long"
    reference.assert_same(answers[0].value, answers[2].value)


def test_scores_that_are_no_numbers_are_the_models_fault_for_their_text_alone(task, monkeypatch):
    real = task._encoder._forward

    def broken(encoded):
        output = real(encoded)
        for row, one in enumerate(encoded):
            if len(one.ids) == 21:
                output[row] = float("nan")
        return output

    monkeypatch.setattr(task._encoder, "_forward", broken)
    answers = task.answer([task.read({"inputs": text}) for text in TEXTS[4:]])
    assert [isinstance(answer, Fault) for answer in answers] == [False, True, False]
    assert (answers[1].code, answers[1].fault) == ("model_output", "server")


def test_what_the_model_cannot_compute_costs_no_other_text(task, monkeypatch):
    real = task._encoder._forward

    def failing(encoded):
        if any(len(one.ids) == 21 for one in encoded):
            raise RuntimeError("out of memory")
        return real(encoded)

    monkeypatch.setattr(task._encoder, "_forward", failing)
    answers = task.answer([task.read({"inputs": text}) for text in TEXTS[4:]])
    assert [isinstance(answer, Fault) for answer in answers] == [False, True, False]
    assert answers[1].code == "model_output"
    assert "memory" not in answers[1].message


def test_the_warm_up_is_answered(task):
    (answer,) = task.answer([task.read(task.warm_up)])
    assert not isinstance(answer, Fault)

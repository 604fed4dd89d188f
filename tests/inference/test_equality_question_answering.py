"""Question answering: the pipeline's answers of transformers 4.51, on every version."""

import numpy as np
import pytest

from fault import Fault
from tasks import question_answering
from tests.inference import reference


@pytest.fixture(scope="module", params=["reader", "roberta-reader", "left-reader"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def readers():
    return {
        name: question_answering.load(reference.models() / name, "cpu")
        for name in ("reader", "roberta-reader", "left-reader")
    }


@pytest.fixture(scope="module")
def reader(readers):
    return readers["reader"]


def ask(task, inputs, **parameters):
    question = task.read({"inputs": inputs, "parameters": parameters})
    (answer,) = task.answer([question])
    return answer


def fault_of(task, document) -> Fault:
    with pytest.raises(Fault) as caught:
        task.read(document)
    assert caught.value.fault == "client"
    return caught.value


@pytest.mark.parametrize("case", range(len(reference.QUESTIONS)))
def test_every_answer_equals_that_of_the_pipeline_of_transformers_4(readers, case):
    name, inputs, parameters = reference.QUESTIONS[case]
    answer = ask(readers[name], inputs, **{"max_seq_len": 60, **parameters})
    assert answer.cut == 0
    reference.assert_same(answer.value, reference.answers()["questions"][case])


def test_questions_asked_together_are_answered_as_if_asked_alone(readers, name):
    cases = [
        (i, {"inputs": inputs, "parameters": {"max_seq_len": 60, **parameters}})
        for i, (model, inputs, parameters) in enumerate(reference.QUESTIONS)
        if model == name
    ]
    task = readers[name]
    answers = task.answer([task.read(document) for _, document in cases])
    for (i, _), answer in zip(cases, answers, strict=True):
        reference.assert_same(answer.value, reference.answers()["questions"][i])


def test_questions_come_in_lists_beside_one_context_or_several(reader):
    alone = [ask(reader, {"question": q, "context": reference.PARIS}).value for q in ("who?", "a?")]
    together = {"question": ["who?", "a?"], "context": reference.PARIS}
    reference.assert_same(ask(reader, together).value, alone)
    pairs = {"question": ["who?", "a?"], "context": [reference.PARIS] * 2}
    reference.assert_same(ask(reader, pairs).value, alone)
    flat = reader.read({"question": "who?", "context": reference.PARIS})
    reference.assert_same(reader.answer([flat])[0].value, alone[0])
    assert ask(reader, []).value == []


def test_a_context_of_many_windows_loses_nothing(reader):
    filler = "the parcel is late. " * 400
    context = filler + "anna lives in paris"
    # An answer as long as the context asks every window for all its spans.
    answers = ask(reader, {"question": "who", "context": context}, top_k=100, max_answer_len=2)
    last = ask(reader, {"question": "who", "context": filler}, top_k=100, max_answer_len=2)
    assert answers.cut == 0
    assert max(a["end"] for a in answers.value) <= len(context)
    for answer in answers.value:
        assert context[answer["start"] : answer["end"]] == answer["answer"]
    assert answers.value != last.value


def test_a_question_that_leaves_no_room_is_cut_and_counted(reader):
    long = {"question": "why is the parcel late " * 400, "context": reference.LONG}
    answer = ask(reader, long, max_question_len=10, doc_stride=4)
    assert answer.cut == 1
    assert set(answer.value) == {"score", "start", "end", "answer"}
    # Its first tokens are what is asked.
    short = {"question": "why is the parcel late why is the parcel late", "context": reference.LONG}
    reference.assert_same(answer.value, ask(reader, short, max_seq_len=64, doc_stride=4).value)
    # As many words as the model reads tokens leave a context none.
    assert ask(reader, long, max_question_len=500).code == "too_long"


def test_what_is_no_question_is_the_callers_fault(reader):
    for inputs in (None, 3, "who?", [3], {"question": "who?"}, {"context": "anna"}, [["a", "b"]]):
        fault = fault_of(reader, {"inputs": inputs})
        assert fault.code == "invalid_input"
    fault = fault_of(reader, {"inputs": [reference.PAIR, {"question": "", "context": "a"}]})
    assert fault.field == "inputs[1].question"
    fault = fault_of(reader, {"inputs": {"question": ["a", "b"], "context": ["c"]}})
    assert fault.field == "inputs.context"
    assert (
        fault_of(reader, {"inputs": {"question": "\ud800", "context": "a"}}).code == "invalid_input"
    )
    fault = fault_of(reader, {"inputs": reference.PAIR, "parameters": {"top_k": 0}})
    assert (fault.code, fault.field) == ("invalid_parameter", "parameters.top_k")
    assert fault_of(reader, {"inputs": [reference.PAIR] * 1001}).code == "too_long"


def test_a_stride_that_does_not_fit_costs_no_other_question(reader):
    good = reader.read({"inputs": reference.PAIR})
    bad = reader.read(
        {"inputs": reference.LONG_PAIR, "parameters": {"max_seq_len": 20, "doc_stride": 30}}
    )
    answers = reader.answer([good, bad, good])
    assert answers[1].code == "invalid_parameter"
    reference.assert_same(answers[0].value, answers[2].value)
    # Windows that move on by a token each would be too many.
    endless = {"question": "who?", "context": "late " * 4_000}
    assert ask(reader, endless, doc_stride=57).code == "too_long"


def test_whatever_the_texts_hold_there_is_an_answer(reader):
    for text in ("\x00", "🙂" * 300, "a" * 3_000, "[CLS] [SEP] [MASK] [PAD]", "\u202e\u0301", "\n"):
        for inputs in (
            {"question": text, "context": reference.PARIS},
            {"question": "who?", "context": text},
        ):
            answer = ask(reader, inputs)
            assert not isinstance(answer, Fault), answer
            assert np.isfinite(answer.value["score"])


def test_scores_that_are_no_numbers_are_the_models_fault(reader, monkeypatch):
    good = reader.read({"inputs": reference.PAIR})
    real = reader._encoder._select
    broken = lambda output: real(output) * float("nan")  # noqa: E731
    monkeypatch.setattr(reader._encoder, "_select", broken)
    (fault,) = reader.answer([good])
    assert (fault.code, fault.fault) == ("model_output", "server")


def test_a_model_without_a_head_for_answers_is_not_loaded():
    with pytest.raises(Fault) as caught:
        question_answering.load(reference.models() / "features", "cpu")
    assert (caught.value.code, caught.value.fault) == ("model_not_loaded", "server")
    assert "qa_outputs" in caught.value.message


def test_the_warm_up_is_answered(readers, name):
    task = readers[name]
    (answer,) = task.answer([task.read(task.warm_up)])
    assert not isinstance(answer, Fault)

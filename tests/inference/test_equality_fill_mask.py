"""Fill-mask: the plain pipeline's propositions, of each version of transformers."""

import pytest
from transformers import pipeline

from fault import Fault
from tasks import fill_mask
from tests.inference import reference

TEXTS = [
    "Anna [MASK] in Paris.",
    "[MASK]",
    "The parcel is [MASK], please! 🙂 東京",
    "[MASK] lives at [MASK] [MASK]",
    # Like enough in length to share a batch, and unlike enough to need padding there.
    "the parcel " * 9 + "[MASK]",
    "[MASK] parcel " * 9 + "is late",
]


@pytest.fixture(scope="module")
def task():
    return fill_mask.load(reference.models() / "masked", "cpu")


@pytest.fixture(scope="module")
def pipe():
    return pipeline("fill-mask", model=str(reference.models() / "masked"), device="cpu")


def ask(task, inputs, **parameters):
    (answer,) = task.answer([task.read({"inputs": inputs, "parameters": parameters})])
    return answer


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"top_k": 1},
        {"top_k": 40},
        {"targets": ["late", "broken", "unheard"]},
        {"targets": "paris"},
        {"targets": ["late", "blank"], "top_k": 1},
    ],
)
def test_answers_equal_the_pipelines(task, pipe, parameters):
    for inputs in (*TEXTS, TEXTS, TEXTS[:1], TEXTS[3:4], TEXTS[:2]):
        reference.assert_same(ask(task, inputs, **parameters).value, pipe(inputs, **parameters))


def test_no_texts_have_no_answers(task):
    assert ask(task, []).value == []


def test_texts_of_all_questions_are_answered_as_if_asked_alone(task):
    questions = [task.read({"inputs": text}) for text in TEXTS * 2]
    alone = [task.answer([question])[0].value for question in questions]
    reference.assert_same([answer.value for answer in task.answer(questions)], alone)


def test_more_propositions_than_words_are_all_of_them(task):
    assert len(ask(task, TEXTS[0], top_k=1_000).value) == task._pipe.model.config.vocab_size


def test_a_text_without_mask_is_the_callers_fault_and_costs_no_other(task):
    good, bad = (task.read({"inputs": text}) for text in (TEXTS[0], "no gap here <mask>"))
    answers = task.answer([good, bad, good])
    fault = answers[1]
    assert (fault.code, fault.fault, fault.field) == ("invalid_input", "client", "inputs")
    assert "[MASK]" in fault.message
    assert fault.allowed == ("[MASK]",)
    reference.assert_same(answers[0].value, answers[2].value)
    assert ask(task, [TEXTS[0], "none"]).field == "inputs[1]"


def test_a_long_text_is_cut_after_its_mask_and_never_before_it(task, pipe):
    cut = ask(task, "[MASK] is late " + "parcel " * 100)
    assert cut.cut == 1
    uncut = pipe("[MASK] is late " + "parcel " * 100, tokenizer_kwargs={"truncation": True})
    reference.assert_same(cut.value, uncut)
    lost = ask(task, "parcel " * 100 + "[MASK]")
    assert (lost.code, lost.fault) == ("too_long", "client")
    whole = ask(task, "[MASK] is late " + "parcel " * 100, truncation=False)
    assert (whole.code, whole.fault) == ("too_long", "client")


def test_bad_parameters_are_the_callers_fault(task):
    for parameters in ({"top_k": 0}, {"top_k": 1_001}, {"targets": []}, {"targets": [""]}):
        with pytest.raises(Fault) as caught:
            task.read({"inputs": TEXTS[0], "parameters": parameters})
        assert (caught.value.code, caught.value.fault) == ("invalid_parameter", "client")
    assert ask(task, ["[MASK] [MASK]"] * 200, top_k=100).code == "too_long"


def test_a_model_without_a_head_for_words_is_not_loaded():
    with pytest.raises(Fault) as caught:
        fill_mask.load(reference.models() / "reader", "cpu")
    assert (caught.value.code, caught.value.fault) == ("model_not_loaded", "server")
    assert str(reference.models()) not in caught.value.message


def test_a_tokenizer_without_a_mask_is_not_loaded(tmp_path):
    import shutil

    shutil.copytree(reference.models() / "masked", tmp_path / "model")
    words = reference.models() / "roberta-reader"
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copy(words / name, tmp_path / "model" / name)
    with pytest.raises(Fault) as caught:
        fill_mask.load(tmp_path / "model", "cpu")
    assert "mask token" in caught.value.message


def test_the_warm_up_is_answered(task):
    (answer,) = task.answer([task.read(task.warm_up)])
    assert not isinstance(answer, Fault)

"""Summaries, translations and other texts: the pipelines' answers of transformers 4.51."""

import functools

import pytest

from fault import Fault
from tasks import sequence_to_sequence
from tests.inference import reference


@functools.cache
def loaded(model: str, task: str):
    return sequence_to_sequence.load(reference.models() / model, "cpu", task)


def ask(task, inputs, **parameters):
    (answer,) = task.answer([task.read({"inputs": inputs, "parameters": parameters})])
    return answer


def fault_of(task, inputs, **parameters) -> Fault:
    with pytest.raises(Fault) as caught:
        task.read({"inputs": inputs, "parameters": parameters})
    assert caught.value.fault == "client"
    return caught.value


@pytest.mark.parametrize("case", range(len(reference.GENERATIONS)))
def test_every_answer_equals_that_of_the_pipeline_of_transformers_4(case):
    model, task, inputs, parameters = reference.GENERATIONS[case]
    answer = ask(loaded(model, task), inputs, **parameters)
    assert not isinstance(answer, Fault), answer
    reference.assert_same(answer.value, reference.answers()["generations"][case])


def test_texts_of_all_questions_are_answered_as_if_asked_alone():
    task = loaded("bart", "summarization")
    questions = [task.read({"inputs": text}) for text in reference.TEXTS * 2]
    alone = [task.answer([question])[0].value for question in questions]
    reference.assert_same([answer.value for answer in task.answer(questions)], alone)
    assert ask(task, []).value == []


def test_what_is_sampled_is_the_same_with_the_same_seed_wherever_a_text_stands():
    task = loaded("bart", "text2text-generation")
    options = {"do_sample": True, "num_beams": 1, "temperature": 3.0, "top_k": 0}
    first, second = ask(task, reference.TEXTS, **options, seed=1).value
    assert ask(task, reference.TEXTS[1], **options, seed=1).value == [second]
    assert ask(task, reference.TEXTS[::-1], **options, seed=1).value == [second, first]
    assert ask(task, reference.TEXTS[1], **options, seed=2).value != [second]


def test_generation_ends_with_a_text_to_stop_at():
    task = loaded("t5", "text2text-generation")
    whole = ask(task, reference.TEXTS[0], max_new_tokens=20).value[0]["generated_text"]
    stop = whole[len(whole) // 2 :].split()[0]
    stopped = ask(task, reference.TEXTS[0], max_new_tokens=20, stop=stop)
    text = stopped.value[0]["generated_text"]
    assert text == whole[: whole.index(stop) + len(stop)] != whole
    assert ask(task, reference.TEXTS[0], max_new_tokens=20, stop=["unheard"]).value != stopped.value


def test_a_text_that_is_too_long_is_cut_and_counted_or_refused():
    task = loaded("t5", "summarization")
    answer = ask(task, [reference.LONG, "late"])
    assert answer.cut == 1
    assert len(answer.value) == 2
    refused = ask(task, reference.LONG, truncation=False)
    assert (refused.code, refused.fault) == ("too_long", "client")


def test_the_languages_of_a_translation_come_from_the_request():
    task = loaded("mbart", "translation")
    assert ask(task, "anna", src_lang="en_XX", tgt_lang="fr_XX").cut == 0
    for parameters, field in (
        ({}, "src_lang"),
        ({"src_lang": "en_XX"}, "tgt_lang"),
        ({"src_lang": "en_XX", "tgt_lang": "xx_XX"}, "tgt_lang"),
        ({"src_lang": "<unk>", "tgt_lang": "fr_XX"}, "src_lang"),
    ):
        fault = fault_of(task, "anna", **parameters)
        assert (fault.code, fault.field) == ("invalid_parameter", f"parameters.{field}")
        assert "ro_RO" in fault.allowed
        assert "<mask>" not in fault.allowed


def test_only_translations_have_languages():
    fault = fault_of(loaded("t5", "summarization"), "anna", src_lang="en_XX")
    assert (fault.code, fault.field) == ("invalid_parameter", "parameters.src_lang")


def test_parameters_that_exclude_each_other_are_the_callers_fault():
    task = loaded("t5", "text2text-generation")
    for parameters in (
        {"num_return_sequences": 2},
        {"num_return_sequences": 3, "num_beams": 2},
        {"temperature": 0},
        {"max_new_tokens": 0},
        {"num_beams": 17},
        {"stop": []},
        {"stop": ""},
        {"early_stopping": "sometimes"},
        {"return_tensors": True},
        {"generation_config": {}},
    ):
        fault = fault_of(task, "anna", **parameters)
        assert fault.code == "invalid_parameter", parameters
        assert fault.field.startswith("parameters."), parameters
    assert not isinstance(ask(task, "a", num_return_sequences=2, do_sample=True), Fault)


def test_no_request_asks_for_unlimited_work():
    task = loaded("t5", "text2text-generation")
    fault = fault_of(task, ["a"] * 100, max_new_tokens=4_096)
    assert (fault.code, fault.field) == ("too_long", "parameters.max_new_tokens")
    assert fault_of(task, ["a"] * 101).code == "too_long"
    # As many tokens as the model has positions, and no more.
    fault = fault_of(loaded("bart", "summarization"), "a", max_new_tokens=65)
    assert (fault.code, fault.field) == ("invalid_parameter", "parameters.max_new_tokens")
    longest = ask(loaded("bart", "summarization"), "a", max_new_tokens=64, min_new_tokens=64)
    assert not isinstance(longest, Fault)


def test_whatever_a_text_holds_there_is_an_answer():
    for model in ("t5", "bart", "marian"):
        for text in (
            "",
            "\x00",
            "🙂" * 300,
            "a" * 3_000,
            "<pad> </s> <mask>",
            "\u202e\u0301",
            "\n",
        ):
            answer = ask(loaded(model, "text2text-generation"), text, max_new_tokens=3)
            assert not isinstance(answer, Fault), (model, text, answer)
    fault = fault_of(loaded("t5", "summarization"), "\ud800")
    assert (fault.code, fault.field) == ("invalid_input", "inputs")


@pytest.mark.parametrize("options", [{}, {"num_beams": 3}, {"do_sample": True}])
def test_scores_that_are_no_numbers_are_the_models_fault(options, monkeypatch):
    task = sequence_to_sequence.load(reference.models() / "t5", "cpu", "summarization")
    task._model.lm_head.weight.data[:] = float("nan")
    fault = ask(task, "anna", **options)
    assert (fault.code, fault.fault) == ("model_output", "server")


def test_a_model_that_generates_nothing_is_not_loaded():
    with pytest.raises(Fault) as caught:
        sequence_to_sequence.load(reference.models() / "masked", "cpu", "summarization")
    assert (caught.value.code, caught.value.fault) == ("model_not_loaded", "server")


@pytest.mark.parametrize(
    ("model", "task"),
    [
        ("t5", "summarization"),
        ("bart", "text2text-generation"),
        ("marian", "translation_en_to_de"),
        ("mbart", "translation"),
    ],
)
def test_the_warm_up_is_answered(model, task):
    loaded_task = loaded(model, task)
    (answer,) = loaded_task.answer([loaded_task.read(loaded_task.warm_up)])
    assert not isinstance(answer, Fault)

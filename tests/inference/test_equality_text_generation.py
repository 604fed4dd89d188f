"""Text generation: the plain pipeline's answers, of each version of transformers."""

import pytest
import torch
from transformers import pipeline

from fault import Fault
from tasks import text_generation
from tests.inference import reference

PROMPTS = ["anna lives in", "please refund", "why"]


@pytest.fixture(scope="module")
def task():
    return text_generation.load(reference.models() / "gpt2", "cpu")


@pytest.fixture(scope="module")
def pipe():
    return pipeline("text-generation", model=str(reference.models() / "gpt2"), device="cpu")


def ask(task, inputs, **parameters):
    (answer,) = task.answer([task.read({"inputs": inputs, "parameters": parameters})])
    return answer


def fault_of(task, inputs, **parameters) -> Fault:
    with pytest.raises(Fault) as caught:
        task.read({"inputs": inputs, "parameters": parameters})
    assert caught.value.fault == "client"
    return caught.value


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_new_tokens": 12},
        {"max_new_tokens": 12, "return_full_text": False},
        {"max_new_tokens": 8, "prefix": "where is the "},
        {"max_new_tokens": 8, "num_beams": 4, "num_return_sequences": 3},
        {"max_new_tokens": 9, "num_beams": 2, "length_penalty": -1.5, "early_stopping": True},
        {"max_new_tokens": 12, "repetition_penalty": 1.9, "no_repeat_ngram_size": 2},
        {"max_length": 16},
        {"max_length": 16, "prefix": "the "},
        {"max_new_tokens": 7, "min_new_tokens": 7, "clean_up_tokenization_spaces": True},
    ],
)
def test_answers_equal_the_pipelines(task, pipe, parameters):
    parameters = {"do_sample": False, **parameters}
    for inputs in (*PROMPTS, PROMPTS, PROMPTS[:1]):
        reference.assert_same(ask(task, inputs, **parameters).value, pipe(inputs, **parameters))
    assert ask(task, [], **parameters).value == []


@pytest.mark.parametrize(
    "parameters",
    [
        {"do_sample": True, "max_new_tokens": 12},
        {"do_sample": True, "max_new_tokens": 12, "temperature": 2.5, "top_k": 9},
        {"do_sample": True, "max_new_tokens": 12, "top_p": 0.4, "num_return_sequences": 3},
    ],
)
def test_what_is_sampled_equals_the_pipelines_with_the_same_seed(task, pipe, parameters):
    for seed in (1, 2):
        torch.manual_seed(seed)
        expected = pipe(PROMPTS[0], **parameters)
        reference.assert_same(ask(task, PROMPTS[0], **parameters, seed=seed).value, expected)
    together = ask(task, [PROMPTS[1], PROMPTS[0]], **parameters, seed=2).value
    reference.assert_same(together[1], expected)


def test_what_nobody_asked_for_is_as_the_pipeline_has_it(task, pipe):
    ours = ask(task, PROMPTS[0], seed=3).value
    # By default, transformers 5 samples more tokens than this model has positions.
    room = {} if task._default < 60 else {"max_new_tokens": 61}
    torch.manual_seed(3)
    reference.assert_same(ours, pipe(PROMPTS[0], **room))


def test_a_text_to_stop_at_equals_the_pipelines(task, pipe):
    whole = ask(task, PROMPTS[0], max_new_tokens=20, do_sample=False, return_full_text=False)
    stop = whole.value[0]["generated_text"].split()[1]
    options = {"max_new_tokens": 20, "do_sample": False}
    expected = pipe(PROMPTS[0], stop_strings=[stop], tokenizer=pipe.tokenizer, **options)
    reference.assert_same(ask(task, PROMPTS[0], stop=stop, **options).value, expected)
    assert expected[0]["generated_text"].endswith(stop)
    never = ask(task, PROMPTS[0], stop="東京", **options)
    assert (never.code, never.field) == ("invalid_parameter", "parameters.stop")


def test_a_long_prompt_loses_its_beginning_so_that_new_tokens_fit(task):
    options = {"max_new_tokens": 20, "do_sample": False}
    prompt = "late " * 100 + "why is the courier " * 30
    answer = ask(task, prompt, **options)
    assert answer.cut == 1
    (record,) = answer.value
    assert record["generated_text"].startswith(prompt)
    assert new_text(record, prompt) == continued(task, prompt, slice(-44, None), 20)
    assert new_text(record, prompt) != continued(task, prompt, slice(None, 44), 20)
    refused = ask(task, prompt, truncation=False)
    assert (refused.code, refused.fault) == ("too_long", "client")


def test_a_long_prompt_keeps_the_token_that_begins_it():
    task = text_generation.load(reference.models() / "gpt2-with-a-beginning", "cpu")
    prompt = "late " * 100 + "why is the courier " * 30
    (record,) = ask(task, prompt, max_new_tokens=20, do_sample=False).value
    ids = task._pipe.tokenizer(prompt)["input_ids"]
    kept = [0, *range(len(ids) - 43, len(ids))]
    assert new_text(record, prompt) == continued(task, prompt, kept, 20)
    assert new_text(record, prompt) != continued(task, prompt, slice(-44, None), 20)


def new_text(record, prompt):
    return record["generated_text"][len(prompt) :].strip()


def continued(task, prompt, kept, new_tokens):
    """What the model itself goes on with after some of the prompt's tokens."""
    ids = torch.tensor([task._pipe.tokenizer(prompt)["input_ids"]])[:, kept]
    sequence = task._pipe.model.generate(
        input_ids=ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=new_tokens,
        do_sample=False,
        pad_token_id=1,
    )
    return task._pipe.tokenizer.decode(
        sequence[0, ids.shape[1] :], skip_special_tokens=True
    ).strip()


def test_a_short_prompt_is_kept_whole_where_nobody_asked_for_many_new_tokens(task):
    prompt = "late " * 20
    answer = ask(task, prompt)
    assert answer.cut == 0
    assert not isinstance(answer, Fault)


def test_lengths_that_leave_no_room_are_the_callers_fault(task):
    fault = fault_of(task, "a", max_new_tokens=64)
    assert (fault.code, fault.field) == ("invalid_parameter", "parameters.max_new_tokens")
    fault = fault_of(task, "a", max_length=65)
    assert (fault.code, fault.field) == ("invalid_parameter", "parameters.max_length")
    assert not isinstance(ask(task, "a", max_length=64, prefix="late " * 20), Fault)
    fault = ask(task, "late " * 20, max_length=5)
    assert (fault.code, fault.fault) == ("too_long", "client")
    assert fault_of(task, ["a"] * 100, max_length=64, num_beams=16).code == "too_long"
    fault = fault_of(task, "a", num_return_sequences=2, do_sample=False)
    assert fault.field == "parameters.num_return_sequences"


def test_whatever_a_prompt_holds_there_is_an_answer(task):
    for text in ("", " ", "\x00", "🙂" * 300, "a" * 3_000, "<pad> </s>", "\u202e\u0301", "\n"):
        answer = ask(task, text, max_new_tokens=3)
        assert not isinstance(answer, Fault), (text, answer)
        assert answer.value[0]["generated_text"].startswith(text)


def test_scores_that_are_no_numbers_are_the_models_fault():
    task = text_generation.load(reference.models() / "gpt2", "cpu")
    task._pipe.model.lm_head.weight.data[:] = float("nan")
    for options in ({"do_sample": False}, {"do_sample": True}):
        fault = ask(task, "anna", **options)
        assert (fault.code, fault.fault) == ("model_output", "server")


def test_the_warm_up_is_answered(task):
    (answer,) = task.answer([task.read(task.warm_up)])
    assert not isinstance(answer, Fault)

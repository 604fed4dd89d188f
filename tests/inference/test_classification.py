"""Text classification beyond the pipeline: long texts, cuts, odd texts, what is refused and why."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from fault import Fault
from tasks.registry import load
from tests.inference import tiny
from tests.inference.comparing import answers, ask, refused, same

ROBUSTNESS = Path(__file__).parents[3] / "shared" / "data" / "robustness"
SHORT = "my parcel is late"
LONG = "why was the price on my bill not the price of the order " * 9
PAIR = {"text": SHORT, "text_pair": "where is the courier"}


def classification(directory):
    return load("text-classification", directory, engine="torch", device="cpu")


@pytest.fixture(scope="module")
def artifact(tmp_path_factory):
    return tiny.classifier(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def task(artifact):
    return classification(artifact)


def test_the_warm_up_is_a_question_of_the_task(task):
    (answer,) = answers(task, task.warm_up)
    assert answer.value[0]["score"] > 0


def test_no_texts_get_no_answers(task):
    (answer,) = answers(task, {"inputs": []})
    assert (answer.value, list(answer.distributions)) == ([], [])
    assert task.answer([]) == []


def test_texts_that_lost_their_end_are_counted(task):
    pair = {"text": LONG, "text_pair": LONG}
    counts = [
        a.cut
        for a in answers(task, *({"inputs": i} for i in (SHORT, LONG, [LONG, SHORT, LONG], pair)))
    ]
    assert counts == [0, 1, 2, 1]
    same(ask(task, {"inputs": LONG}), ask(task, {"inputs": LONG + LONG}))


def test_a_text_that_may_not_be_cut_and_does_not_fit_is_the_client_s_fault(task):
    fault = refused(task, {"inputs": LONG, "parameters": {"truncation": False}})
    assert (fault.code, fault.field) == ("too_long", "inputs")
    assert "137 tokens, the model reads 32" in fault.message


def test_one_question_s_fault_costs_no_other(task):
    documents = [
        {"inputs": SHORT},
        {"inputs": [SHORT, LONG], "parameters": {"truncation": False}},
        {"inputs": [LONG, "refund"], "parameters": {"long_text": "chunk", "top_k": 2}},
        {"inputs": PAIR},
        {"inputs": LONG, "parameters": {"truncation": False}},
        {"inputs": "", "parameters": {"top_k": None}},
    ]
    together = answers(task, *documents)
    assert [isinstance(answer, Fault) for answer in together] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]
    for document, answer in zip(documents, together, strict=True):
        if not isinstance(answer, Fault):
            same(answer.value, ask(task, document))


def windows_by_hand(artifact, text, function):
    """Each window's scores by plain transformers, weighted by the tokens that are its own."""
    tokenizer = AutoTokenizer.from_pretrained(artifact)
    model = AutoModelForSequenceClassification.from_pretrained(artifact).eval()
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    room, overlap = tiny.POSITIONS - 2, tiny.POSITIONS // 8
    total, weights, start, read = 0.0, 0, 0, 0
    while read < len(ids):
        window = ids[start : start + room]
        with torch.inference_mode():
            logits = model(torch.tensor([[2, *window, 3]])).logits[0]
        own = start + len(window) - read
        total = total + own * function(logits)
        weights, read, start = weights + own, start + len(window), start + room - overlap
    assert weights == len(ids)
    return (total / weights).tolist()


@pytest.mark.parametrize(
    ("problem", "asked", "function"),
    [
        (None, None, lambda logits: logits.softmax(-1)),
        ("multi_label_classification", None, torch.sigmoid),
        (None, "none", lambda logits: logits),
    ],
)
def test_windows_of_a_long_text_are_pooled_by_the_tokens_that_are_their_own(
    tmp_path, problem, asked, function
):
    artifact = tiny.classifier(tmp_path, problem_type=problem)
    parameters = {"long_text": "chunk", "top_k": None, "function_to_apply": asked}
    text = LONG + "the app crashes"
    (answer,) = answers(classification(artifact), {"inputs": text, "parameters": parameters})
    expected = windows_by_hand(artifact, text, function)
    assert answer.distributions.probabilities == pytest.approx(expected, abs=1e-5)
    assert answer.cut == 0


def test_the_end_of_a_long_text_counts_only_in_windows(task):
    def asked(text, how):
        return ask(task, {"inputs": text, "parameters": {"long_text": how, "top_k": None}})

    ends = [LONG + "refund refund", LONG + "login login"]
    same(asked(ends[0], "truncate"), asked(ends[1], "truncate"))
    assert asked(ends[0], "chunk") != asked(ends[1], "chunk")
    same(asked(SHORT, "chunk"), asked(SHORT, "truncate"))
    same(asked("", "chunk"), asked("", "truncate"))


def test_windows_and_whole_texts_mix_in_one_list(task):
    parameters = {"long_text": "chunk", "top_k": None}
    alone = [
        ask(task, {"inputs": text, "parameters": parameters}) for text in (SHORT, LONG, "refund")
    ]
    same(ask(task, {"inputs": [SHORT, LONG, "refund"], "parameters": parameters}), alone)


def test_verbose_answers_have_every_class_in_class_order(task):
    one, several, pair = answers(
        task,
        {"inputs": SHORT},
        {"inputs": [SHORT, LONG], "parameters": {"top_k": 1}},
        {"inputs": PAIR},
    )
    assert list(one.distributions.labels) == ["red", "grün", "blue"]
    scores = {
        e["label"]: e["score"] for e in ask(task, {"inputs": SHORT, "parameters": {"top_k": None}})
    }
    assert one.distributions.probabilities.tolist() == [
        scores[label] for label in one.distributions.labels
    ]
    assert len(several.distributions) == 2
    assert several.distributions[0].probabilities == pytest.approx(
        one.distributions.probabilities, abs=1e-6
    )
    assert pair.distributions.probabilities.shape == (3,)


@pytest.mark.parametrize(
    ("document", "field"),
    [
        ({}, "inputs"),
        ({"inputs": None}, "inputs"),
        ({"inputs": 5}, "inputs"),
        ({"inputs": True}, "inputs"),
        ({"inputs": [SHORT, 5]}, "inputs[1]"),
        ({"inputs": [[SHORT, SHORT]]}, "inputs[0]"),
        ({"inputs": {"text_pair": SHORT}}, "inputs"),
        ({"inputs": {"text": SHORT, "text_pair": 0}}, "inputs.text_pair"),
        ({"inputs": [{"text": SHORT, "text_pair": ["a"]}]}, "inputs[0].text_pair"),
        ({"inputs": "half \ud83d of a pair"}, "inputs"),
        ({"inputs": {"text": "\ud83d"}}, "inputs.text"),
    ],
    ids=str,
)
def test_inputs_that_are_no_text_are_refused_by_the_name_of_the_field(task, document, field):
    fault = refused(task, document)
    assert (fault.code, fault.field) == ("invalid_input", field)
    assert field in fault.message


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"top_k": 0}, "top_k"),
        ({"top_k": True}, "top_k"),
        ({"top_k": "all"}, "top_k"),
        ({"function_to_apply": "relu"}, "function_to_apply"),
        ({"truncation": "yes"}, "truncation"),
        ({"long_text": "summarise"}, "long_text"),
        ({"return_all_scores": 1}, "return_all_scores"),
        ({"temperature": 1}, "temperature"),
    ],
    ids=str,
)
def test_parameters_off_the_list_are_refused_by_their_name(task, parameters, name):
    fault = refused(task, {"inputs": SHORT, "parameters": parameters})
    assert (fault.code, fault.field) == ("invalid_parameter", f"parameters.{name}")


def test_pairs_have_no_windows(task):
    fault = refused(task, {"inputs": [SHORT, PAIR], "parameters": {"long_text": "chunk"}})
    assert fault.field == "parameters.long_text"


def test_scores_that_are_no_numbers_are_the_server_s_fault(tmp_path):
    artifact = tiny.classifier(tmp_path)
    weights = load_file(artifact / "model.safetensors")
    weights["classifier.bias"][1] = float("nan")
    save_file(weights, artifact / "model.safetensors", metadata={"format": "pt"})
    (answer,) = answers(classification(artifact), {"inputs": SHORT})
    assert (answer.code, answer.fault) == ("model_output", "server")


def test_a_text_without_tokens_is_the_client_s_fault_and_costs_no_other(tmp_path):
    task = classification(tiny.gpt2_without_a_pad_token(tmp_path))
    empty, refund = answers(task, {"inputs": ""}, {"inputs": "refund"})
    assert (empty.code, empty.fault) == ("invalid_input", "client")
    same(refund.value, ask(task, {"inputs": "refund"}))


@pytest.mark.parametrize("how", ["truncate", "chunk"])
def test_huge_texts_are_answered(task, how):
    huge = ["word " * 20_000, "x" * 100_000, "\n" * 100_000, "🎉" * 20_000]
    (answer,) = answers(task, {"inputs": huge, "parameters": {"long_text": how}})
    assert [list(one) for one in answer.value] == [["label", "score"]] * 4


@pytest.mark.skipif(not ROBUSTNESS.is_dir(), reason="no collection of odd data beside the checkout")
def test_odd_texts_are_answered_in_one_batch_as_they_are_alone(task):
    documents = [
        {"inputs": json.loads(line)["inputs"]}
        for path in sorted(ROBUSTNESS.glob("*_texts.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    documents += [{"inputs": text} for text in json.loads((ROBUSTNESS / "blns.json").read_text())]
    assert len(documents) > 500
    for document, answer in zip(documents, answers(task, *documents), strict=True):
        same(answer.value, ask(task, document))


def test_order_is_kept_for_any_number_of_questions(task):
    texts = [" ".join(["refund", "bill"][: 1 + i % 2] * (i % 17)) for i in range(300)]
    scores = [
        answer.distributions.probabilities
        for answer in answers(task, *({"inputs": t} for t in texts))
    ]
    for i in range(0, 300, 37):
        (alone,) = answers(task, {"inputs": texts[i]})
        assert np.abs(alone.distributions.probabilities - scores[i]).max() < 1e-5

"""Zero-shot classification beyond the pipeline: what is cut, run once, and refused."""

import dataclasses

import pytest

from engine.torch_classifier import load as load_torch
from fault import Fault
from tasks import zero_shot
from tests.inference import tiny
from tests.inference.comparing import answers, ask, refused, same

SHORT = "my parcel is late"
LONG = "why was the price on my bill not the price of the order " * 9
LABELS = ["the courier", "my bill", "login"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    return load_torch(tiny.bart(tmp_path_factory.mktemp("model")), "cpu")


@pytest.fixture(scope="module")
def task(classifier):
    return zero_shot.load(classifier)


class Counting:
    """The runner of a classifier, and how many sequences it ran."""

    def __init__(self, runner):
        self.runner, self.sequences, self.batches = runner, 0, 0

    def logits(self, batch):
        self.batches += 1
        self.sequences += len(batch["input_ids"])
        return self.runner.logits(batch)


def document(inputs, labels=LABELS, **parameters):
    return {"inputs": inputs, "parameters": {"candidate_labels": labels, **parameters}}


def test_the_warm_up_is_a_question_of_the_task(task):
    (answer,) = answers(task, task.warm_up)
    assert sum(answer.value["scores"]) == pytest.approx(1, abs=1e-6)


def test_no_texts_get_no_answers(task):
    assert ask(task, document([])) == []


def test_pairs_of_all_questions_run_together_and_equal_ones_once(classifier):
    counting = Counting(classifier.runner)
    task = zero_shot.load(dataclasses.replace(classifier, runner=counting))
    answers(
        task,
        document([SHORT, SHORT, "refund"]),
        document(SHORT, LABELS[:2], multi_label=True),
        document("refund", [LABELS[0], LABELS[0]]),
        document(SHORT, ["This example is login."], hypothesis_template="{}"),
    )
    assert counting.sequences == 2 * len(LABELS)
    assert counting.batches < counting.sequences


def test_a_large_body_is_answered_in_slabs(task, monkeypatch):
    documents = [document(["refund " * i, SHORT], LABELS[: 1 + i % 3]) for i in range(8)]
    expected = [answer.value for answer in answers(task, *documents)]
    monkeypatch.setattr(zero_shot, "PAIRS_AT_ONCE", 4)
    same([answer.value for answer in answers(task, *documents)], expected)


def test_texts_that_lost_their_end_are_counted_once_whatever_the_labels(task):
    asked = (document(SHORT), document(LONG), document([LONG, SHORT, LONG + "x"]))
    assert [answer.cut for answer in answers(task, *asked)] == [0, 1, 2]
    same(ask(task, document(LONG))["scores"], ask(task, document(LONG + LONG))["scores"])


def test_a_label_that_leaves_the_text_no_room_is_refused_and_costs_no_other(task):
    long = " ".join(["when"] * 29)
    first, refused, last = answers(
        task, document(SHORT), document([SHORT, "refund"], ["login", long]), document(SHORT)
    )
    assert isinstance(refused, Fault)
    assert (refused.code, refused.fault) == ("too_long", "client")
    same(last.value, first.value)


def test_a_text_that_names_a_special_token_is_answered_as_it_is_alone(task):
    documents = [document("where is it"), document("where [SEP] it"), document("when is it")]
    for one, answer in zip(documents, answers(task, *documents), strict=True):
        same(answer.value, ask(task, one))


def test_verbose_answers_have_the_labels_in_the_order_given(task):
    one, several = answers(task, document(SHORT), document([SHORT, LONG]))
    assert list(one.distributions.labels) == LABELS
    by_label = dict(zip(one.value["labels"], one.value["scores"], strict=True))
    assert one.distributions.probabilities.tolist() == [by_label[label] for label in LABELS]
    assert len(several.distributions) == 2


def test_empty_and_odd_texts_are_answered(task):
    odd = ["", " ", "\x00", "🎉" * 100, "{}", "x" * 50_000]
    assert [one["sequence"] for one in ask(task, document(odd))] == odd


@pytest.mark.parametrize(
    "template",
    [
        "",
        "no gap",
        "{} and {}",
        "{0}",
        "{label}",
        "{0.__class__}",
        "{{}}",
        "{}{",
        "}{}",
        "{!r}",
        "{:>9}",
        5,
        None,
        "x" * 500 + "{}",
    ],
    ids=str,
)
def test_a_template_has_one_gap_and_no_other_brace(task, template):
    fault = refused(task, document(SHORT, hypothesis_template=template))
    assert (fault.code, fault.field) == ("invalid_parameter", "parameters.hypothesis_template")


@pytest.mark.parametrize(
    "labels",
    [
        [],
        "",
        " , ,",
        [""],
        ["login", " "],
        [5],
        None,
        {},
        ["x" * 201],
        ["x"] * 101,
        ["\ud83d"],
        [["login"]],
    ],
    ids=lambda labels: str(labels).encode("ascii", "replace").decode()[:30],
)
def test_labels_have_bounds(task, labels):
    fault = refused(task, document(SHORT, labels))
    assert (fault.code, fault.field) == ("invalid_parameter", "parameters.candidate_labels")
    assert "100" in fault.message
    flat = refused(task, {"sequences": SHORT, "candidate_labels": labels})
    assert flat.field == "candidate_labels"


def test_a_hundred_labels_are_within_bounds(task):
    assert len(ask(task, document(SHORT, [f"label {i}" for i in range(100)]))["labels"]) == 100


@pytest.mark.parametrize(
    ("given", "code", "field"),
    [
        ({"parameters": {"candidate_labels": LABELS}}, "invalid_input", "inputs"),
        ({"inputs": SHORT}, "invalid_parameter", "parameters.candidate_labels"),
        ({"inputs": SHORT, "parameters": {}}, "invalid_parameter", "parameters.candidate_labels"),
        ({"sequences": SHORT, "multi_class": True}, "invalid_parameter", "candidate_labels"),
        ({"sequences": [5], "candidate_labels": LABELS}, "invalid_input", "sequences[0]"),
        (
            {"sequences": SHORT, "candidate_labels": LABELS, "multi_class": 1},
            "invalid_parameter",
            "multi_class",
        ),
        (document({"text": SHORT}), "invalid_input", "inputs"),
        (document("\ud83d"), "invalid_input", "inputs"),
        (document(SHORT, top_k=1), "invalid_parameter", "parameters.top_k"),
    ],
    ids=lambda given: str(given).encode("ascii", "replace").decode()[:50],
)
def test_what_is_wrong_is_named_by_its_field(task, given, code, field):
    fault = refused(task, given)
    assert (fault.code, fault.field) == (code, field)


def test_a_model_of_one_class_cannot_serve(tmp_path):
    with pytest.raises(Fault, match="entailment") as caught:
        zero_shot.load(load_torch(tiny.classifier(tmp_path, ("a",)), "cpu"))
    assert caught.value.fault == "server"

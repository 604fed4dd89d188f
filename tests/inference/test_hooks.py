"""The handler's hooks: answering, and failing where they must; run under both transformers."""

import json
import logging
import re

import pytest
import torch
from transformers import pipeline

from fault import Fault
from inference import Served, transform_fn
from tasks.task import Answer, Question
from tests.inference.asking import Context, ask, ask_lines, refused
from tests.inference.comparing import same

SHORT = "my parcel is late"
LONG = "why was the price on my bill not the price of the order " * 9


@pytest.fixture(scope="session")
def plain(model_dir):
    return pipeline("text-classification", model=str(model_dir), device="cpu")


@pytest.mark.parametrize("inputs", [SHORT, LONG, "", [SHORT], [SHORT, LONG, "refund", ""]], ids=str)
@pytest.mark.parametrize("parameters", [{}, {"top_k": None}, {"top_k": 2}], ids=str)
def test_answers_equal_the_pipeline_s_in_shape_and_score(model, plain, inputs, parameters):
    theirs = plain(inputs, **{"truncation": True, **parameters})
    same(ask(model, {"inputs": inputs, "parameters": parameters}), theirs)


def test_verbose_gives_every_class_in_class_order(model, plain):
    answer = ask(model, {"inputs": SHORT}, accept="application/json;verbose")
    scores = {entry["label"]: entry["score"] for entry in plain(SHORT, top_k=None)}
    assert answer["labels"] == ["red", "grün", "blue"]
    assert answer["probabilities"] == pytest.approx([scores[x] for x in answer["labels"]], abs=1e-5)
    assert answer["predicted_label"] == plain(SHORT)[0]["label"]
    several = ask(model, {"inputs": [SHORT, LONG]}, accept="application/json;verbose")
    assert [entry["predicted_label"] for entry in several] == [
        entry["label"] for entry in plain([SHORT, LONG], truncation=True)
    ]


def test_a_text_in_the_jumpstart_type_gets_jumpstart_s_answers(model):
    verbose = ask(model, SHORT, "application/json;verbose", "application/x-text")
    plain = ask(model, SHORT, "application/json", "application/x-text")
    assert plain == {"probabilities": verbose["probabilities"]}
    same(ask(model, SHORT, "application/json", "text/plain"), ask(model, {"inputs": SHORT}))


def test_csv_answers_are_the_objects_themselves_where_csv_is_accepted(model):
    body = f'{SHORT}\n"two\nlines, and ""quotes"""\ntwo,columns\n{LONG}\n'.encode()
    verbose = ask_lines(model, body, "text/csv;verbose", "text/csv")
    assert [set(line) for line in verbose[:2]] == [
        {"probabilities", "labels", "predicted_label"}
    ] * 2
    assert verbose[2]["error"]["line"] == 4
    assert verbose[3]["truncated"] == 1
    brief = ask_lines(model, body, "text/csv", "text/csv")
    assert [line.get("probabilities") for line in brief] == [
        line.get("probabilities") for line in verbose
    ]
    assert "labels" not in brief[0]
    wrapped = ask_lines(model, body, "application/json;verbose", "text/csv")
    assert wrapped[0] == {"prediction": verbose[0]}


def test_a_cut_text_is_told_in_a_header_and_on_its_line(model):
    context = Context()
    ask(model, {"inputs": [LONG, SHORT, LONG]}, context=context)
    assert context.headers["X-Amzn-SageMaker-Custom-Attributes"] == "lectern-truncated=2"
    whole = Context()
    ask(model, {"inputs": SHORT}, context=whole)
    assert "X-Amzn-SageMaker-Custom-Attributes" not in whole.headers
    body = "\n".join(
        json.dumps({"id": i, "inputs": t}) for i, t in enumerate([SHORT, LONG, [LONG] * 3])
    )
    assert [line.get("truncated") for line in ask_lines(model, body.encode())] == [None, 1, 3]


def test_the_number_of_a_request_is_logged_and_never_its_text(model, capsys):
    number = {"x-amzn-sagemaker-custom-attributes": "lectern-request=1b2c-3"}
    ask(model, {"inputs": SHORT}, context=Context(request_headers=number))
    with pytest.raises(Fault):
        ask(model, {"inputs": 5}, context=Context(request_headers=number))
    ask(model, {"inputs": SHORT}, context=Context())
    answered, failed = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"request 1b2c-3 answered in \d+\.\d ms", answered)
    assert failed.startswith("request 1b2c-3 invalid_input in")


def test_the_answer_names_its_own_type_whatever_list_was_accepted(model):
    for accept, expected in [
        ("application/json, text/plain, */*", "application/json"),
        ("text/html, application/json;verbose;q=0.5", "application/json;verbose"),
    ]:
        context = Context()
        ask(model, {"inputs": SHORT}, accept, context=context)
        assert context.headers["Content-Type"] == expected


def test_a_bad_line_costs_no_other_and_keeps_its_place_and_id(model, plain):
    bad = [b'{"inp', b'{"id": "x", "inputs": 5}', b"\xff", b"", b'{"id": 7, "parameters": {}}']
    lines = [json.dumps({"id": i, "inputs": SHORT}).encode() for i in range(len(bad))]
    body = b"\n".join(line for pair in zip(lines, bad, strict=True) for line in pair)
    answers = ask_lines(model, body + b"\n")
    assert len(answers) == 2 * len(bad)
    for number, answer in enumerate(answers):
        if number % 2:
            assert answer["error"]["line"] == number + 1
            assert {"code", "message", "fault"} <= set(answer["error"])
            assert answer["error"]["fault"] == "client"
        else:
            assert answer["id"] == number // 2
            same(answer["prediction"], plain([SHORT]))
    assert [answer.get("id") for answer in answers[1::2]] == [None, "x", None, None, 7]


def test_one_line_is_written_for_one_line_whatever_its_id_holds(model):
    odd = ["\u2028\u2029\x85\r\n\x1c", "😀", "half \ud83d", "ü" * 3]
    body = "\n".join(json.dumps({"id": name, "inputs": SHORT}) for name in odd).encode()
    raw = transform_fn(model, bytearray(body), "application/x-jsonlines", "*/*")
    raw.encode("utf-8")
    assert [json.loads(line)["id"] for line in raw.splitlines()] == odd
    assert not raw.endswith("\n")


class Fragile:
    """A task whose forward pass fails as a whole where it holds a bad question."""

    def __init__(self, error, most=99):
        self.error, self.most, self.sizes = error, most, []

    def read(self, document):
        if document["inputs"] == "unreadable":
            raise self.error
        return Question(document["inputs"])

    def answer(self, questions):
        self.sizes.append(len(questions))
        if len(questions) > self.most or any("bad" in q.inputs for q in questions):
            raise self.error
        return [Answer(q.inputs.upper()) for q in questions]


CUDA = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB (/opt/x.cu:7)")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CUDA, "out_of_memory"),
        (MemoryError(), "out_of_memory"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:114] DefaultCPUAllocator: not enough memory"
            ),
            "out_of_memory",
        ),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied at /opt/x.cu"), "model_failed"),
        (KeyError("encoder.layer.0"), "model_failed"),
    ],
)
def test_a_forward_pass_that_fails_costs_its_own_lines_and_the_worker_lives(caplog, error, code):
    model = Served(Fragile(error), has_classes=False)
    texts = ["a", "bad", "b", "c", "unreadable", "bad too", "d"]
    body = "\n".join(json.dumps({"id": t, "inputs": t}) for t in texts).encode()
    answers = ask_lines(model, body)
    assert [a.get("prediction", a.get("error", {}).get("code")) for a in answers] == [
        t.upper() if len(t) == 1 else code for t in texts
    ]
    assert [a["id"] for a in answers] == texts
    fault = refused(model, {"inputs": "bad"})
    assert (fault["code"], fault["fault"]) == (code, "server")
    assert "/opt" not in fault["message"]
    assert "encoder" not in fault["message"]
    assert any(r.exc_info and r.exc_info[1] is error for r in caplog.records)
    assert ask(model, {"inputs": "e"}) == "E"


def test_a_batch_that_does_not_fit_is_answered_in_parts(caplog):
    task = Fragile(CUDA, most=2)
    body = "\n".join(json.dumps({"inputs": t}) for t in "abcdefg").encode()
    answers = ask_lines(Served(task, has_classes=False), body)
    assert [a["prediction"] for a in answers] == list("ABCDEFG")
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]


def test_a_task_without_classes_is_not_asked_for_a_verbose_answer():
    task = Fragile(RuntimeError())
    model = Served(task, has_classes=False)
    fault = refused(model, {"inputs": "a"}, accept="application/json;verbose")
    assert fault["code"] == "not_acceptable"
    assert task.sizes == []
    assert ask(model, b"a", "application/json", "application/x-text") == "A"

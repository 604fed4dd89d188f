"""Answers to lines: in order, whatever became of each of them."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from fault import Fault
from inference import Served, transform_fn
from tasks.task import Answer, Question


class Moody:
    """Answers a text with its capitals; refuses some texts, fails for some, and cuts some."""

    def read(self, document):
        if document["inputs"] == "refuse":
            raise Fault("invalid_input", "no", field="inputs")
        return Question(document["inputs"])

    def answer(self, questions):
        texts = [question.inputs for question in questions]
        if "fail" in texts:
            raise RuntimeError("the whole pass")
        return [
            Fault("model_output", "nan", fault="server")
            if text == "nan"
            else Answer(text.upper(), cut=len(text) // 10)
            for text in texts
        ]


CODES = {"refuse": "invalid_input", "fail": "model_failed", "nan": "model_output"}
words = st.sampled_from([*CODES, "broken line"]) | st.text("abcß\u2028 ", max_size=25)


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.lists(words, max_size=30))
def test_lines_are_put_back_in_order_around_those_that_fail(texts):
    lines = [
        "{" if text == "broken line" else json.dumps({"id": place, "inputs": text})
        for place, text in enumerate(texts)
    ]
    body = "".join(f"{line}\n" for line in lines).encode()
    answered = transform_fn(
        Served(Moody(), has_classes=False), body, "application/jsonlines", "application/jsonlines"
    )
    found = [json.loads(line) for line in answered.split("\n")] if answered else []
    assert len(found) == len(texts)
    for place, (text, answer) in enumerate(zip(texts, found, strict=True)):
        if text == "broken line":
            assert answer.keys() == {"error"}
            assert (answer["error"]["code"], answer["error"]["line"]) == ("invalid_json", place + 1)
        elif text in CODES:
            assert answer["id"] == place
            assert (answer["error"]["code"], answer["error"]["line"]) == (CODES[text], place + 1)
        else:
            cut = {"truncated": len(text) // 10} if len(text) >= 10 else {}
            assert answer == {"id": place, "prediction": text.upper(), **cut}


def test_an_answer_that_json_cannot_hold_is_the_model_s_fault_on_its_line_only():
    class Infinite(Moody):
        def answer(self, questions):
            return [Answer(float(question.inputs)) for question in questions]

    body = b'{"id": 1, "inputs": "inf"}\n{"id": 2, "inputs": "2"}'
    first, second = (
        json.loads(line)
        for line in transform_fn(
            Served(Infinite(), has_classes=False), body, "application/jsonlines", None
        ).split("\n")
    )
    assert (first["id"], first["error"]["code"], first["error"]["fault"]) == (
        1,
        "model_output",
        "server",
    )
    assert second == {"id": 2, "prediction": 2.0}

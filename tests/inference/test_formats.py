"""Every format through the real toolkit's handler service, over HTTP, against the pipelines."""

import json

import pytest
from transformers import pipeline

from tests.inference.comparing import same
from tests.inference.format_rows import CUT, REFUSALS, ROWS


@pytest.fixture(scope="module")
def pipelines(artifacts):
    tasks = {"classifier": "text-classification", "nli": "zero-shot-classification"}
    return {
        name: pipeline(task, model=str(artifacts[name]), device="cpu")
        for name, task in tasks.items()
    }


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_each_format_gets_the_pipeline_s_answer_in_its_own_shape(local_hosting, pipelines, row):
    headers = {"Content-Type": row.content_type, "Accept": row.accept}
    reply = local_hosting[row.artifact].request("/invocations", row.body, **headers)
    text = reply.body.decode()
    assert reply.status == 200, text
    assert reply.headers["content-type"] == row.returned_type
    assert reply.headers.get(CUT) == row.cut
    expected = row.answers(pipelines[row.artifact])
    found = [json.loads(line) for line in text.split("\n")] if text else []
    for answer in found:
        if "error" in answer:
            assert answer["error"].pop("message")
    same(found, expected)


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.name)
def test_each_refusal_says_whose_fault_it_is(local_hosting, row):
    headers = {"Content-Type": row.content_type, "Accept": row.accept}
    reply = local_hosting[row.artifact].request("/invocations", row.body, **headers)
    wrapped = json.loads(reply.body)
    assert (reply.status, wrapped["code"]) == (400, 400)
    assert reply.headers["content-type"] == "application/json"
    if row.code is None:
        return
    fault = json.loads(wrapped["message"])
    assert fault["code"] == row.code
    assert fault["fault"] == ("server" if row.artifact == "broken" else "client")
    assert fault["message"]


def test_a_ping_is_healthy_even_where_the_model_is_not(local_hosting):
    for hosting in local_hosting.values():
        reply = hosting.request("/ping")
        assert (reply.status, json.loads(reply.body)) == (200, {"status": "Healthy"})


def test_what_kept_a_model_from_loading_is_logged_once_and_kept_from_callers(local_hosting):
    hosting = local_hosting["broken"]
    messages = {
        hosting.request("/invocations", b"{}", **{"Content-Type": "application/json"}).body
        for _ in range(3)
    }
    assert len(messages) == 1
    assert b"model.safetensors" in messages.pop()
    log = hosting.log.read_text()
    assert log.count("the model cannot serve") == 1
    assert str(hosting.log.parent.parent) in log

"""Requests to the handler's hooks, as the toolkit makes them."""

import json

import pytest

from fault import Fault
from inference import transform_fn

JSON, LINES = "application/json", "application/jsonlines"


class Context:
    """The part of the model server's context that the hooks use."""

    def __init__(self, gpu_id=None, request_headers=None):
        self.system_properties = {"gpu_id": gpu_id}
        self.request_headers = request_headers or {}
        self.request_processor = [self]
        self.headers = {}

    def get_request_properties(self):
        return self.request_headers

    def set_response_header(self, idx, key, value):
        assert idx == 0
        assert value.isascii()
        self.headers[key] = value


def ask(model, document, accept=JSON, content_type=JSON, context=None):
    body = document if isinstance(document, str | bytes | bytearray) else json.dumps(document)
    return json.loads(transform_fn(model, body, content_type, accept, context))


def ask_lines(model, body, accept=LINES, content_type=LINES):
    answer = transform_fn(model, bytearray(body), content_type, accept)
    return [json.loads(line) for line in answer.split("\n")] if answer else []


def refused(model, document, accept=JSON, content_type=JSON):
    with pytest.raises(Fault) as caught:
        ask(model, document, accept, content_type)
    return json.loads(str(caught.value))

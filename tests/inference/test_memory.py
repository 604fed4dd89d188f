"""A worker that answers for a long time does not grow."""

import gc
import json

import psutil
import pytest

from fault import Fault
from inference import transform_fn
from tests.inference.asking import Context

MIB = 2**20
LONG = "why was the price on my bill not the price of the order " * 9
TEXTS = ["late", "my parcel is late", LONG, "", "the app crashes", "ü😀\u2028"]


def requests():
    """One of each kind: answers, lines, errors of lines, refusals."""
    lines = [json.dumps({"id": i, "inputs": t}) for i, t in enumerate(TEXTS)]
    body = "\n".join([*lines, "{", '{"inputs": 5}', '{"id": 1, "inputs": "a", "parameters": 1}'])
    yield body.encode(), "application/jsonlines", "application/jsonlines"
    yield body.encode(), "application/jsonlines", "application/jsonlines;verbose"
    yield f'late\n"{LONG}"\na,b\n"broken\n'.encode(), "text/csv", "text/csv;verbose"
    for text in TEXTS:
        yield json.dumps({"inputs": text}).encode(), "application/json", "*/*"
        yield text.encode(), "application/x-text", "application/json;verbose"
    yield json.dumps({"inputs": LONG, "parameters": {"long_text": "chunk"}}).encode(), None, None
    yield b'{"inputs": ', "application/json", None
    yield b"{}", "application/x-npy", None
    yield b"{}", "application/json", "text/html"


def answer_all(model, rounds):
    for _ in range(rounds):
        for body, content_type, accept in requests():
            try:
                transform_fn(model, bytearray(body), content_type, accept, Context())
            except Fault as fault:
                str(fault)


def resident():
    gc.collect()
    return psutil.Process().memory_info().rss


@pytest.mark.parametrize("kind", ["a model", "one that did not load"])
def test_fifteen_hundred_mixed_requests_leave_no_more_memory_in_use(model, tmp_path, kind):
    from inference import model_fn

    served = model if kind == "a model" else model_fn(str(tmp_path))
    rounds = 1500 // len(list(requests()))
    answer_all(served, rounds // 3)
    before = resident()
    answer_all(served, rounds)
    assert resident() - before < 4 * MIB

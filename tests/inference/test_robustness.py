"""Odd texts and files: nothing crashes, nothing is dropped, each line has its answer or error."""

import csv
import io
import json

import pytest

from fault import Fault
from inference import model_fn, transform_fn
from tests.inference import tiny
from tests.inference.asking import ask, ask_lines
from tests.inference.comparing import same
from tests.inference.odd_texts import COLLECTIONS, ROBUSTNESS, texts

pytestmark = pytest.mark.skipif(
    not ROBUSTNESS.is_dir(), reason="no collection of odd data beside the checkout"
)


@pytest.fixture(scope="module")
def collections():
    return texts()


@pytest.fixture(scope="module")
def nli(tmp_path_factory):
    directory = tmp_path_factory.mktemp("nli")
    tiny.bart(directory)
    (directory / "lectern.json").write_text('{"task": "zero-shot-classification"}')
    return model_fn(str(directory))


CHUNK = {"long_text": "chunk"}


@pytest.mark.parametrize("name", COLLECTIONS)
def test_a_batch_answers_every_odd_text_as_single_requests_do(model, collections, name):
    found = collections[name]
    body = "\n".join(
        json.dumps({"id": i, "inputs": t}, ensure_ascii=False) for i, t in enumerate(found)
    )
    answers = ask_lines(model, body.encode())
    assert [answer["id"] for answer in answers] == list(range(len(found)))
    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([text] for text in found)
    rows = ask_lines(model, buffer.getvalue().encode(), "application/json", "text/csv")
    for text, answer, row in zip(found, answers, rows, strict=True):
        single = ask(model, {"inputs": text})
        same(answer["prediction"], single)
        same(row["prediction"], single)
        same(ask(model, text.encode(), content_type="text/plain"), single)


@pytest.mark.parametrize("name", COLLECTIONS)
def test_odd_texts_are_data_to_zero_shot_too(nli, collections, name):
    found = collections[name][:40]
    # Longer ones leave no room for the text in a model of 32 tokens.
    labels = [text[:9] for text in found if text[:9].strip()][-5:]
    parameters = {"candidate_labels": labels}
    body = "\n".join(json.dumps({"inputs": t, "parameters": parameters}) for t in found)
    for text, answer in zip(found, ask_lines(nli, body.encode()), strict=True):
        assert answer["prediction"]["sequence"] == text
        assert sorted(answer["prediction"]["labels"]) == sorted(labels)


def test_a_very_long_document_is_cut_or_read_in_windows(model):
    body = (ROBUSTNESS / "very_long_document_request.json").read_bytes()
    cut, whole = ask_lines(
        model,
        b"%s\n%s" % (body.strip(), json.dumps(json.loads(body) | {"parameters": CHUNK}).encode()),
    )
    assert cut["truncated"] == 1
    assert "truncated" not in whole
    assert cut["prediction"] != whole["prediction"]
    text = (ROBUSTNESS / "very_long_document.txt").read_bytes()
    same(ask(model, text, content_type="text/plain"), cut["prediction"])


JSONL_ODD = sorted(ROBUSTNESS.glob("jsonl_odd/*.jsonl"))
BAD_LINES = {
    "one_bad_line": [2],
    "blank_lines": [2, 4, 6, 8, 10],
    "lone_surrogate": [1],
    "nested_deep": [1],
    "types": [1, 2, 6, 7, 8],
}


@pytest.mark.parametrize("path", JSONL_ODD, ids=lambda path: path.stem)
def test_every_line_of_an_odd_file_has_its_answer_or_its_error(model, nli, path):
    body = path.read_bytes()
    zero_shot = path.stem.startswith("zero_shot")
    answers = ask_lines(nli if zero_shot else model, body)
    assert len(answers) == len(body.removesuffix(b"\n").split(b"\n"))
    assert all(("prediction" in answer) != ("error" in answer) for answer in answers)
    bad = [number for number, answer in enumerate(answers, start=1) if "error" in answer]
    assert [answers[number - 1]["error"]["line"] for number in bad] == bad
    assert all(answers[number - 1]["error"]["fault"] == "client" for number in bad)
    if not zero_shot:
        assert bad == BAD_LINES.get(path.stem, [])


@pytest.mark.parametrize("path", sorted(ROBUSTNESS.glob("csv_odd/*")), ids=lambda path: path.name)
def test_every_row_of_an_odd_file_has_its_answer_or_its_error(model, path):
    for charset in ("utf-16",) if path.name.startswith("utf16") else ("utf-8", "latin-1"):
        content_type = f"text/csv; charset={charset}"
        answers = ask_lines(model, path.read_bytes(), "text/csv;verbose", content_type)
        assert all(("probabilities" in answer) != ("error" in answer) for answer in answers)
        lines = [answer["error"]["line"] for answer in answers if "error" in answer]
        assert lines == sorted(set(lines))
        if path.name == "empty.csv":
            assert answers == []


@pytest.mark.parametrize(
    "path",
    sorted(
        path for path in ROBUSTNESS.rglob("*") if path.is_file() and path.stat().st_size < 10**5
    ),
    ids=lambda path: path.name,
)
def test_any_file_as_any_type_is_answered_or_refused(model, path):
    body = path.read_bytes()
    for content_type in ("application/json", "text/plain", "application/x-text"):
        fault = None
        try:
            json.loads(transform_fn(model, bytearray(body), content_type, None))
        except Fault as raised:
            fault = raised
        assert fault is None or fault.fault == "client"
    ask_lines(model, body, content_type="application/x-jsonlines")

"""CSV as the body of a prediction and as its answer; the endpoint sees JSON only."""

from __future__ import annotations

import csv
import importlib
import io
import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.functions.conftest import MODELS, PREFIX
from tests.functions.stand_ins import ROOT, SageMaker, answers, function
from tests.functions.test_api import RANKING, Call, assert_problem
from tests.functions.test_batch_readers import CSV_TEXTS, served

__all__ = ["served"]

ROWS = "text/csv; charset=utf-8; header=present"
SCHEMAS = ROOT / "lambda" / "api" / "schemas"


@pytest.fixture(scope="module")
def reader() -> Iterator[ModuleType]:
    with function("api"):
        yield importlib.import_module("csv_bodies")


@pytest.fixture(scope="module")
def writer() -> Iterator[ModuleType]:
    with function("api"):
        yield importlib.import_module("csv_answers")


def table(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline=""), strict=True))


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        ("a text", ["a text"]),
        ("one\ntwo\n", ["one", "two"]),
        ("one\r\ntwo", ["one", "two"]),
        ('"one, two ""three""\r\nfour"\r\nfive', ['one, two "three"\r\nfour', "five"]),
        ('5" pipe\n""\n', ['5" pipe', ""]),
        ("größer ✓\n", ["größer ✓"]),
        ("\ufeffone\ntwo", ["one", "two"]),
        ("it is late,the parcel came\n", [{"text": "it is late", "text_pair": "the parcel came"}]),
        ('a,"b, c"\n"",d', [{"text": "a", "text_pair": "b, c"}, {"text": "", "text_pair": "d"}]),
        ("x" * 200_000, ["x" * 200_000]),
    ],
)
def test_rows_are_the_list_of_texts_that_json_would_hold(
    predict: Call, sagemaker: SageMaker, body: str, inputs: list[Any]
) -> None:
    sagemaker.invoke = answers(RANKING * len(inputs))
    answer = predict(body.encode(), content_type="text/csv; charset=utf-8; header=absent")
    assert (answer["status"], answer["json"]) == (200, RANKING * len(inputs))
    [asked] = sagemaker.invocations
    assert asked["headers"]["content-type"] == "application/json"
    assert json.loads(asked["body"]) == {"inputs": inputs, "parameters": {}}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'one\n"two\nthree\n', "row 2 (line 2): a quote is never closed"),
        (b'"l\n1"\n"two"x\n', "row 2 (line 3): text follows a closing quote"),
        (b"one\n\nthree", 'row 2 (line 2): an empty line: write ""'),
        (b"one\n\n", "row 2 (line 2): an empty line"),
        (b"one\na,b\n", "row 2 (line 2): columns: 2, in the first row 1"),
        (b"a,b\none\n", "row 2 (line 2): columns: 1, in the first row 2"),
        (b"one\na,b,c\n", "row 2 (line 2): one column is read, or two for pairs of texts, got 3"),
        (b"one\nt\0w\0o\0", "row 2 (line 2): holds a NUL"),
        (b"one\n\xff\xfe", "row 2 (line 2): not valid UTF-8"),
        ("\ufeff".encode(), "the body is empty"),
        (b"\r\n", "the body is empty"),
    ],
)
def test_a_broken_row_is_named_before_anything_is_asked(
    predict: Call, sagemaker: SageMaker, body: bytes, told: str
) -> None:
    answer = predict(body, content_type="text/csv")
    assert_problem(answer, 400, told)
    assert answer["json"]["type"] == "urn:lectern:problem:malformed-body"
    assert sagemaker.invocations == []


@pytest.mark.parametrize(
    ("status", "told", "request_made"),
    [
        (415, "question-answering also takes inputs as", {"body": "a", "model": "facts"}),
        (415, "parameters.candidate_labels: send", {"body": "a", "model": "open"}),
        (415, "without a header", {"body": "a", "content_type": "text/csv; header=present"}),
        (415, "latin", {"body": "a", "content_type": "text/csv; charset=latin-1"}),
        (409, "approve", {"body": "a", "model": "fresh"}),
        (413, "3900000", {"body": "x" * 3_900_001, "model": "small"}),
        # As JSON, each of its line ends costs a second byte.
        (413, "3900000", {"body": '"' + "\n" * 2_000_000 + '"', "model": "small"}),
        (422, "inputs: must be a text, a pair", {"body": "a\n" * 1001}),
    ],
)
def test_what_json_may_not_ask_csv_may_not_either(
    predict: Call, sagemaker: SageMaker, status: int, told: str, request_made: dict[str, Any]
) -> None:
    answer = predict(**({"content_type": "text/csv"} | request_made))
    assert_problem(answer, status, told)
    assert sagemaker.invocations == []


def test_no_more_rows_are_read_than_a_request_may_have(reader: ModuleType) -> None:
    assert len(reader.read(b"a\n" * 1_000_000, pairs=False, most=1000)) == 1001


@settings(max_examples=300, deadline=None)
@given(text=CSV_TEXTS)
def test_a_row_is_read_as_the_batches_read_it(
    reader: ModuleType, served: Callable[[str], Any], text: str
) -> None:
    expected = [row if isinstance(row, str) else None for _, row in served(text)]
    if None in expected or not expected:
        with pytest.raises(importlib.import_module("problems").Problem):
            reader.read(text.encode(), pairs=False, most=1000)
    else:
        assert reader.read(text.encode(), pairs=False, most=1000) == expected


def test_json_may_be_answered_in_rows(predict: Call, sagemaker: SageMaker) -> None:
    found = [{"label": 'late, "very"', "score": 0.1}, {"label": "bill", "score": 1e-05}]
    sagemaker.invoke = answers(found, attributes="lectern-truncated=1")
    answer = predict({"inputs": ["a", "b"]}, accept="text/csv")
    assert answer["status"] == 200
    assert answer["headers"]["content-type"] == ROWS
    assert answer["headers"]["x-lectern-truncated"] == "1"
    assert answer["headers"]["x-lectern-model-version"] == "3"
    assert answer["body"] == ('input,label,score\r\n0,"late, ""very""",0.1\r\n1,bill,1e-05\r\n')
    # Its CSV is another one.
    assert sagemaker.invocations[0]["headers"]["accept"] == "application/json"


def test_csv_may_be_answered_in_csv(predict: Call, sagemaker: SageMaker) -> None:
    sagemaker.invoke = answers(RANKING * 2)
    answer = predict("one\ntwo\n", content_type="text/csv", accept="text/csv")
    assert answer["body"] == "input,label,score\r\n0,billing,0.9\r\n1,billing,0.9\r\n"


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/csv", ROWS),
        (ROWS, ROWS),
        ("TEXT/CSV", ROWS),
        ("text/csv, */*", ROWS),
        ("text/csv, application/json", ROWS),
        ("application/json, text/csv", "application/json"),
        ("text/html;level=1, a/b;c=d, application/json, text/csv", "application/json"),
        ("text/csv;q=0.5, application/json", "application/json"),
        ("application/json; q=.2, text/csv; q=0.5", ROWS),
        ("application/json;q=0.2, text/csv;q=0.5, */*", ROWS),
        ("text/csv;q=0, */*;q=0.1", "application/json"),
        ("text/csv;header=absent, */*;q=0.1", "application/json"),
        ("text/csv, application/json;verbose", "application/json;verbose"),
        ("application/json;verbose;q=0, application/json", "application/json"),
    ],
)
def test_csv_is_for_who_names_it_and_wants_json_less(
    predict: Call, sagemaker: SageMaker, accept: str | None, content_type: str
) -> None:
    sagemaker.invoke = answers(RANKING)
    headers = {} if accept is None else {"accept": accept}
    answer = predict({"inputs": "a"}, **headers)
    assert (answer["status"], answer["headers"]["content-type"]) == (200, content_type)


@pytest.mark.parametrize(
    "accept", ["text/csv;verbose", "text/csv;q=0", "text/csv;header=absent", "text/*"]
)
def test_other_csv_than_there_is_is_refused(
    predict: Call, sagemaker: SageMaker, accept: str
) -> None:
    told = f"application/json;verbose or {ROWS}, got {accept!r}"
    assert_problem(predict({"inputs": "a"}, accept=accept), 406, told)
    assert sagemaker.invocations == []


@pytest.mark.parametrize("task", ["feature-extraction", "table-question-answering"])
def test_what_is_no_table_is_not_answered_in_csv(
    call: Call, monkeypatch: pytest.MonkeyPatch, task: str
) -> None:
    entry = MODELS["facts"] | {"task": task, "parameter": f"{PREFIX}facts"}
    monkeypatch.setenv("MODELS", json.dumps(MODELS | {"other": entry}))
    importlib.import_module("models").catalogue.cache_clear()
    asked = {"content_type": "application/json", "accept": "text/csv"}
    answer = call("POST", "/v1/models/other", '{"inputs": "a"}', **asked)
    assert_problem(answer, 406, f"{task} is answered in application/json, got")


ENTITY = {"entity": "PER", "score": 0.9, "index": 1, "word": "Sarah", "start": 0, "end": None}
GROUP = {"entity_group": "PER", "score": 0.9, "word": "Sarah", "start": 0, "end": 5}
MASKED = {"score": 0.5, "token": 7, "token_str": "x", "sequence": "an x, b"}
TWO = [{"label": "a", "score": 0.9}, {"label": "b", "score": 0.1}]
CHOSEN = {"sequence": "text", "labels": ["a", "b"], "scores": [0.9, 0.1]}
SPAN = {"score": 0.9, "start": 0, "end": 5, "answer": "Sarah"}


@pytest.mark.parametrize(
    ("task", "inputs", "found", "rows"),
    [
        ("text-classification", 1, TWO[0], ["0,a,0.9"]),
        ("text-classification", 1, TWO, ["0,a,0.9", "0,b,0.1"]),
        ("text-classification", 2, TWO, ["0,a,0.9", "1,b,0.1"]),
        ("sentiment-analysis", 2, [TWO, TWO[:1]], ["0,a,0.9", "0,b,0.1", "1,a,0.9"]),
        ("text-classification", 0, [], []),
        ("zero-shot-classification", 1, CHOSEN, ["0,a,0.9", "0,b,0.1"]),
        ("zero-shot-classification", 1, [CHOSEN], ["0,a,0.9", "0,b,0.1"]),
        ("token-classification", 2, [[ENTITY], []], ["0,PER,,0.9,1,Sarah,0,"]),
        ("token-classification", 1, [[GROUP]], ["0,,PER,0.9,,Sarah,0,5"]),
        ("question-answering", 1, SPAN, ["0,0.9,0,5,Sarah"]),
        ("question-answering", 2, [[SPAN], SPAN], ["0,0.9,0,5,Sarah", "1,0.9,0,5,Sarah"]),
        ("fill-mask", 1, [MASKED], ['0,0,0.5,7,x,"an x, b"']),
        ("fill-mask", 1, [[MASKED], [MASKED]], ['0,0,0.5,7,x,"an x, b"', '0,1,0.5,7,x,"an x, b"']),
        (
            "fill-mask",
            2,
            [[MASKED], [[MASKED], [MASKED]]],
            ['0,0,0.5,7,x,"an x, b"', '1,0,0.5,7,x,"an x, b"', '1,1,0.5,7,x,"an x, b"'],
        ),
        ("text-generation", 1, [[{"generated_text": "a\nb"}]], ['0,"a\nb"']),
        ("translation_en_to_de", 2, [{"translation_text": "a"}, {"translation_text": ""}], ["0,a", "1,"]),
    ],
)  # fmt: skip
def test_a_row_is_an_object_of_the_answer_and_tells_its_input(
    writer: ModuleType, task: str, inputs: int, found: Any, rows: list[str]
) -> None:
    _, *written = writer.write(found, task=task, inputs=inputs).split("\r\n")
    assert written == [*rows, ""]


@pytest.mark.parametrize("found", ["a text", [1.0], [[0.1], [0.2]], [TWO[0]], [TWO[0], None]])
def test_an_answer_of_another_shape_is_the_models_fault(
    predict: Call, sagemaker: SageMaker, found: Any
) -> None:
    sagemaker.invoke = answers(found)
    answer = predict({"inputs": ["a", "b"]}, accept="text/csv")
    assert_problem(answer, 502, "no table")


def test_columns_are_what_the_tasks_answers_have() -> None:
    for path in sorted(SCHEMAS.glob("*.json")):
        task = json.loads(path.read_text(encoding="utf-8"))
        if path.stem == "zero-shot-classification" or "columns" not in task:
            continue
        named = [name for name in task["columns"] if name != "mask"]
        assert named == list(_properties(task["response"])), path.stem


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    for inner in [*schema.get("anyOf", ()), *([schema["items"]] if "items" in schema else ())]:
        return _properties(inner)
    found: dict[str, Any] = schema["properties"]
    return found


@settings(max_examples=200, deadline=None)
@given(
    labels=st.lists(
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=1
    )
)
def test_every_label_is_read_again_as_it_was(writer: ModuleType, labels: list[str]) -> None:
    found = [{"label": label, "score": 0.25} for label in labels]
    text = writer.write(found, task="text-classification", inputs=len(labels))
    header, *rows = table(text)
    assert header == ["input", "label", "score"]
    assert rows == [[str(number), label, "0.25"] for number, label in enumerate(labels)]

"""The handler's hooks against the plain transformers pipeline; run under both transformers."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import pipeline

import classify
from fault import Fault
from inference import model_fn, transform_fn
from tests.inference import tiny

ROBUSTNESS = Path(__file__).parents[3] / "shared" / "data" / "robustness"
SHORT = "my parcel is late"
LONG = "why was the price on my bill not the price of the order " * 9
TEXTS = [SHORT, LONG, "refund", "the app crashes when i return to the screen, please change it", ""]


def ask(model, document, accept="application/json", content_type="application/json"):
    body = document if isinstance(document, str | bytes | bytearray) else json.dumps(document)
    return json.loads(transform_fn(model, body, content_type, accept))


def ask_lines(model, body, accept="application/jsonlines", content_type="application/jsonlines"):
    answer = transform_fn(model, bytearray(body), content_type, accept)
    return [json.loads(line) for line in answer.split("\n")]


def refused(model, document, accept="application/json", content_type="application/json"):
    with pytest.raises(Fault) as caught:
        ask(model, document, accept, content_type)
    return json.loads(str(caught.value))


def same(ours, theirs):
    if isinstance(theirs, list):
        assert isinstance(ours, list)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    else:
        assert ours.keys() == theirs.keys()
        assert ours["label"] == theirs["label"]
        assert ours["score"] == pytest.approx(theirs["score"], abs=1e-5)


@pytest.fixture(scope="session")
def plain(model_dir):
    return pipeline("text-classification", model=str(model_dir), device="cpu")


@pytest.mark.parametrize("inputs", [SHORT, LONG, "", [SHORT], TEXTS], ids=str)
@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"top_k": 1},
        {"top_k": 2},
        {"top_k": None},
        {"top_k": 99},
        {"function_to_apply": "sigmoid"},
        {"function_to_apply": "none", "top_k": None},
        {"truncation": True, "function_to_apply": "softmax"},
    ],
    ids=str,
)
def test_answers_equal_the_pipeline_s_in_shape_and_score(model, plain, inputs, parameters):
    theirs = plain(inputs, **{"truncation": True, **parameters})
    same(ask(model, {"inputs": inputs, "parameters": parameters}), theirs)


def test_no_texts_get_no_answers(model):
    # The pipeline of transformers 5 raises here.
    assert ask(model, {"inputs": []}) == []


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        (("a", "b", "c"), "multi_label_classification"),
        (("a",), None),
        (("a",), "regression"),
        (("a", "b"), None),
    ],
)
def test_the_score_function_follows_the_model_s_problem(tmp_path, labels, problem):
    directory = tiny.classifier(tmp_path, labels, problem_type=problem)
    theirs = pipeline("text-classification", model=str(directory), device="cpu")
    body = {"inputs": TEXTS[:1], "parameters": {"top_k": None}}
    same(ask(model_fn(str(directory)), body), theirs(TEXTS[:1], top_k=None))


def test_a_long_text_is_cut_at_the_model_s_length_unless_truncation_is_off(model):
    same(ask(model, {"inputs": LONG}), ask(model, {"inputs": LONG + LONG}))
    fault = refused(model, {"inputs": LONG, "parameters": {"truncation": False}})
    assert fault["code"] == "too_long"
    assert fault["fault"] == "client"
    assert "the model reads 32" in fault["message"]
    same(
        ask(model, {"inputs": SHORT, "parameters": {"truncation": False}}),
        ask(model, {"inputs": SHORT}),
    )


def test_positions_that_start_after_the_padding_index_are_not_overrun(tmp_path):
    model = model_fn(str(tiny.roberta_without_a_tokenizer_limit(tmp_path)))
    assert model.limit == tiny.POSITIONS - 2
    assert ask(model, {"inputs": [LONG, SHORT]})[0]["score"] > 0


def test_verbose_gives_every_class_in_class_order(model, plain):
    answer = ask(model, {"inputs": SHORT}, accept="application/json;verbose")
    scores = {entry["label"]: entry["score"] for entry in plain(SHORT, top_k=None)}
    assert answer["labels"] == ["red", "grün", "blue"]
    assert answer["probabilities"] == pytest.approx([scores[x] for x in answer["labels"]], abs=1e-5)
    assert answer["predicted_label"] == plain(SHORT)[0]["label"]
    several = ask(model, {"inputs": TEXTS}, accept="application/json;verbose")
    assert [entry["predicted_label"] for entry in several] == [
        entry["label"] for entry in plain(TEXTS, truncation=True)
    ]


@pytest.mark.parametrize("content_type", ["application/x-text", "text/plain; charset=UTF-8"])
def test_a_body_of_plain_text_is_one_text(model, content_type):
    body = bytearray("wo ist mein Päckchen?\n", "utf-8")
    answer = ask(model, body, content_type=content_type)
    same(answer, ask(model, {"inputs": "wo ist mein Päckchen?\n"}))


def test_the_charset_of_a_body_is_heeded(model):
    text = "où est my parcel"
    for charset in ("iso-8859-1", "UTF-16"):
        body = json.dumps({"inputs": text}, ensure_ascii=False).encode(charset)
        got = ask(model, body, content_type=f'application/json; charset="{charset}"')
        same(got, ask(model, {"inputs": text}))
    body = b'{"inputs": "\xff"}'
    assert refused(model, body, content_type="application/json;charset=utf-8")["fault"] == "client"


@pytest.mark.parametrize(
    ("accept", "verbose"),
    [
        ("*/*", False),
        ("", False),
        (None, False),
        ("application/json, text/plain, */*", False),
        ("text/html, application/*;q=0.8", False),
        ("application/json;q=0.5, application/json;verbose", True),
        ("application/json, application/json;verbose;q=0.9", False),
        ("Application/JSON; Verbose", True),
    ],
)
def test_the_best_acceptable_answer_is_given(model, accept, verbose):
    assert isinstance(ask(model, {"inputs": SHORT}, accept=accept), dict) is verbose


@pytest.mark.parametrize("accept", ["text/html", "application/x-npy", "*/*;q=0", "text/csv"])
def test_an_answer_that_cannot_be_given_is_refused(model, accept):
    fault = refused(model, {"inputs": SHORT}, accept=accept)
    assert (fault["code"], fault["fault"]) == ("not_acceptable", "client")


@pytest.mark.parametrize(
    "content_type",
    ["application/x-npy", "application/x-pickle", "image/png", "text/html", "text/plain;charset=x"],
)
def test_other_content_types_are_refused(model, content_type):
    fault = refused(model, b"\x93NUMPY", content_type=content_type)
    assert (fault["code"], fault["fault"]) == ("unsupported_content_type", "client")


BAD_DOCUMENTS = {
    "not json": (b'{"inputs": "cut o', "invalid_json"),
    "two documents": (b'{"inputs": "a"} {"inputs": "b"}', "invalid_json"),
    "not a number": (b'{"inputs": NaN}', "invalid_json"),
    "five thousand brackets": (b'{"inputs": ' + b"[" * 5000 + b"]" * 5000 + b"}", "invalid_"),
    "bare text": (b'"a text"', "invalid_input"),
    "list": (b'["a text"]', "invalid_input"),
    "no inputs": (b'{"text": "a"}', "invalid_input"),
    "null": (b'{"inputs": null}', "invalid_input"),
    "number": (b'{"inputs": 5}', "invalid_input"),
    "list with a number": (b'{"inputs": ["a", 5]}', "invalid_input"),
    "pair": (b'{"inputs": {"text": "a", "text_pair": "b"}}', "invalid_input"),
    "half a surrogate pair": (b'{"inputs": "half \\ud83d pair"}', "invalid_input"),
    "not utf-8": (b'{"inputs": "caf\xe9"}', "invalid_input"),
    "parameters as a list": (b'{"inputs": "a", "parameters": []}', "invalid_parameter"),
    "unknown parameter": (b'{"inputs": "a", "parameters": {"tmp": 1}}', "invalid_parameter"),
    "top_k of 0": (b'{"inputs": "a", "parameters": {"top_k": 0}}', "invalid_parameter"),
    "top_k true": (b'{"inputs": "a", "parameters": {"top_k": true}}', "invalid_parameter"),
    "function": (b'{"inputs": "a", "parameters": {"function_to_apply": "exp"}}', "invalid_param"),
    "truncation": (b'{"inputs": "a", "parameters": {"truncation": "no"}}', "invalid_parameter"),
    "id as a list": (b'{"inputs": "a", "id": [1]}', "invalid_input"),
    "id without end": (b'{"inputs": "a", "id": 1e999}', "invalid_input"),
    "too long": (
        json.dumps({"inputs": LONG, "parameters": {"truncation": False}}).encode(),
        "too_long",
    ),
}


@pytest.mark.parametrize(("body", "code"), BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
def test_a_bad_document_is_the_client_s_fault_and_says_why(model, body, code):
    fault = refused(model, body, content_type="application/json;charset=utf-8")
    assert set(fault) == {"code", "fault", "message"}
    assert fault["fault"] == "client"
    assert fault["code"].startswith(code)


def test_a_bad_line_costs_no_other_and_keeps_its_place(model, plain):
    lines, expected = [], []
    for number, (body, code) in enumerate(BAD_DOCUMENTS.values()):
        lines += [json.dumps({"id": number, "inputs": TEXTS[number % len(TEXTS)]}).encode(), body]
        expected += [number, code]
    answers = ask_lines(model, b"\n".join(lines) + b"\n")
    assert len(answers) == len(lines)
    for answer, want in zip(answers, expected, strict=True):
        if isinstance(want, int):
            assert answer["id"] == want
            same(answer["prediction"], plain([TEXTS[want % len(TEXTS)]], truncation=True))
        else:
            assert set(answer) <= {"id", "error"}
            assert set(answer["error"]) == {"code", "message"}
            assert answer["error"]["code"].startswith(want)


def test_a_bad_line_that_can_be_read_keeps_its_id(model):
    answers = ask_lines(model, b'{"id": "a\\u2028b", "inputs": 5}\n{"inputs": "a", "id": 7.5}')
    assert answers[0]["id"] == "a\u2028b"
    assert answers[1]["id"] == 7.5


def test_lines_are_what_line_feeds_make_and_nothing_else_ends_one(model):
    texts = [SHORT, "a\u2028b\u2029c\u0085d", LONG]
    lines = [json.dumps({"inputs": text}, ensure_ascii=False).encode() for text in texts]
    for body in (b"\n".join(lines), b"\n".join(lines) + b"\n", b"\r\n".join(lines) + b"\r\n"):
        assert all("prediction" in answer for answer in ask_lines(model, b"\xef\xbb\xbf" + body))
        raw = transform_fn(model, bytearray(body), "application/x-jsonlines", "*/*")
        assert raw.count("\n") == 2
        assert len(raw.splitlines()) == 3
        assert not raw.endswith("\n")
    inside = b'{"inputs":\r"refund"}\n{"inputs": "late"}'
    assert ["prediction" in answer for answer in ask_lines(model, inside)] == [True, True]
    with_blank = ask_lines(model, lines[0] + b"\n\n" + lines[1] + b"\n")
    assert ["error" in answer for answer in with_blank] == [False, True, False]


def test_lines_carry_their_own_parameters_and_lists(model):
    body = (
        b'{"inputs": "refund", "parameters": {"top_k": null}}\n'
        b'{"inputs": ["refund", "late"], "parameters": {"function_to_apply": "sigmoid"}}\n'
        b'{"inputs": []}'
    )
    first, second, third = (line["prediction"] for line in ask_lines(model, body))
    same(first, ask(model, {"inputs": "refund", "parameters": {"top_k": None}}))
    sigmoid = {"function_to_apply": "sigmoid"}
    same(second, ask(model, {"inputs": ["refund", "late"], "parameters": sigmoid}))
    assert third == []


def test_lines_can_be_answered_verbosely_under_every_name(model):
    for accept in ("application/jsonlines;verbose", "application/json;verbose"):
        (answer,) = ask_lines(model, b'{"inputs": "refund"}', accept=accept)
        assert answer["prediction"]["labels"] == ["red", "grün", "blue"]


def test_csv_is_one_text_a_row_without_a_header(model):
    body = 'refund\n"where is my parcel, please?"\ntwo,columns\n"broken" quote\n"a ""b"""\nlate\n'
    answers = ask_lines(model, body.encode(), accept="text/csv", content_type="text/csv")
    assert ["error" in answer for answer in answers] == [False, False, True, True, False, False]
    want = ask(model, {"inputs": ["where is my parcel, please?"]})
    same(answers[1]["prediction"], want)


def test_texts_are_batched_by_length_within_the_token_budget(model, monkeypatch):
    shapes = []
    forward = model.model.forward

    def seen(*args, **kwargs):
        shapes.append(tuple(kwargs["input_ids"].shape))
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.model, "forward", seen)
    monkeypatch.setitem(classify.TOKENS_PER_BATCH, "cpu", 64)
    texts = [SHORT, LONG, "late", SHORT, LONG, "late", LONG, "my bill"] * 3
    answers = ask_lines(model, "\n".join(json.dumps({"inputs": t}) for t in texts).encode())
    assert all(rows * tokens <= 64 for rows, tokens in shapes)
    assert len(shapes) < len(texts) / 2
    for text, answer in zip(texts, answers, strict=True):
        same(answer["prediction"], ask(model, {"inputs": [text]}))


def test_a_tokenizer_that_cannot_pad_still_serves(tmp_path, model_dir):
    shutil.copytree(model_dir, tmp_path / "model")
    model = model_fn(str(tmp_path / "model"))
    model.tokenizer.pad_token = None
    same(
        ask(model, {"inputs": [SHORT, "refund"]}),
        [ask(model, {"inputs": text})[0] for text in (SHORT, "refund")],
    )


def test_scores_that_are_no_numbers_are_the_model_s_fault(tmp_path, model_dir):
    model = model_fn(str(model_dir))
    with torch.no_grad():
        model.model.classifier.bias[0] = float("nan")
    fault = refused(model, {"inputs": SHORT})
    assert (fault["code"], fault["fault"]) == ("model_output", "server")


def broken_weights(directory):
    (directory / "model.safetensors").write_bytes(b"not weights")


def no_weights(directory):
    (directory / "model.safetensors").unlink()


def pickled_weights(directory):
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()


def no_config(directory):
    (directory / "config.json").unlink()


def config_of_nonsense(directory):
    (directory / "config.json").write_text('{"model_type": "no such model"}')


def no_tokenizer(directory):
    for path in directory.glob("tokenizer*"):
        path.unlink()


def no_head(directory):
    shutil.rmtree(directory)
    tiny.encoder(directory)


@pytest.mark.parametrize(
    "damage",
    [
        broken_weights,
        no_weights,
        pickled_weights,
        no_config,
        config_of_nonsense,
        no_tokenizer,
        no_head,
    ],
)
def test_a_model_that_cannot_serve_is_a_server_fault_and_logged_once(
    tmp_path, model_dir, damage, caplog
):
    directory = tmp_path / "model"
    shutil.copytree(model_dir, directory)
    damage(directory)
    for _ in range(2):
        with pytest.raises(Fault) as caught:
            model_fn(str(directory))
    fault = json.loads(str(caught.value))
    assert (fault["code"], fault["fault"]) == ("model_not_loaded", "server")
    logged = [r for r in caplog.records if r.name == "lectern" and r.levelno == logging.ERROR]
    assert len(logged) == 1


def test_another_task_is_refused_when_the_model_loads(model_dir, monkeypatch):
    monkeypatch.setenv("HF_TASK", "summarization")
    with pytest.raises(Fault, match="HF_TASK") as caught:
        model_fn(str(model_dir))
    assert caught.value.fault == "server"


@pytest.mark.skipif(not ROBUSTNESS.is_dir(), reason="no collection of odd data beside the checkout")
def test_odd_lines_get_one_answer_each(model):
    for path in sorted([*ROBUSTNESS.glob("jsonl_odd/*.jsonl"), *ROBUSTNESS.glob("*_texts.jsonl")]):
        body = path.read_bytes()
        answers = ask_lines(model, body)
        assert len(answers) == len(body.removesuffix(b"\n").split(b"\n")), path.name
        assert all(("prediction" in a) != ("error" in a) for a in answers), path.name
    assert all(
        "prediction" in a for a in ask_lines(model, (ROBUSTNESS / "odd_texts.jsonl").read_bytes())
    )

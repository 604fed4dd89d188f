"""The ONNX engine on a packaged tiny model: it computes what transformers computes, without it."""

import importlib.machinery
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from tests.inference import tiny
from tests.inference.comparing import ask, same
from tests.inference.conftest import ROOT

TEXTS = [
    "the parcel is late",
    "",
    "my card was charged twice",
    "🙂 ünïcode \x00 control",
    "refund",
    "please change the password of my account " * 9,
    ("my order was late", "the order"),
    ("the parcel " * 30, "is late"),
]


@pytest.fixture(scope="module")
def packaged(tmp_path_factory):
    sys.path.insert(0, str(ROOT / "training"))
    from package import package_directory

    directory = tiny.classifier(tmp_path_factory.mktemp("onnx"))
    rows = directory / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": t, "label": "red"}) + "\n" for t in TEXTS[2:6]))
    record = package_directory(directory, rows, int8=False)
    assert record["exported"], record
    return directory


@pytest.fixture(scope="module")
def classifier(packaged):
    from engine import onnx_classifier

    return onnx_classifier.load(packaged, int8=False)


def transformers_logits(directory, text):
    tokenizer = AutoTokenizer.from_pretrained(directory)
    model = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    parts = (text,) if isinstance(text, str) else text
    inputs = tokenizer(*parts, truncation="longest_first", return_tensors="pt")
    with torch.inference_mode():
        return model(**inputs).logits[0].numpy()


def test_logits_of_texts_and_pairs_of_all_lengths_are_those_of_transformers(packaged, classifier):
    given = classifier.logits(classifier.tokens.encode(TEXTS, "longest_first"))
    expected = np.stack([transformers_logits(packaged, text) for text in TEXTS])
    assert np.abs(given - expected).max() <= 1e-5


def test_a_padded_batch_computes_what_each_sequence_does_alone(classifier):
    from dataclasses import replace

    encoded = classifier.tokens.encode(TEXTS, "longest_first")
    together = replace(classifier, budget=10_000, most_padding=1.0).logits(encoded)
    alone = replace(classifier, budget=0).logits(encoded)
    assert np.abs(together - alone).max() <= 1e-5


def test_tokens_are_those_of_transformers_and_say_what_was_cut(packaged, classifier):
    tokenizer = AutoTokenizer.from_pretrained(packaged)
    for truncation in ("longest_first", "only_first"):
        for text, encoded in zip(TEXTS, classifier.tokens.encode(TEXTS, truncation), strict=True):
            parts = (text,) if isinstance(text, str) else text
            expected = tokenizer(*parts, truncation=truncation)
            assert {k: list(v) for k, v in encoded.features.items()} == dict(expected)
            assert encoded.cut == (len(tokenizer(*parts)["input_ids"]) > tiny.POSITIONS)


def test_a_tokenizer_may_cut_and_pad_at_the_left(packaged, classifier):
    from dataclasses import replace

    sides = {"padding_side": "left", "truncation_side": "left"}
    expected = AutoTokenizer.from_pretrained(packaged, **sides)(
        [TEXTS[0], TEXTS[5]], truncation=True, padding=True, return_tensors="np"
    )
    tokens = replace(classifier.tokens, **sides)
    given = tokens.pad(tokens.encode([TEXTS[0], TEXTS[5]], "longest_first"))
    assert {name: rows.tolist() for name, rows in given.items()} == {
        name: rows.tolist() for name, rows in expected.items()
    }


def test_a_pair_whose_second_text_alone_is_too_long_is_left_whole(classifier):
    (encoded,) = classifier.tokens.encode([("late", "the parcel " * 30)], "only_first")
    assert not encoded.cut
    assert len(encoded) > classifier.tokens.limit


def test_a_sequence_beyond_the_models_positions_costs_no_other(classifier):
    good, bad = classifier.tokens.encode(["late", "the parcel " * 40], "never")
    logits = classifier.logits([good, bad, good])
    assert np.isnan(logits[1]).all()
    assert np.array_equal(logits[0], logits[2])
    assert np.isfinite(logits[0]).all()


def test_windows_are_those_of_transformers(packaged, classifier):
    text = TEXTS[5] + "where is the driver"
    expected = AutoTokenizer.from_pretrained(packaged)(
        text, truncation=True, stride=6, return_overflowing_tokens=True
    )["input_ids"]
    windows = classifier.tokens.windows(text, 6)
    assert [list(window.features["input_ids"]) for window in windows] == expected
    assert len(windows) > 2


def test_a_fresh_process_answers_without_torch_or_transformers(packaged):
    script = (
        "import sys, pathlib; from tasks.registry import load; "
        "task = load('text-classification', pathlib.Path(sys.argv[1]), engine='onnx', "
        "device='cpu'); "
        "(answer,) = task.answer([task.read({'inputs': 'the parcel is late'})]); "
        "assert answer.value; "
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(packaged)],
        env={"PYTHONPATH": str(ROOT / "inference")},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_the_runtime_beside_the_code_serves_where_the_image_has_none(tmp_path, monkeypatch):
    from engine import onnx_runner

    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text("FROM = 'beside'")

    class WithoutInstalled:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name != "onnxruntime":
                return None
            places = [place for place in sys.path if place == str(tmp_path)]
            spec = importlib.machinery.PathFinder.find_spec(name, places)
            if spec is None:
                raise ModuleNotFoundError(name)
            return spec

    monkeypatch.setattr(sys, "meta_path", [WithoutInstalled, *sys.meta_path])
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "onnxruntime", raising=False)
    monkeypatch.setattr(onnx_runner, "RUNTIME", tmp_path)
    try:
        assert onnx_runner.onnxruntime().FROM == "beside"
    finally:
        sys.modules.pop("onnxruntime", None)


def test_a_graph_that_cannot_be_loaded_is_the_servers_fault_and_names_no_path(packaged, tmp_path):
    import shutil

    from engine import onnx_classifier
    from fault import Fault

    broken = tmp_path / "model"
    shutil.copytree(packaged, broken)
    (broken / "onnx" / "model.onnx").write_bytes(b"not a graph")
    with pytest.raises(Fault) as caught:
        onnx_classifier.load(broken, int8=False)
    assert caught.value.fault == "server"
    assert str(tmp_path) not in str(caught.value)


ZERO_SHOT = {"candidate_labels": ["billing", "delivery", "a change of password"]}


@pytest.mark.parametrize(
    ("name", "parameters", "truncation"),
    [
        ("text-classification", {"top_k": None}, {"truncation": True}),
        ("zero-shot-classification", ZERO_SHOT, {}),
    ],
)
def test_a_task_answers_by_onnx_as_the_pipeline_does(
    packaged, name, parameters, truncation, monkeypatch
):
    from tasks.registry import load

    # Were the graph not used, torch would answer as well.
    monkeypatch.setitem(sys.modules, "engine.torch_classifier", None)
    task = load(name, packaged, engine="onnx", device="cpu")
    texts = [text for text in TEXTS if isinstance(text, str) and text]
    theirs = pipeline(name, model=str(packaged), device="cpu")
    answer = ask(task, {"inputs": texts, "parameters": parameters})
    same(answer, theirs(texts, **parameters, **truncation))

"""From a task's name and an engine to what serves: names, fallbacks, and what is not imported."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from engine import torch_classifier
from fault import Fault
from tasks import registry
from tasks.registry import load, task_of
from tests.inference import tiny
from tests.inference.comparing import ask

INFERENCE = Path(__file__).parents[2] / "inference"


@pytest.fixture
def artifact(tmp_path):
    return tiny.classifier(tmp_path / "model")


@pytest.fixture
def log(monkeypatch, caplog):
    monkeypatch.setattr(registry, "_logged", set())
    with caplog.at_level(logging.INFO, "lectern"):
        yield lambda: [r.getMessage() for r in caplog.records if r.name == "lectern"]


@pytest.fixture
def onnx(monkeypatch):
    """An ONNX engine that notes what it is asked for, and does what it is told."""
    asked = []

    def install(does):
        def load(model_dir, *, int8):
            asked.append("int8" if int8 else "fp32")
            return does(model_dir)

        module = type(sys)("engine.onnx_classifier")
        module.load = load
        monkeypatch.setitem(sys.modules, "engine.onnx_classifier", module)
        return asked

    return install


def graphs(artifact, *names):
    (artifact / "onnx").mkdir()
    for name in names:
        (artifact / "onnx" / name).touch()


def works(model_dir):
    return torch_classifier.load(model_dir, "cpu")


def test_names_and_aliases_stand_for_their_task():
    assert task_of("sentiment-analysis") == "text-classification"
    assert task_of("ner") == "token-classification"
    assert task_of("translation_en_to_fr") == "translation"
    assert task_of("translation_xx_to_yy") == "translation"
    assert task_of("zero-shot-classification") == "zero-shot-classification"


@pytest.mark.parametrize("name", ["", "image-classification", "translation_en", "summarisation"])
def test_an_unknown_task_is_refused_with_the_tasks_that_are_served(tmp_path, name):
    with pytest.raises(Fault, match="HF_TASK") as caught:
        load(name, tmp_path, engine="torch", device="cpu")
    assert (caught.value.code, caught.value.fault) == ("model_not_loaded", "server")
    assert {"text-classification", "summarization", "ner"} <= set(caught.value.allowed)


def test_an_unknown_engine_is_refused(artifact):
    with pytest.raises(Fault, match="LECTERN_ENGINE") as caught:
        load("text-classification", artifact, engine="tensorrt", device="cpu")
    assert list(caught.value.allowed) == ["onnx-int8", "onnx", "torch"]


@pytest.mark.parametrize(
    ("engine", "files", "served_by", "logged"),
    [
        ("onnx-int8", ["model-int8.onnx", "model.onnx"], ["int8"], []),
        ("onnx-int8", ["model.onnx"], ["fp32"], ["model-int8.onnx"]),
        ("onnx-int8", [], [], ["model-int8.onnx", "model.onnx"]),
        ("onnx", ["model-int8.onnx", "model.onnx"], ["fp32"], []),
        ("onnx", ["model-int8.onnx"], [], ["model.onnx"]),
        ("torch", ["model-int8.onnx", "model.onnx"], [], []),
    ],
)
def test_the_next_engine_serves_an_artifact_without_a_graph(
    artifact, onnx, log, engine, files, served_by, logged
):
    graphs(artifact, *files)
    asked = onnx(works)
    for _ in range(2):
        task = load("text-classification", artifact, engine=engine, device="cpu")
    assert ask(task, {"inputs": "refund"})[0]["score"] > 0
    assert asked == served_by * 2
    messages = log()
    assert len(messages) == len(logged)
    for message, name in zip(messages, logged, strict=True):
        assert name in message


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'onnxruntime'"),
        Fault("model_not_loaded", "the artifact has no onnx/tokenizer.json", fault="server"),
    ],
    ids=["no runtime", "no tokenizer"],
)
def test_torch_serves_where_the_graph_cannot_be_run(artifact, onnx, log, error):
    def fails(model_dir):
        raise error

    graphs(artifact, "model.onnx", "model-int8.onnx")
    asked = onnx(fails)
    task = load("text-classification", artifact, engine="onnx-int8", device="cpu")
    assert ask(task, {"inputs": "refund"})[0]["score"] > 0
    assert asked == ["int8", "fp32"]
    assert len(log()) == 2


def test_a_model_that_no_engine_can_load_is_the_fault_of_torch(artifact, onnx):
    (artifact / "model.safetensors").unlink()
    with pytest.raises(Fault, match=r"model\.safetensors"):
        load("text-classification", artifact, engine="onnx", device="cpu")


def test_zero_shot_takes_any_engine_as_well(tmp_path, onnx):
    artifact = tiny.bart(tmp_path / "model")
    graphs(artifact, "model.onnx")
    asked = onnx(works)
    task = load("zero-shot-classification", artifact, engine="onnx", device="cpu")
    body = {"inputs": "refund", "parameters": {"candidate_labels": ["bill", "login"]}}
    assert len(ask(task, body)["scores"]) == 2
    assert asked == ["fp32"]


def test_classifiers_and_their_tasks_need_neither_torch_nor_transformers():
    code = (
        "import sys, json; sys.path.insert(0, sys.argv[1]); "
        "import tasks.registry, tasks.text_classification, tasks.zero_shot; "
        "print(json.dumps([m for m in ('torch', 'transformers', 'pandas') if m in sys.modules]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(INFERENCE)], capture_output=True, text=True, timeout=60
    )
    assert json.loads(run.stdout) == [], run.stderr

"""The handler's hooks: loading a model, or saying why not; run under both transformers."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fault import Fault, without_paths
from inference import model_fn, transform_fn
from tasks import registry
from tasks.architectures import task_of_artifact
from tests.inference import tiny
from tests.inference.asking import Context, refused

INFERENCE = Path(__file__).parents[2] / "inference"
SHORT = "my parcel is late"


def broken_weights(directory):
    (directory / "model.safetensors").write_bytes(b"not weights")


def no_weights(directory):
    (directory / "model.safetensors").unlink()


def pickled_weights(directory):
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()


def weights_that_are_no_numbers(directory):
    weights = load_file(directory / "model.safetensors")
    weights["classifier.bias"][0] = float("nan")
    save_file(weights, directory / "model.safetensors", {"format": "pt"})


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


DAMAGES = [
    broken_weights,
    no_weights,
    pickled_weights,
    weights_that_are_no_numbers,
    no_config,
    config_of_nonsense,
    no_tokenizer,
    no_head,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_model_that_cannot_serve_is_logged_once_and_fails_every_request(
    tmp_path, model_dir, monkeypatch, caplog, damage
):
    monkeypatch.setenv("HF_TASK", "text-classification")
    directory = tmp_path / "model"
    shutil.copytree(model_dir, directory)
    damage(directory)
    model = model_fn(str(directory), Context())
    faults = [
        refused(model, {"inputs": SHORT}),
        refused(model, b"x", content_type="application/x-npy"),
    ]
    assert faults[0] == faults[1]
    assert (faults[0]["code"], faults[0]["fault"]) == ("model_not_loaded", "server")
    assert len(faults[0]["message"]) > 20
    for secret in (str(tmp_path), "/", "Traceback", "\n"):
        assert secret not in faults[0]["message"]
    logged = [r for r in caplog.records if r.name == "lectern" and r.levelno == logging.ERROR]
    assert len(logged) == 1
    assert logged[0].exc_info


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            Fault("model_not_loaded", "/opt/ml/model/spiece.model is cut short", fault="server"),
            "spiece.model is cut short",
        ),
        (Fault("too_long", "the text is too long"), "the text is too long"),
        (
            OSError("cannot open '/opt/ml/model/model.safetensors': shape [3, 7]\nTraceback"),
            "the model cannot be loaded (OSError, model.safetensors): its log has the reason",
        ),
        (
            ZeroDivisionError(),
            "the model cannot be loaded (ZeroDivisionError): its log has the reason",
        ),
    ],
)
def test_whatever_loading_raises_becomes_a_server_fault_without_its_inner_life(
    model_dir, monkeypatch, caplog, error, message
):
    def load(*arguments, **options):
        raise error

    monkeypatch.setattr(registry, "load", load)
    fault = refused(model_fn(str(model_dir)), {"inputs": SHORT})
    assert (fault["code"], fault["fault"]) == ("model_not_loaded", "server")
    assert fault["message"] == message
    assert caplog.records[-1].exc_info[1] is error


def test_ten_thousand_refusals_leave_no_trace(tmp_path):
    model = model_fn(str(tmp_path))
    frames = 0
    for _ in range(3):
        with pytest.raises(Fault) as caught:
            transform_fn(model, b"{}", "application/json", None)
        trace, frames = caught.tb, 0
        while trace is not None:
            trace, frames = trace.tb_next, frames + 1
    assert frames == 3


@pytest.mark.parametrize(
    ("variable", "value"), [("HF_TASK", "image-classification"), ("LECTERN_ENGINE", "tensorrt")]
)
def test_settings_that_cannot_be_served_are_named(model_dir, monkeypatch, variable, value):
    monkeypatch.setenv("HF_TASK", "text-classification")
    monkeypatch.setenv(variable, value)
    fault = refused(model_fn(str(model_dir)), {"inputs": SHORT})
    assert fault["fault"] == "server"
    assert variable in fault["message"]
    assert value in fault["message"]
    assert fault["allowed"]


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("BertForSequenceClassification", "text-classification"),
        ("TapasForQuestionAnswering", "table-question-answering"),
        ("BertForQuestionAnswering", "question-answering"),
        ("MarianMTModel", "text2text-generation"),
        ("GPT2LMHeadModel", "text-generation"),
        ("T5ForConditionalGeneration", "text2text-generation"),
    ],
)
def test_without_a_task_the_architecture_says_it(tmp_path, architecture, task):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    assert task_of_artifact(tmp_path) == task
    (tmp_path / "lectern.json").write_text('{"task": "zero-shot-classification"}')
    assert task_of_artifact(tmp_path) == "zero-shot-classification"


@pytest.mark.parametrize("config", [None, "{}", "[]", "{", '{"architectures": ["BertModel"]}'])
def test_without_a_task_and_a_telling_architecture_the_fault_names_the_setting(
    tmp_path, monkeypatch, config
):
    monkeypatch.delenv("HF_TASK", raising=False)
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    fault = refused(model_fn(str(tmp_path)), {"inputs": SHORT})
    assert (fault["code"], fault["fault"], fault["field"]) == (
        "model_not_loaded",
        "server",
        "HF_TASK",
    )


def test_the_text_of_a_load_fault_holds_file_names_in_place_of_paths():
    for given, expected in [
        ("no file model.safetensors in /opt/ml/model.", "no file model.safetensors in model."),
        ("see 'https://huggingface.co/a/b' or ../x/config.json\nmore", "see 'b' or config.json"),
        ("[Errno 2] '/opt/ml/model/config.json'", "[Errno 2] 'config.json'"),
        ("s3://bucket/key/ is gone", "a directory is gone"),
        ("and/or 1/2, onnx/model.onnx", "and/or 1/2, onnx/model.onnx"),
        ("", ""),
    ]:
        assert without_paths(given) == expected


def test_the_hooks_import_neither_torch_nor_transformers():
    heavy = "{'torch', 'transformers', 'numpy', 'onnxruntime'}"
    code = f"import sys, inference; print(sorted({heavy} & set(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=INFERENCE, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"

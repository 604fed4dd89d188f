from __future__ import annotations

import contextlib
import json
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import safetensors.numpy

from local.sagemaker import SageMakerError

INFERENCE = Path(__file__).parents[3] / "inference"
OWN = """
import json, os
def transform_fn(model, data, content_type, accept, context):
    text = bytes(data).decode() if isinstance(data, (bytes, bytearray)) else data
    if text == "fail":
        raise RuntimeError(json.dumps({"code": "invalid_input", "fault": "client"}))
    return json.dumps({"labels": [p["label"] for p in model(json.loads(text)["inputs"])]})
"""


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
CONFIG = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "vocab_size": len(WORDS),
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 16,
    "id2label": {"0": "weak", "1": "strong"},
    "label2id": {"weak": 0, "strong": 1},
}
SIZES = {"word": len(WORDS), "position": 16, "token_type": 2}


def weights():
    """Every weight of that BERT, small and random."""
    layer = "bert.encoder.layer.0"
    square = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
    shapes = {
        **{f"bert.embeddings.{n}_embeddings.weight": (k, 8) for n, k in SIZES.items()},
        **{f"{name}.weight": (8, 8) for name in square},
        f"{layer}.attention.output.dense.weight": (8, 8),
        f"{layer}.intermediate.dense.weight": (16, 8),
        f"{layer}.output.dense.weight": (8, 16),
        "bert.pooler.dense.weight": (8, 8),
        "classifier.weight": (2, 8),
    }
    for norm in ("bert.embeddings", f"{layer}.attention.output", f"{layer}.output"):
        shapes[f"{norm}.LayerNorm.weight"] = shapes[f"{norm}.LayerNorm.bias"] = (8,)
    for name in [name for name in shapes if name.endswith((".weight",))]:
        if "embeddings" not in name and "LayerNorm" not in name:
            shapes[name.replace(".weight", ".bias")] = shapes[name][:1]
    drawn = np.random.default_rng(13)
    return {name: drawn.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture(scope="module")
def artifact():
    """A tiny random BERT with two labels, as the files of a model artifact."""
    return {
        "config.json": json.dumps(CONFIG),
        "vocab.txt": "\n".join(WORDS),
        "tokenizer_config.json": json.dumps(
            {"tokenizer_class": "BertTokenizer", "model_max_length": 16}
        ),
        "model.safetensors": safetensors.numpy.save(weights(), {"format": "pt"}),
    }


def test_the_real_toolkit_answers_as_in_the_image(lab, artifact):
    plain = lab.put("bert/plain.tar.gz", lab.archive(artifact))
    task = {"HF_TASK": "text-classification"}
    lab.config("bert-config", lab.model("bert", plain, task, EnableNetworkIsolation=True))
    own = lab.put("bert/own.tar.gz", lab.archive({**artifact, "code/inference.py": OWN}))
    lab.config("own-config", lab.model("own", own, task))

    assert lab.endpoint("bert", "bert-config")["EndpointStatus"] == "InService"
    (prediction,) = ask(lab, {"inputs": "a good film"})
    assert prediction["label"] in ("weak", "strong")
    every = ask(lab, {"inputs": "a bad film", "parameters": {"top_k": None}})
    assert sum(item["score"] for item in every) == pytest.approx(1)
    with pytest.raises(SageMakerError) as refused:
        lab.sagemaker.invoke("bert", b"plain words", {"Content-Type": "text/plain"})
    assert refused.value.extra["OriginalStatusCode"] == 400
    assert json.loads(refused.value.extra["OriginalMessage"])["code"] == 400

    lab.call("UpdateEndpoint", {"EndpointName": "bert", "EndpointConfigName": "own-config"})
    found = lab.wait("Endpoint", "bert", 90)
    assert found["EndpointConfigName"] == "own-config", found
    assert set(ask(lab, {"inputs": ["good", "bad"]})["labels"]) <= {"weak", "strong"}
    with pytest.raises(SageMakerError) as fault:
        lab.sagemaker.invoke("bert", b"fail", {"Content-Type": "application/x-text"})
    message = json.loads(fault.value.extra["OriginalMessage"])["message"]
    assert json.loads(message) == {"code": "invalid_input", "fault": "client"}


def ask(lab, request):
    headers = {"Content-Type": "application/json", "Accept": "application/json"}
    return json.loads(lab.sagemaker.invoke("bert", json.dumps(request).encode(), headers).body)


def test_a_process_killed_in_the_middle_of_a_request_costs_that_request_only(lab, artifact):
    handler = {
        f"code/{path.relative_to(INFERENCE)}": path.read_bytes() for path in INFERENCE.rglob("*.py")
    }
    data = lab.put("bert/handler.tar.gz", lab.archive({**artifact, **handler}))
    workers = {"HF_TASK": "text-classification", "SAGEMAKER_MODEL_SERVER_WORKERS": "2"}
    lab.config("pair-config", lab.model("pair", data, workers))
    before = {process.pid for process in serving_processes()}
    assert lab.endpoint("pair", "pair-config")["EndpointStatus"] == "InService"
    started = [process for process in serving_processes() if process.pid not in before]
    assert len(started) == min(2, psutil.cpu_count())

    light = b'{"id": 1, "inputs": "a good film"}\n{"id": 2}\n'
    good, bad = ask_lines(lab, light)
    assert (good["id"], good["prediction"][0]["label"] in ("weak", "strong")) == (1, True)
    assert (bad["id"], bad["error"]["line"]) == (2, 2)

    deaths = []
    # Some 400,000 texts take far longer than it takes to kill who reads them.
    heavy = threading.Thread(
        target=lambda: deaths.append(
            refusal(lab, b'{"inputs": [%s""]}' % (b'"a good film",' * 400_000))
        )
    )
    spent = {process.pid: cpu_seconds(process) for process in started}
    heavy.start()
    lab.eventually(lambda: any(cpu_seconds(p) > spent[p.pid] + 0.5 for p in started))
    busy = max(started, key=lambda process: cpu_seconds(process) - spent[process.pid])
    assert not deaths
    busy.kill()
    assert ask_lines(lab, light) == [good, bad]
    heavy.join()
    assert deaths[0].extra["OriginalStatusCode"] == 500
    assert "Worker died." in deaths[0].extra["OriginalMessage"]
    alive = lab.eventually(
        lambda: len(now := {p.pid for p in serving_processes()} - before) == len(started) and now,
        60,
    )
    assert busy.pid not in alive
    assert ask_lines(lab, light) == [good, bad]


def serving_processes():
    """Those that answer, without the ones that watch over them."""
    found = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if "local.serving" in " ".join(child.cmdline()) and not child.children():
                found.append(child)
    return found


def cpu_seconds(process):
    return sum(process.cpu_times()[:2])


def ask_lines(lab, body):
    headers = {"Content-Type": "application/jsonlines", "Accept": "application/jsonlines"}
    answer = lab.sagemaker.invoke("pair", body, headers).body.decode()
    return [json.loads(line) for line in answer.split("\n")]


def refusal(lab, body):
    with pytest.raises(SageMakerError) as refused:
        lab.sagemaker.invoke("pair", body, {"Content-Type": "application/json"})
    return refused.value

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors.numpy

from local.sagemaker import SageMakerError

INFERENCE = """
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
    own = lab.put("bert/own.tar.gz", lab.archive({**artifact, "code/inference.py": INFERENCE}))
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

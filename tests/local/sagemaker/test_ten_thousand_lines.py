"""A transform job of 10,000 lines with our handler, 50 of them bad in different ways."""

from __future__ import annotations

import json
import random
from pathlib import Path

from tests.inference import tiny

INFERENCE = Path(__file__).parents[3] / "inference"
LINES = 10_000
MEGABYTE = 1 << 20
BAD = {
    b"": "invalid_json",
    b"   ": "invalid_json",
    b"not json": "invalid_json",
    b'{"inputs": "cut off': "invalid_json",
    b'{"inputs": "a"} {"inputs": "b"}': "invalid_json",
    b'{"inputs": NaN}': "invalid_json",
    b'{"inputs": "\xff\xfe"}': "invalid_input",
    b"[" * 50_000: "invalid_json",
    b'"a bare string"': "invalid_input",
    b'["a", "list"]': "invalid_input",
    b"null": "invalid_input",
    b"17": "invalid_input",
    b"{}": "invalid_input",
    b'{"sentence": "another name"}': "invalid_input",
    b'{"inputs": null}': "invalid_input",
    b'{"inputs": 5}': "invalid_input",
    b'{"inputs": [1, 2]}': "invalid_input",
    b'{"inputs": {"a": {"b": 1}}}': "invalid_input",
    b'{"inputs": "\\ud800"}': "invalid_input",
    b'{"inputs": "a", "id": {"not": "scalar"}}': "invalid_input",
    b'{"inputs": "a", "parameters": 3}': "invalid_parameter",
    b'{"inputs": "a", "parameters": {"nope": 1}}': "invalid_parameter",
    b'{"inputs": "a", "parameters": {"top_k": 0}}': "invalid_parameter",
    b'{"inputs": "a", "parameters": {"top_k": true}}': "invalid_parameter",
    b'{"inputs": "a", "parameters": {"function_to_apply": "eval"}}': "invalid_parameter",
}


def test_every_line_is_answered_in_its_place(lab, tmp_path):
    bad = dict(zip(sorted(random.Random(7).sample(range(LINES), 50)), [*BAD, *BAD], strict=True))
    lines = [bad.get(number, good(number)) for number in range(LINES)]
    source = lab.put("batch/many/lines.jsonl", b"\n".join(lines) + b"\n")
    lab.model("handler", artifact(lab, tmp_path), {"HF_TASK": "text-classification"})
    lab.call(
        "CreateTransformJob",
        {
            "TransformJobName": "many",
            "ModelName": "handler",
            "BatchStrategy": "MultiRecord",
            "MaxPayloadInMB": 1,
            "TransformInput": {
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": source}},
                "ContentType": "application/jsonlines",
                "SplitType": "Line",
            },
            "TransformOutput": {
                "S3OutputPath": lab.uri("out/many"),
                "AssembleWith": "Line",
                "Accept": "application/jsonlines",
            },
            "TransformResources": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1},
        },
    )
    job = lab.wait("TransformJob", "many", 180)
    assert job["TransformJobStatus"] == "Completed", job
    text = lab.get(lab.uri("out/many/lines.jsonl.out")).decode()
    answers = [json.loads(line) for line in text.splitlines()]
    assert len(answers) == LINES
    assert sum(map(len, lines)) > 2 * MEGABYTE, "more than one request was meant"
    for number, answer in enumerate(answers):
        if number in bad:
            assert answer["error"]["code"] == BAD[bad[number]], (number, bad[number], answer)
        else:
            assert answer["id"] == number
            assert answer["prediction"][0]["label"] in ("red", "grün", "blue")
    assert sum("error" in answer for answer in answers) == 50


def good(number: int) -> bytes:
    words = tiny.WORDS.split()
    chosen = [words[(number * 7 + step) % len(words)] for step in range(1 + number % 23)]
    return json.dumps({"id": number, "inputs": " ".join(chosen), "note": "x" * 120}).encode()


def artifact(lab, folder: Path) -> str:
    tiny.classifier(folder / "model")
    files = {path.name: path.read_bytes() for path in (folder / "model").iterdir()}
    for path in INFERENCE.rglob("*.py"):
        files[f"code/{path.relative_to(INFERENCE)}"] = path.read_bytes()
    return lab.put("handler/model.tar.gz", lab.archive(files))

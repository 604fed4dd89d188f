"""`lectern report`: a version's figures, its gate, the comparison, and its model card."""

from __future__ import annotations

import json
import webbrowser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lectern.figures import interval
from tests.command_line.conftest import ARTIFACT_BUCKET, Lectern
from tests.command_line.registered import EVALUATION, register
from tests.functions.stand_ins import SageMaker

Aws = Callable[[str], Any]
CARD = "# tickets\n\n| größer | ✓ |\n"


@pytest.fixture
def registered(deployed: Aws, sagemaker: SageMaker) -> Aws:
    register(deployed, sagemaker, card=CARD)
    return deployed


def words(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_the_newest_version_is_shown_with_intervals_gate_and_comparison(
    lectern: Lectern, registered: Aws
) -> None:
    ended = lectern("report", "tickets")
    assert ended.code == 0
    assert "version 3 of tickets, PendingManualApproval: single-label, 240 rows" in ended.out
    assert "gate passed: accuracy 0.913 ≥ 0.9" in ended.out
    lines = words(ended.out)
    assert ["accuracy", "0.913", "0.881", "–", "0.940"] in lines
    assert ["ece", "0.042", "0.030", "–", "0.060"] in lines
    assert ["accuracy", "0.900", "0.913", "+0.013", "-0.004", "–", "+0.030"] in lines


def test_the_weakest_labels_come_first_and_are_few(lectern: Lectern, registered: Aws) -> None:
    lines = words(lectern("report", "tickets", "3").out)
    labels = [line for line in lines if line and line[0].startswith("label-")]
    assert [line[0] for line in labels] == [f"label-{i}" for i in (6, 5, 4, 3, 2)]
    assert labels[0] == ["label-6", "0.300", "0.800", "0.700", "46"]


def test_labels_that_the_rows_lack_are_no_weak_ones(lectern: Lectern, registered: Aws) -> None:
    nothing = {"precision": 0.0, "recall": 0.0, "f1": 0.0, "support": 0}
    absent = {f"absent-{i}": nothing | {"predicted": 0} for i in range(6)}
    never_right = {"never-right": nothing | {"predicted": 4}}
    registered("s3").put_object(
        Bucket=ARTIFACT_BUCKET,
        Key="runs/run3/evaluation/evaluation.json",
        Body=json.dumps(EVALUATION | {"per_class": absent | never_right | EVALUATION["per_class"]}),
    )
    shown = words(lectern("report", "tickets").out)
    found = [
        line[0] for line in shown if line and line[0].startswith(("absent", "never", "label-"))
    ]
    assert found == ["never-right", *(f"label-{i}" for i in (6, 5, 4, 3))]


def test_a_version_that_could_not_be_compared_says_why(lectern: Lectern, registered: Aws) -> None:
    evaluation = EVALUATION | {
        "comparison": {"version": "1", "skipped": "it has other classes"},
        "metrics": {"roc_auc": {"value": None, "confidence_interval": None}},
        "per_class": {"never": {"precision": None, "recall": None, "f1": None, "support": 0}},
        "gate": {"passed": 0, "message": "accuracy 0.913, asked is at least 0.95"},
    }
    registered("s3").put_object(
        Bucket=ARTIFACT_BUCKET,
        Key="runs/run3/evaluation/evaluation.json",
        Body=json.dumps(evaluation),
    )
    ended = lectern("report", "tickets")
    assert "not compared with version 1: it has other classes" in ended.out
    assert "gate refused: accuracy 0.913, asked is at least 0.95" in ended.out
    assert ["roc_auc", "–"] in words(ended.out)


def test_a_difference_that_rounds_to_nothing_has_no_minus() -> None:
    assert interval({"confidence_interval": [-0.0004, 0.035]}, signed=True) == "+0.000 – +0.035"


def test_json_is_the_evaluation_and_markdown_the_card(lectern: Lectern, registered: Aws) -> None:
    assert lectern("report", "tickets", "--json").json == EVALUATION
    assert lectern("report", "tickets", "--markdown").out == CARD


def test_the_card_is_saved_where_it_is_asked_for_and_nowhere_else(
    lectern: Lectern, registered: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert lectern("report", "tickets").code == 0
    assert not list(tmp_path.iterdir())
    ended = lectern("report", "tickets", "--output", "cards/here.html")
    assert "model card: cards/here.html" in ended.err
    assert (tmp_path / "cards" / "here.html").read_text().startswith("<!doctype html>")


def test_open_shows_the_card_in_the_browser(
    lectern: Lectern, registered: Aws, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(webbrowser, "open", lambda url: bool(opened.append(url)))
    ended = lectern("report", "tickets", "--open")
    assert opened == [(tmp_path / "tickets-3.html").as_uri()]
    assert "no browser was found here" in ended.err


@pytest.mark.parametrize(
    ("code", "told", "more"),
    [
        (2, "VERSION: tickets has no version 2, it has: 1, 3", ("2",)),
        (1, "version 1 of tickets has no evaluation", ("1",)),
        (1, "version 1 of tickets has no card", ("1", "--markdown")),
        (2, "give one of them", ("--markdown", "--json")),
        (2, "--output: a file, got the directory", ("--output", ".")),
    ],
)
def test_what_cannot_be_reported_is_one_line(
    lectern: Lectern, registered: Aws, code: int, told: str, more: tuple[str, ...]
) -> None:
    ended = lectern("report", "tickets", *more)
    assert (ended.code, ended.out) == (code, "")
    assert told in ended.err
    assert ended.err.count("\n") == 1


def test_a_pipeline_without_versions_says_how_to_get_one(
    lectern: Lectern, deployed: Aws, sagemaker: SageMaker
) -> None:
    sagemaker.operations["ListModelPackages"] = lambda _: {"ModelPackageSummaryList": []}
    ended = lectern("report", "tickets")
    assert ended.code == 1
    assert "tickets has no version yet: train one with `lectern train tickets" in ended.err


def test_a_report_that_is_gone_is_named(lectern: Lectern, registered: Aws) -> None:
    registered("s3").delete_object(
        Bucket=ARTIFACT_BUCKET, Key="runs/run3/evaluation/evaluation.json"
    )
    ended = lectern("report", "tickets")
    assert ended.code == 1
    assert f"s3://{ARTIFACT_BUCKET}/runs/run3/evaluation/evaluation.json is gone" in ended.err

"""How good the trained models are, beside TF-IDF with logistic regression on the same rows.

    .venv/bin/python -m benchmarks.quality [NAME ...]

Each data set goes through `lectern train` on a local AWS of its own, as its file lies: uploaded,
prepared, trained, evaluated on rows that training never saw. The words-only baseline is fitted on
the same training rows, with its strength and thresholds chosen on the same validation rows. Prints
the rows of docs/quality.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MultiLabelBinarizer

from benchmarks.road import empty_local_aws
from tests.road.walk import BIN, ROOT, Road

DATA = ROOT.parent / "shared" / "data"
RESAMPLES = 1000
STRENGTHS = (1, 3, 10, 30, 100)
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """One data set, the pipeline of the local stage that it goes through, and with what."""

    name: str
    pipeline: str
    data: str
    figures: tuple[str, ...]
    test: str | None = None
    columns: tuple[str, ...] = ()
    parameters: dict[str, str] = field(default_factory=dict)

    def words(self) -> list[str]:
        """What is typed after `lectern`."""
        given = ["--data", str(DATA / self.data)]
        given += [] if self.test is None else ["--test", str(DATA / self.test)]
        given += self.columns
        for name, value in self.parameters.items():
            given += ["--set", f"{name}={value}"]
        return ["train", self.pipeline, *given, "--gate", "0", "--local", "--json"]


RUNS = (
    Run(
        "movie_polarity",
        "reviews",
        "movie_polarity/data.csv",
        ("accuracy",),
        parameters={"Epochs": "2", "LearningRate": "1e-4", "MaxLength": "64"},
    ),
    Run(
        "helpful_sentences",
        "reviews",
        "helpful_sentences/train.json",
        ("accuracy", "f1_binary"),
        test="helpful_sentences/test.json",
        columns=(
            *("--text-column", "sentence", "--label-column", "helpful"),
            *("--label-at-least", "1"),
        ),
        parameters={"Epochs": "2", "LearningRate": "1e-4", "MaxLength": "64"},
    ),
    Run(
        "banking77",
        "reviews",
        "banking77/train.csv",
        ("accuracy", "f1"),
        columns=("--text-column", "text", "--label-column", "category"),
        parameters={"Epochs": "3", "LearningRate": "3e-4", "MaxLength": "64", "BatchSize": "32"},
    ),
    Run(
        "sms_spam",
        "reviews",
        "sms_spam/data.csv",
        ("accuracy", "f1_binary"),
        parameters={
            "Epochs": "8",
            "LearningRate": "5e-5",
            "BatchSize": "8",
            "WarmupRatio": "0.1",
        },
    ),
    Run(
        "nlupp",
        "topics",
        "nlupp/banking.jsonl",
        ("f1_micro", "f1"),
        parameters={
            "Epochs": "25",
            "LearningRate": "4e-4",
            "LearningRateSchedule": "cosine",
            "ClassWeights": "balanced",
            "MaxLength": "64",
        },
    ),
    Run(
        "goemotions",
        "topics",
        "goemotions/train_multihot.csv",
        ("f1_micro", "f1"),
        columns=("--text-column", "text", "--label-column", "*"),
        parameters={
            "Epochs": "3",
            "LearningRate": "2e-4",
            "MaxLength": "64",
            "BatchSize": "32",
        },
    ),
    Run(
        "jigsaw_sample",
        "topics",
        "jigsaw_sample/toxic_comments.csv",
        ("f1_micro",),
        columns=("--text-column", "comment_text", "--label-column", "*"),
        parameters={"Epochs": "5", "LearningRate": "5e-4"},
    ),
)


def main(chosen: list[str]) -> None:
    print("| data set | figure | Lectern | TF-IDF + logistic regression | rows | training |")
    print("|---|---|---|---|---|---|", flush=True)
    with empty_local_aws() as road:
        road.lectern("deploy", "--local")
        for run in RUNS:
            if not chosen or run.name in chosen:
                for row in _rows(road, run):
                    print(row, flush=True)


def _rows(road: Road, run: Run) -> list[str]:
    started = time.monotonic()
    document = _train(road, run)
    seconds = time.monotonic() - started
    steps = _steps(road, document["execution"])
    train, validation, test = (
        _split(road, steps, name) for name in ("train", "validation", "test")
    )
    figures = _baseline(train, validation, test)
    sizes = f"{len(train):,} + {len(validation):,}, measured on {len(test):,}"
    trained = _training_seconds(road, steps)
    rows = []
    for figure in run.figures:
        ours = document["metrics"][figure]
        low, high = ours["confidence_interval"]
        shown = f"**{ours['value']:.3f}** ({low:.3f}–{high:.3f})"
        rows.append(
            f"| {run.name} | {figure} | {shown} | {figures(figure)} | {sizes} "
            f"| {trained:.0f} s of {seconds:.0f} s |"
        )
    return rows


def _train(road: Road, run: Run) -> dict[str, Any]:
    finished = subprocess.run(
        [str(BIN / "lectern"), *run.words()],
        cwd=ROOT,
        env=road.environment | {"COLUMNS": os.environ.get("COLUMNS", "120")},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    document: dict[str, Any] = json.loads(finished.stdout)
    if document["metrics"] is None:
        raise SystemExit(f"{run.name}: {document['failure']}")
    return document


def _steps(road: Road, execution: str) -> dict[str, dict[str, Any]]:
    answer = road.client("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=execution)
    return {step["StepName"]: step["Metadata"] for step in answer["PipelineExecutionSteps"]}


def _split(road: Road, steps: dict[str, dict[str, Any]], name: str) -> list[dict[str, Any]]:
    job = steps["Prepare"]["ProcessingJob"]["Arn"].rpartition("/")[2]
    described = road.client("sagemaker").describe_processing_job(ProcessingJobName=job)
    [uri] = [
        output["S3Output"]["S3Uri"]
        for output in described["ProcessingOutputConfig"]["Outputs"]
        if output["OutputName"] == name
    ]
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    written = road.client("s3").get_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/rows.jsonl")
    return [json.loads(line) for line in written["Body"].read().decode().splitlines()]


def _training_seconds(road: Road, steps: dict[str, dict[str, Any]]) -> float:
    job = steps["Train"]["TrainingJob"]["Arn"].rpartition("/")[2]
    described = road.client("sagemaker").describe_training_job(TrainingJobName=job)
    return float(described["TrainingTimeInSeconds"])


def _baseline(
    train: list[dict[str, Any]], validation: list[dict[str, Any]], test: list[dict[str, Any]]
) -> Callable[[str], str]:
    """Fit on train, choose strength and thresholds on validation; figures of the test rows."""
    several = "labels" in train[0]
    names = MultiLabelBinarizer().fit([_names(row) for row in [*train, *validation, *test]])
    true = {
        "train": _matrix(names, train),
        "validation": _matrix(names, validation),
        "test": _matrix(names, test),
    }
    best: tuple[float, Any, NDArray[np.float64]] | None = None
    for strength in STRENGTHS:
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            OneVsRestClassifier(LogisticRegression(C=strength, max_iter=1000))
            if several
            else LogisticRegression(C=strength, max_iter=1000),
        )
        model.fit(_texts(train), true["train"] if several else true["train"].argmax(axis=1))
        scores = _scores(model, validation, several, len(names.classes_))
        thresholds = _thresholds(scores, true["validation"]) if several else np.zeros(0)
        reached = f1_score(
            true["validation"],
            _decided(scores, thresholds),
            average="micro",
            zero_division=0,
        )
        if best is None or reached > best[0]:
            best = (reached, model, thresholds)
    assert best is not None
    _, model, thresholds = best
    predicted = _decided(_scores(model, test, several, len(names.classes_)), thresholds)
    return lambda figure: _interval(figure, true["test"], predicted)


def _names(row: dict[str, Any]) -> list[str]:
    return row["labels"] if "labels" in row else [row["label"]]


def _texts(rows: list[dict[str, Any]]) -> list[str]:
    return [f"{row['text']} {row.get('text_pair', '')}".strip() for row in rows]


def _matrix(names: MultiLabelBinarizer, rows: list[dict[str, Any]]) -> Labels:
    return np.asarray(names.transform([_names(row) for row in rows]))


def _scores(
    model: Any,  # noqa: ANN401 scikit-learn has no types
    rows: list[dict[str, Any]],
    several: bool,
    classes: int,
) -> NDArray[np.float64]:
    scores = np.zeros((len(rows), classes))
    found = model.predict_proba(_texts(rows))
    columns = range(classes) if several else model.classes_
    scores[:, list(columns)] = found
    return scores


def _thresholds(scores: NDArray[np.float64], true: Labels) -> NDArray[np.float64]:
    """The threshold of each label with the best F1 on validation rows."""
    grid = np.linspace(0.05, 0.95, 19)
    reached = np.stack(
        [f1_score(true, scores >= each, average=None, zero_division=0) for each in grid]
    )
    return grid[reached.argmax(axis=0)]


def _decided(scores: NDArray[np.float64], thresholds: NDArray[np.float64]) -> Labels:
    if len(thresholds):
        return (scores >= thresholds).astype(np.int64)
    decided = np.zeros(scores.shape, dtype=np.int64)
    decided[np.arange(len(scores)), scores.argmax(axis=1)] = 1
    return decided


def _interval(figure: str, true: Labels, predicted: Labels) -> str:
    random = np.random.default_rng(13)
    drawn = [
        _figure(figure, true[rows], predicted[rows])
        for rows in random.integers(len(true), size=(RESAMPLES, len(true)))
    ]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return f"{_figure(figure, true, predicted):.3f} ({low:.3f}–{high:.3f})"


def _figure(figure: str, true: Labels, predicted: Labels) -> float:
    if figure == "accuracy":
        return float(accuracy_score(true, predicted))
    if figure == "f1_binary":
        return float(f1_score(true[:, -1], predicted[:, -1], zero_division=0))
    average = {"f1": "macro", "f1_micro": "micro"}[figure]
    return float(f1_score(true, predicted, average=average, zero_division=0))


if __name__ == "__main__":
    if not Path(DATA).is_dir():
        sys.exit(f"the data sets are not at {DATA}: see docs/quality.md for where they come from")
    main(sys.argv[1:])

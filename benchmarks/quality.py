"""How good the trained models are, beside TF-IDF with logistic regression on the same rows.

    .venv/bin/python -m benchmarks.quality [NAME ...]

Each data set goes through `lectern train` on a local AWS of its own, as its file lies: uploaded,
prepared, trained, evaluated on rows that training never saw. The words-only baseline is fitted on
the same training rows, with its strength and thresholds chosen on the same validation rows. Prints
the rows of docs/quality.md.

A data set with `folds` is cut into so many parts. Each is measured by a run that was given the
others, and the figures are those of all parts together: of every row of the file.
"""

from __future__ import annotations

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field, replace
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
SEED = 13
Labels = NDArray[np.int64]
Decided = tuple[Labels, Labels]
"""What is true of rows and what was predicted: a row and a column a label each."""


@dataclass(frozen=True)
class Run:
    """One data set, the pipeline of the local stage that it goes through, and with what.

    `folds` is for headerless rows of a label and a text.
    """

    name: str
    pipeline: str
    data: str
    figures: tuple[str, ...]
    test: str | None = None
    folds: int = 1
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
        folds=5,
        parameters={
            "Epochs": "4",
            "LearningRate": "2e-4",
            "LearningRateSchedule": "cosine",
            "ClassWeights": "balanced",
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


@dataclass(frozen=True)
class Measured:
    """What one run came to, and the words-only baseline beside it."""

    evaluation: dict[str, Any]
    baseline: Decided
    rows: tuple[int, int, int]
    seconds_of_training: float
    seconds: float


def _rows(road: Road, run: Run) -> list[str]:
    with tempfile.TemporaryDirectory() as folder:
        parts = [run] if run.folds == 1 else _parts(run, Path(folder))
        measured = [_measured(road, part) for part in parts]
    train, validation, _ = measured[0].rows
    tested = sum(each.rows[2] for each in measured)
    sizes = f"{train:,} + {validation:,}, measured on {tested:,}"
    if run.folds > 1:
        sizes += f" in {run.folds} folds"
    seconds_of_training = sum(each.seconds_of_training for each in measured)
    seconds = sum(each.seconds for each in measured)
    baseline = _together([each.baseline for each in measured])
    rows = []
    for figure in run.figures:
        if run.folds == 1:
            ours = measured[0].evaluation["metrics"][figure]
            low, high = ours["confidence_interval"]
            value, _, interval = f"{ours['value']:.3f} ({low:.3f}–{high:.3f})".partition(" ")
        else:
            decided = _together([_confused(each.evaluation) for each in measured])
            value, _, interval = _interval(figure, *decided).partition(" ")
        rows.append(
            f"| {run.name} | {figure} | **{value}** {interval} | {_interval(figure, *baseline)} "
            f"| {sizes} | {seconds_of_training:.0f} s of {seconds:.0f} s |"
        )
    return rows


def _parts(run: Run, folder: Path) -> list[Run]:
    """A run for each fold, with a file of its rows to test on and one of all the others.

    The rows of a text are dropped but the first, as Prepare does. Every fold has its share of each
    label.
    """
    with (DATA / run.data).open(newline="", encoding="utf-8") as file:
        labels = {text: label for label, text in reversed(list(csv.reader(file)))}
    texts = sorted(labels)
    random.Random(SEED).shuffle(texts)
    texts.sort(key=labels.__getitem__)
    parts = []
    for fold in range(run.folds):
        names = {"train": folder / f"train-{fold}.csv", "test": folder / f"test-{fold}.csv"}
        tested = texts[fold :: run.folds]
        for name, chosen in (("train", set(texts) - set(tested)), ("test", set(tested))):
            with names[name].open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows((labels[text], text) for text in texts if text in chosen)
        parts.append(replace(run, data=str(names["train"]), test=str(names["test"])))
    return parts


def _measured(road: Road, run: Run) -> Measured:
    started = time.monotonic()
    execution = _train(road, run)
    seconds = time.monotonic() - started
    steps = _steps(road, execution)
    train, validation, test = (
        _lines(_output(road, steps, "Prepare", name, "rows.jsonl"))
        for name in ("train", "validation", "test")
    )
    return Measured(
        evaluation=json.loads(_output(road, steps, "Evaluate", "evaluation", "evaluation.json")),
        baseline=_baseline(train, validation, test),
        rows=(len(train), len(validation), len(test)),
        seconds_of_training=_training_seconds(road, steps),
        seconds=seconds,
    )


def _confused(evaluation: dict[str, Any]) -> Decided:
    """The rows that a confusion matrix counts."""
    counts = np.array(evaluation["confusion_matrix"]["true_by_predicted"])
    ones = np.eye(len(counts), dtype=np.int64)
    true, predicted = np.indices(counts.shape)
    return (
        ones[np.repeat(true.ravel(), counts.ravel())],
        ones[np.repeat(predicted.ravel(), counts.ravel())],
    )


def _together(decided: list[Decided]) -> Decided:
    true, predicted = zip(*decided, strict=True)
    return np.concatenate(true), np.concatenate(predicted)


def _train(road: Road, run: Run) -> str:
    """The execution, once it was evaluated."""
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
    return str(document["execution"])


def _steps(road: Road, execution: str) -> dict[str, dict[str, Any]]:
    answer = road.client("sagemaker").list_pipeline_execution_steps(PipelineExecutionArn=execution)
    return {step["StepName"]: step["Metadata"] for step in answer["PipelineExecutionSteps"]}


def _output(road: Road, steps: dict[str, dict[str, Any]], step: str, output: str, file: str) -> str:
    job = steps[step]["ProcessingJob"]["Arn"].rpartition("/")[2]
    described = road.client("sagemaker").describe_processing_job(ProcessingJobName=job)
    [uri] = [
        each["S3Output"]["S3Uri"]
        for each in described["ProcessingOutputConfig"]["Outputs"]
        if each["OutputName"] == output
    ]
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    written = road.client("s3").get_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/{file}")
    return str(written["Body"].read().decode())


def _lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def _training_seconds(road: Road, steps: dict[str, dict[str, Any]]) -> float:
    job = steps["Train"]["TrainingJob"]["Arn"].rpartition("/")[2]
    described = road.client("sagemaker").describe_training_job(TrainingJobName=job)
    return float(described["TrainingTimeInSeconds"])


def _baseline(
    train: list[dict[str, Any]], validation: list[dict[str, Any]], test: list[dict[str, Any]]
) -> Decided:
    """Fit on train, choose strength and thresholds on validation; what it says of the test rows."""
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
    return true["test"], predicted


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
    random_rows = np.random.default_rng(SEED)
    drawn = [
        _figure(figure, true[rows], predicted[rows])
        for rows in random_rows.integers(len(true), size=(RESAMPLES, len(true)))
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

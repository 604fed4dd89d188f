"""How good the trained models are, beside TF-IDF with logistic regression on the same rows.

    .venv/bin/python -m benchmarks.quality [NAME ...]

Each data set goes through `lectern train` on a local AWS of its own, as its file lies: uploaded,
prepared, trained, evaluated on rows that training never saw. The words-only baseline is fitted on
the same training rows, with its strength and thresholds chosen on the same validation rows. Prints
the rows of docs/quality.md.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
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
Labels = NDArray[np.int64]
# Of test rows: what is true, and what was decided.
Outcome = tuple[Labels, Labels]


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
    folds: int = 1
    """More than one: every row is measured, by a model that was trained on the other folds."""

    def words(self) -> list[str]:
        """What is typed after `lectern`."""
        given = ["--data", str(DATA / self.data)]
        given += [] if self.test is None else ["--test", str(DATA / self.test)]
        given += self.columns
        for name, value in self.parameters.items():
            given += ["--set", f"{name}={value}"]
        return ["train", self.pipeline, *given, "--gate", "0", "--local", "--json"]


_SPAM: dict[str, Any] = {
    "pipeline": "reviews",
    "data": "sms_spam/data.csv",
    "figures": ("accuracy", "f1_binary"),
    "parameters": {
        "Epochs": "4",
        "LearningRate": "3e-4",
        "LearningRateSchedule": "cosine",
        "ClassWeights": "balanced",
    },
}
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
    Run("sms_spam", **_SPAM),
    Run("sms_spam, folds", **_SPAM, folds=5),
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
                for row in _rows(road, run) if run.folds == 1 else _rows_of_folds(road, run):
                    print(row, flush=True)


def _rows_of_folds(road: Road, run: Run) -> list[str]:
    started = time.monotonic()
    ours, words, trained = [], [], 0.0
    with tempfile.TemporaryDirectory() as folder:
        for data, test in _fold_files(run, Path(folder)):
            document = _train(road, replace(run, data=str(data), test=str(test)))
            steps = _steps(road, document["execution"])
            splits = [_split(road, steps, name) for name in ("train", "validation", "test")]
            words.append(_baseline(*splits))
            ours.append(_confused(_evaluation(road, steps)["confusion_matrix"]))
            trained += _training_seconds(road, steps)
            print(f"<!-- a fold: {_shown(run, ours[-1:], words[-1:])} -->", flush=True)
    seconds = time.monotonic() - started
    measured = sum(len(true) for true, _ in ours)
    return [
        f"| {run.name} | {figure} | {shown} | {run.folds} times {len(splits[0]):,} + "
        f"{len(splits[1]):,}, measured on {measured:,} | {trained:.0f} s of {seconds:.0f} s |"
        for figure, shown in _shown(run, ours, words).items()
    ]


def _shown(run: Run, ours: list[Outcome], words: list[Outcome]) -> dict[str, str]:
    """Both sides of each figure, over the rows of all given folds."""
    pooled = [tuple(map(np.concatenate, zip(*outcomes, strict=True))) for outcomes in (ours, words)]
    return {
        figure: "**{}** | {}".format(*(_interval(figure, *outcome) for outcome in pooled))
        for figure in run.figures
    }


def _fold_files(run: Run, folder: Path) -> Iterator[tuple[Path, Path]]:
    """A training and a test file for each fold of a headerless file, its exact copies dropped."""
    with (DATA / run.data).open(newline="", encoding="utf-8") as file:
        rows = list({text: (label, text) for label, text in csv.reader(file)}.values())
    np.random.default_rng(13).shuffle(rows)
    rows.sort(key=lambda row: row[0])
    for fold in range(run.folds):
        files = folder / f"{fold}-train.csv", folder / f"{fold}-test.csv"
        chosen = rows[fold :: run.folds]
        others = [row for row in rows if row not in chosen]
        for path, kept in zip(files, (others, chosen), strict=True):
            with path.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file).writerows(kept)
        yield files


def _evaluation(road: Road, steps: dict[str, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        _output(road, steps["Evaluate"], "evaluation", "evaluation.json")
    )
    return found


def _confused(matrix: dict[str, Any]) -> Outcome:
    """Rows that make this confusion matrix, one-hot."""
    counts = np.asarray(matrix["true_by_predicted"])
    classes = np.eye(len(counts), dtype=np.int64)
    true, predicted = np.indices(counts.shape).reshape(2, -1).repeat(counts.ravel(), axis=1)
    return classes[true], classes[predicted]


def _rows(road: Road, run: Run) -> list[str]:
    started = time.monotonic()
    document = _train(road, run)
    seconds = time.monotonic() - started
    steps = _steps(road, document["execution"])
    train, validation, test = (
        _split(road, steps, name) for name in ("train", "validation", "test")
    )
    true, predicted = _baseline(train, validation, test)
    sizes = f"{len(train):,} + {len(validation):,}, measured on {len(test):,}"
    trained = _training_seconds(road, steps)
    rows = []
    for figure in run.figures:
        ours = document["metrics"][figure]
        low, high = ours["confidence_interval"]
        shown = f"**{ours['value']:.3f}** ({low:.3f}–{high:.3f})"
        rows.append(
            f"| {run.name} | {figure} | {shown} | {_interval(figure, true, predicted)} | {sizes} "
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
    written = _output(road, steps["Prepare"], name, "rows.jsonl")
    return [json.loads(line) for line in written.splitlines()]


def _output(road: Road, step: dict[str, Any], name: str, file: str) -> str:
    """A file of one output of a processing step."""
    job = step["ProcessingJob"]["Arn"].rpartition("/")[2]
    described = road.client("sagemaker").describe_processing_job(ProcessingJobName=job)
    [uri] = [
        output["S3Output"]["S3Uri"]
        for output in described["ProcessingOutputConfig"]["Outputs"]
        if output["OutputName"] == name
    ]
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    written = road.client("s3").get_object(Bucket=bucket, Key=f"{prefix.rstrip('/')}/{file}")
    text: str = written["Body"].read().decode()
    return text


def _training_seconds(road: Road, steps: dict[str, dict[str, Any]]) -> float:
    job = steps["Train"]["TrainingJob"]["Arn"].rpartition("/")[2]
    described = road.client("sagemaker").describe_training_job(TrainingJobName=job)
    return float(described["TrainingTimeInSeconds"])


def _baseline(
    train: list[dict[str, Any]], validation: list[dict[str, Any]], test: list[dict[str, Any]]
) -> Outcome:
    """Fit on train, choose strength and thresholds on validation, decide the test rows."""
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
    scores = _scores(model, test, several, len(names.classes_))
    return true["test"], _decided(scores, thresholds)


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

"""What a model card says, from the evaluation and the artifact's own record; no markup yet."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from predictions import MULTI_LABEL, Text
from scored import Scored

LONGEST_TEXT = 300
MOST_CLASSES_IN_MAP = 40
MOST_PAIRS = 20
MOST_HISTOGRAMS = 12
HISTOGRAM_BINS = 20
TITLED_LABELS = 4
NAMES = {
    "accuracy": "Accuracy",
    "f1": "F1, macro",
    "precision": "Precision, macro",
    "recall": "Recall, macro",
    "f1_micro": "F1, micro",
    "precision_micro": "Precision, micro",
    "recall_micro": "Recall, micro",
    "f1_weighted": "F1, weighted",
    "precision_weighted": "Precision, weighted",
    "recall_weighted": "Recall, weighted",
    "f1_binary": "F1",
    "precision_binary": "Precision",
    "recall_binary": "Recall",
    "roc_auc": "ROC-AUC, macro",
    "average_precision": "Average precision, macro",
    "ece": "Calibration error (ECE)",
}
SINGLE_HEADLINES = ("accuracy", "f1", "precision", "recall", "f1_weighted")
MULTI_HEADLINES = ("f1_micro", "f1", "precision_micro", "recall_micro", "accuracy")
RANK_HEADLINES = ("roc_auc", "average_precision")

Row = Mapping[str, Any]
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Curve:
    """One line of a chart, over the steps of the training."""

    name: str
    points: Points


@dataclass(frozen=True)
class Histogram:
    """Shares of two groups of rows by probability, in bins of equal width from 0 to 1."""

    name: str
    groups: tuple[tuple[str, int, list[float]], ...]
    """Name, members and the share of them in each bin."""
    threshold: float | None = None


@dataclass(frozen=True)
class Mistake:
    """A row that the model is sure of, and wrong."""

    text: str
    true: str
    predicted: str
    about: str
    """The label that the probability is of."""
    probability: float


@dataclass(frozen=True)
class Card:
    """Everything that both forms of the card show."""

    title: str
    multi_label: bool
    evaluation: Mapping[str, Any]
    labels: tuple[str, ...]
    headlines: list[Row]
    figures: list[Row]
    classes: list[Row]
    losses: list[Curve]
    scores: list[Curve]
    kept_step: float | None
    """The last step of the epoch whose weights the model has; None where it is not known."""
    confusion: list[list[int]] | None
    """Rows are true classes, columns predicted ones; None where there are too many for a map."""
    pairs: list[Row]
    histograms: list[Histogram]
    left_out_histograms: int
    mistakes: list[Mistake]
    reads_pairs: bool
    base: Mapping[str, Any]
    continued_from: Mapping[str, Any] | None
    facts: list[tuple[str, str]]
    hyperparameters: list[tuple[str, str]]
    versions: list[tuple[str, str]]
    files: list[Row]
    data: list[tuple[str, str]]
    limits: list[str]


def describe(
    evaluation: Mapping[str, Any],
    scored: Scored,
    record: Mapping[str, Any],
    texts: Sequence[Text],
    *,
    examples: int,
) -> Card:
    """Gather the card. `record` is lectern.json, of which every member may be missing.

    `examples` says how many mistakes are shown with their texts; 0 keeps test texts out.
    """
    figures = _figures(evaluation, scored.labels)
    histograms = _histograms(scored)
    mapped = not scored.multi_label and len(scored.labels) <= MOST_CLASSES_IN_MAP
    losses, scores = _curves(record.get("history") or [], scored.multi_label)
    matrix = evaluation.get("confusion_matrix")
    return Card(
        title=_title(scored),
        multi_label=scored.multi_label,
        evaluation=evaluation,
        labels=scored.labels,
        headlines=_headlines(figures, scored),
        figures=figures,
        classes=_classes(evaluation["per_class"]),
        losses=losses,
        scores=scores,
        kept_step=_kept_step(record),
        confusion=matrix["true_by_predicted"] if mapped and matrix else None,
        pairs=[] if scored.multi_label or mapped else _pairs(scored),
        histograms=histograms[:MOST_HISTOGRAMS],
        left_out_histograms=max(0, len(histograms) - MOST_HISTOGRAMS),
        mistakes=_mistakes(scored, texts, examples),
        reads_pairs=bool(texts) and not isinstance(texts[0], str),
        base=_dict(record.get("base")),
        continued_from=_dict(record.get("continued_from")) or None,
        facts=_facts(evaluation, scored, record),
        hyperparameters=_pairs_of(record.get("hyperparameters")),
        versions=_versions(_dict(record.get("base")), record),
        files=[_dict(file) for file in _dict(record.get("data")).get("files") or []],
        data=_data(_dict(record.get("data"))),
        limits=_limits(evaluation, scored, record),
    )


def _title(scored: Scored) -> str:
    if len(scored.labels) <= TITLED_LABELS:
        return f"Text classifier: {', '.join(scored.labels)}"
    what = "labels" if scored.multi_label else "classes"
    return f"Text classifier of {len(scored.labels):,} {what}"


def _figures(evaluation: Mapping[str, Any], labels: Sequence[str]) -> list[Row]:
    comparison = evaluation["comparison"] or {}
    compared = comparison.get("metrics", {})
    return [
        {
            "metric": metric,
            "name": _name(metric, labels, evaluation["problem"]),
            **figure,
            "compared": compared.get(metric),
        }
        for metric, figure in evaluation["metrics"].items()
        # Of a single-label problem they are the accuracy.
        if not metric.endswith("_micro") or evaluation["problem"] == MULTI_LABEL
    ]


def _name(metric: str, labels: Sequence[str], problem: str) -> str:
    if metric.endswith("_binary"):
        return f"{NAMES[metric]} of {labels[-1]}"
    if metric == "accuracy" and problem == MULTI_LABEL:
        return "Accuracy, whole sets"
    return NAMES[metric]


def _headlines(figures: Sequence[Row], scored: Scored) -> list[Row]:
    binary = tuple(f["metric"] for f in figures if f["metric"].endswith("_binary"))
    first = MULTI_HEADLINES if scored.multi_label else SINGLE_HEADLINES
    wanted = (*(("accuracy", "f1", *binary) if binary else first), *RANK_HEADLINES)
    by_metric = {figure["metric"]: figure for figure in figures}
    return [by_metric[m] for m in wanted if by_metric[m]["confidence_interval"] is not None]


def _classes(per_class: Mapping[str, Row]) -> list[Row]:
    """Weakest first; what is never true and never predicted comes last."""
    rows = [{"label": label, **figures} for label, figures in per_class.items()]
    return sorted(rows, key=lambda row: (not row["support"] + row["predicted"], row["f1"]))


def _curves(history: Iterable[Any], multi_label: bool) -> tuple[list[Curve], list[Curve]]:
    losses: dict[str, Points] = {"loss": [], "eval_loss": []}
    scores: dict[str, Points] = {"eval_accuracy": [], "eval_f1": []}
    if multi_label:
        scores["eval_f1_micro"] = []
    for entry in history:
        if not isinstance(entry, Mapping) or not _finite(entry.get("step")):
            continue
        for name, points in (*losses.items(), *scores.items()):
            if _finite(entry.get(name)):
                points.append((float(entry["step"]), float(entry[name])))
    shown = {
        "loss": "training loss",
        "eval_loss": "validation loss",
        "eval_accuracy": "accuracy",
        "eval_f1": "F1, macro",
        "eval_f1_micro": "F1, micro",
    }
    first, second = (
        [Curve(shown[name], points) for name, points in kind.items() if points]
        for kind in (losses, scores)
    )
    return first, second


def _kept_step(record: Mapping[str, Any]) -> float | None:
    epoch = _dict(record.get("metrics")).get("epoch")
    for entry in record.get("history") or []:
        if isinstance(entry, Mapping) and "eval_loss" in entry and _finite(entry.get("step")):
            of_entry = entry.get("epoch")
            if _finite(epoch) and _finite(of_entry) and math.isclose(epoch, of_entry, abs_tol=1e-3):
                return float(entry["step"])
    return None


def _pairs(scored: Scored) -> list[Row]:
    """The most frequent confusions of two classes, with the share of the true class."""
    wrong = ~scored.right
    if not wrong.any():
        return []
    confused = np.stack([scored.true[wrong], scored.predicted[wrong]], axis=1)
    cells, times = np.unique(confused, axis=0, return_counts=True)
    support = np.bincount(scored.true, minlength=len(scored.labels))
    order = np.argsort(-times, kind="stable")[:MOST_PAIRS]
    return [
        {
            "true": scored.labels[cells[i][0]],
            "predicted": scored.labels[cells[i][1]],
            "rows": int(times[i]),
            "share": float(times[i] / support[cells[i][0]]),
        }
        for i in order
    ]


def _histograms(scored: Scored) -> list[Histogram]:
    if not scored.multi_label:
        top = scored.probabilities.max(axis=1)
        groups = (("right", top[scored.right]), ("wrong", top[~scored.right]))
        return [Histogram("Probability of the answer", _shares(groups))]
    support = scored.true.sum(axis=0)
    by_support = np.argsort(-support, kind="stable")
    return [
        Histogram(
            scored.labels[i],
            _shares(
                (
                    ("has the label", scored.probabilities[scored.true[:, i], i]),
                    ("has it not", scored.probabilities[~scored.true[:, i], i]),
                )
            ),
            threshold=float(scored.thresholds[i]),
        )
        for i in by_support
    ]


def _shares(
    groups: Iterable[tuple[str, np.ndarray]],
) -> tuple[tuple[str, int, list[float]], ...]:
    found = []
    for name, values in groups:
        counts, _ = np.histogram(values, bins=HISTOGRAM_BINS, range=(0, 1))
        found.append((name, len(values), (counts / max(1, len(values))).tolist()))
    return tuple(found)


def _mistakes(scored: Scored, texts: Sequence[Text], examples: int) -> list[Mistake]:
    """The wrong rows of the highest confidence.

    Single-label that is the probability of the wrong answer; multi-label, that of the label whose
    probability is farthest from what is true, among those that are wrongly given or left out.
    """
    if scored.multi_label:
        wrong = scored.predicted != scored.true
        off = np.where(wrong, np.abs(scored.probabilities - scored.true), -1.0)
        about = off.argmax(axis=1)
        confidence = off.max(axis=1)
    else:
        about = scored.predicted
        confidence = np.where(scored.right, -1.0, scored.probabilities.max(axis=1))
    order = [i for i in np.argsort(-confidence, kind="stable")[:examples] if confidence[i] >= 0]
    return [
        Mistake(
            text=_cut(texts[i]),
            true=_said(scored, scored.true[i]),
            predicted=_said(scored, scored.predicted[i]),
            about=scored.labels[about[i]],
            probability=float(scored.probabilities[i, about[i]]),
        )
        for i in order
    ]


def _said(scored: Scored, answer: Any) -> str:  # noqa: ANN401
    if not scored.multi_label:
        return scored.labels[answer]
    return ", ".join(scored.labels[i] for i in np.flatnonzero(answer)) or "no label"


def _cut(text: Text) -> str:
    whole = text if isinstance(text, str) else f"{text[0]} ⟶ {text[1]}"
    whole = " ".join(whole.split())
    return whole if len(whole) <= LONGEST_TEXT else whole[: LONGEST_TEXT - 1] + "…"


def _facts(evaluation: Mapping[str, Any], scored: Scored, record: Row) -> list[tuple[str, str]]:
    facts = [
        ("problem", evaluation["problem"]),
        ("labels" if scored.multi_label else "classes", f"{len(scored.labels):,}"),
        ("measured on", f"{evaluation['rows']:,} test rows"),
    ]
    base = _dict(record.get("base"))
    if base.get("id"):
        facts.append(("base model", str(base["id"])))
    if _finite(record.get("seconds")):
        facts.append(("training took", _duration(float(record["seconds"]))))
    cut = _dict(record.get("truncated"))
    if _finite(cut.get("share")):
        facts.append(("texts cut at the limit", f"{100 * float(cut['share']):.1f} %"))
    return facts


def _data(data: Row) -> list[tuple[str, str]]:
    facts = [
        (f"{split} rows", f"{rows:,}")
        for split, rows in _dict(data.get("rows")).items()
        if isinstance(rows, int)
    ]
    duplicates = data.get("duplicates")
    if isinstance(duplicates, int):
        facts.append(("duplicates dropped", f"{duplicates:,}"))
    if data.get("digest"):
        facts.append(("digest", str(data["digest"])))
    return facts


def _limits(evaluation: Mapping[str, Any], scored: Scored, record: Row) -> list[str]:
    longest = _dict(record.get("hyperparameters")).get("max_length")
    cut = (
        f"Texts of more than {longest} tokens are cut where it is trained, measured and served; a "
        "transformers pipeline cuts them with truncation=True only."
    )
    answer = (
        "It may give a text several labels or none; a label is given from its threshold on."
        if scored.multi_label
        else "It answers one of its classes for every text, also where none of them fits."
    )
    return [
        "Made to classify texts like those that it was trained on, with the labels listed here.",
        f"The figures are of {evaluation['rows']:,} rows that it was not trained on; of texts from "
        "another source, time or language they say nothing until it is measured on some.",
        answer,
        "The intervals cover the chance of the test rows, not that of another training run.",
        *([cut] if longest else []),
        "It repeats what is systematic in its labels and in its base model, mistakes and biases "
        "included: no decision about a person should rest on it alone.",
    ]


def _pairs_of(document: object) -> list[tuple[str, str]]:
    return [(str(name), _text(value)) for name, value in _dict(document).items()]


def _versions(base: Row, record: Row) -> list[tuple[str, str]]:
    """Of the base model, by its revision, and of the software."""
    revision = [("base model", str(base["revision"]))] if base.get("revision") else []
    return [*revision, *_pairs_of(record.get("versions"))]


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _duration(seconds: float) -> str:
    whole = round(seconds)
    hours, minutes = whole // 3600, whole % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {whole % 60} s" if minutes else f"{whole} s"


def _finite(value: object) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
    )


def _dict(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}

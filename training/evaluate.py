"""Measures a packed model on held-out rows: evaluation.json for the gate, and the model card."""

import argparse
import json
import os
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

import card
import card_html
import card_markdown
import comparison
from bootstrap import CONFIDENCE, exact, observed, resampled, rounded, spread
from gate import UNREADABLE_VERSION, GateError, Margin, Requirement, check_names, decide
from metrics import per_class
from predictions import ARTIFACT, MULTI_LABEL, SINGLE_LABEL, Classifier, Text, load, predict
from ranking import areas
from scored import Scored, calibration, counts_of, fewest_rows, measure, names, rank_each

# The matrix of a thousand classes would be a million lines of evaluation.json.
MOST_CLASSES_IN_MATRIX = 200
# What an archive, its files and its weights raise when they are not what they should be.
UNREADABLE = (OSError, ValueError, EOFError, tarfile.TarError, SafetensorError)
NO_VERSION = "none"
LONGEST_REASON = 200


class EvaluationError(ValueError):
    """The model cannot be measured on these rows."""


def main(argv: Sequence[str] | None = None) -> dict[str, Any]:
    """Write evaluation.json, card.html and card.md; return what evaluation.json holds."""
    args = _arguments(argv)
    before = _approved_artifact(args.approved, args.approved_version)
    model = _load(args.model)
    check_names(args.require, args.margin, names(model.problem, model.labels), model.problem)
    rows = _read_rows(args.test)
    texts, true = _texts(rows), _true(rows, model)
    print(f"{len(rows)} rows, {len(model.labels)} classes, {model.problem}", flush=True)
    candidate = _score(model, model, texts, true)
    approved, skipped = _approved(before, model, texts, true)
    evaluation = evaluate(
        candidate,
        approved,
        skipped=skipped,
        version=args.approved_version or NO_VERSION,
        resamples=args.resamples,
        seed=args.seed,
        requirements=args.require,
        margin=args.margin,
    )
    _write(args.output, evaluation, candidate, model, texts, args.examples)
    _print(evaluation)
    return evaluation


def evaluate(
    candidate: Scored,
    approved: Scored | None = None,
    *,
    skipped: str | None = None,
    version: str = NO_VERSION,
    resamples: int,
    seed: int,
    requirements: Sequence[Requirement] = (),
    margin: Margin | None = None,
) -> dict[str, Any]:
    """Everything that evaluation.json holds.

    `approved` is the approved version on the same rows with its classes in the same order;
    `skipped` says why there is none although a version is approved.
    """
    scored = [candidate] if approved is None else [candidate, approved]
    measures = [measure(each) for each in scored]
    values = [observed(each, candidate.rows) for each in measures]
    draws = resampled(measures, candidate.rows, resamples, seed)
    fewest = fewest_rows(candidate)
    metrics = {
        name: _metric(value, draws[0][name], *fewest[name]) for name, value in values[0].items()
    }
    compared: dict[str, Any] | None = None
    if skipped is not None:
        compared = {"version": version, "skipped": skipped}
    elif approved is not None:
        compared = comparison.compare(version, *values, draws)
    evaluation = {
        "metrics": metrics,
        "problem": candidate.problem,
        "rows": candidate.rows,
        "resamples": resamples,
        "confidence": CONFIDENCE,
        "seed": seed,
        "per_class": _per_class(candidate),
    }
    if not candidate.multi_label:
        evaluation["confusion_matrix"] = _confusion_matrix(candidate)
    return {
        **evaluation,
        "calibration": calibration(candidate),
        "comparison": compared,
        "gate": decide(requirements, margin, metrics, compared, candidate.rows),
    }


def _metric(value: float | None, draws: np.ndarray, rows: int, classes: int) -> dict[str, Any]:
    error, interval = (None, None) if value is None else spread(draws)
    if interval is not None and interval[0] == interval[1]:
        # Of rows that are all right each resample is too, however few they are.
        interval = exact(interval[0], rows, classes)
    return {"value": value, "standard_error": error, "confidence_interval": interval}


def _load(directory: Path) -> Classifier:
    if not (directory / ARTIFACT).is_file():
        raise EvaluationError(f"no {ARTIFACT} in {directory}: --model takes its directory")
    try:
        model = load(directory / ARTIFACT)
    except UNREADABLE as error:
        raise EvaluationError(f"--model: {ARTIFACT} holds no classifier: {error}") from error
    if model.problem not in (SINGLE_LABEL, MULTI_LABEL):
        raise EvaluationError(
            f"the model's problem is '{model.problem}', "
            f"only {SINGLE_LABEL} and {MULTI_LABEL} classifiers can be measured"
        )
    return model


def _read_rows(directory: Path) -> list[dict[str, Any]]:
    path = directory / "rows.jsonl"
    if not path.is_file():
        raise EvaluationError(f"no rows.jsonl in {directory}: --test takes its directory")
    with path.open(encoding="utf-8") as file:
        rows = [json.loads(line) for line in file if line.strip()]
    if not rows:
        raise EvaluationError(f"{path.name} in {path.parent} holds no rows")
    return rows


def _texts(rows: Sequence[dict[str, Any]]) -> list[Text]:
    if "text_pair" in rows[0]:
        return [(row["text"], row["text_pair"]) for row in rows]
    return [row["text"] for row in rows]


def _true(rows: Sequence[dict[str, Any]], model: Classifier) -> np.ndarray:
    """Class indices, or of a multi-label model booleans of shape (rows, labels)."""
    wanted = "labels" if model.problem == MULTI_LABEL else "label"
    if any(wanted not in row for row in rows):
        raise EvaluationError(
            f"the model is {model.problem}, so each row needs '{wanted}', "
            f"found {', '.join(sorted(rows[0]))}: evaluate it on rows prepared for its problem"
        )
    at = {label: i for i, label in enumerate(model.labels)}
    of_row = [row["labels"] if wanted == "labels" else [row["label"]] for row in rows]
    unknown = sorted({label for labels in of_row for label in labels} - at.keys())
    if unknown:
        raise EvaluationError(
            f"the model knows the classes {list(model.labels)}, the rows also hold {unknown}: "
            "evaluate it on rows of the data set that it was trained on"
        )
    if wanted == "label":
        return np.array([at[row["label"]] for row in rows])
    true = np.zeros((len(rows), len(at)), dtype=bool)
    for i, labels in enumerate(of_row):
        true[i, [at[label] for label in labels]] = True
    return true


def _score(model: Classifier, like: Classifier, texts: Sequence[Text], true: np.ndarray) -> Scored:
    """Predict rows, with the classes in the order of `like`."""
    order = comparison.columns(like, model)
    probabilities = predict(model.model, model.tokenizer, texts, model.problem)
    if not np.isfinite(probabilities).all():
        raise EvaluationError(
            "the model's scores are not numbers: its training diverged, lower learning_rate"
        )
    return Scored(like.problem, like.labels, true, probabilities[:, order], model.thresholds[order])


def _approved_artifact(directory: Path | None, version: str | None) -> Path | None:
    """The approved version's artifact, whatever its registration called it; None where none is."""
    if directory is None or version == NO_VERSION:
        return None
    found = sorted(directory.glob("*.tar.gz"))
    if len(found) != 1:
        raise EvaluationError(
            f"--approved: one *.tar.gz of version {version} is expected in {directory}, got "
            f"{', '.join(path.name for path in found) or 'none'}: register the version with its "
            "model artifact, or reject it"
        )
    return found[0]


def _approved(
    archive: Path | None, candidate: Classifier, texts: Sequence[Text], true: np.ndarray
) -> tuple[Scored | None, str | None]:
    """The approved version on the same rows, or why it is not comparable; neither where none is."""
    if archive is None:
        return None, None
    try:
        model = _load_whole(archive)
    # Whatever an artifact of others makes the libraries raise, it cannot be compared with.
    except Exception as error:  # noqa: BLE001
        return None, f"{UNREADABLE_VERSION}: {_in_one_line(error)}"
    reason = comparison.why_not(candidate, model)
    if reason is not None:
        return None, reason
    return _score(model, candidate, texts, true), None


def _load_whole(archive: Path) -> Classifier:
    model = load(archive)
    # Where there are no tokenizer files, transformers 5 makes a tokenizer up.
    if len(model.tokenizer) <= len(model.tokenizer.all_special_ids):
        raise ValueError("its tokenizer knows no words")
    return model


def _per_class(scored: Scored) -> dict[str, dict[str, Any]]:
    counts = counts_of(scored)
    figures = per_class(counts)
    once = np.ones((scored.rows, 1), dtype=np.float32)
    found: dict[str, dict[str, Any]] = {}
    for i, (label, ranking) in enumerate(zip(scored.labels, rank_each(scored), strict=True)):
        of_label: dict[str, Any] = {n: rounded(values[i]) for n, values in figures.items()}
        of_label["support"] = int(counts.support[i])
        of_label["predicted"] = int(counts.predicted[i])
        if scored.multi_label:
            of_label["threshold"] = rounded(scored.thresholds[i])
        roc_auc, precision = (None, None) if ranking is None else areas(ranking, once)
        of_label["roc_auc"] = None if roc_auc is None else rounded(roc_auc[0])
        of_label["average_precision"] = None if precision is None else rounded(precision[0])
        found[label] = of_label
    return found


def _confusion_matrix(scored: Scored) -> dict[str, Any] | None:
    if len(scored.labels) > MOST_CLASSES_IN_MATRIX:
        return None
    matrix = np.zeros((len(scored.labels), len(scored.labels)), dtype=int)
    np.add.at(matrix, (scored.true, scored.predicted), 1)
    return {"labels": list(scored.labels), "true_by_predicted": matrix.tolist()}


def _write(
    directory: Path,
    evaluation: dict[str, Any],
    scored: Scored,
    model: Classifier,
    texts: Sequence[Text],
    examples: int,
) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    document = json.dumps(evaluation, indent=2, ensure_ascii=False, allow_nan=False)
    (directory / "evaluation.json").write_text(document + "\n", encoding="utf-8")
    page = card.describe(evaluation, scored, model.record, texts, examples=examples)
    (directory / "card.html").write_text(card_html.render(page), encoding="utf-8")
    (directory / "card.md").write_text(card_markdown.render(page), encoding="utf-8")


def _print(evaluation: dict[str, Any]) -> None:
    for name, metric in evaluation["metrics"].items():
        if metric["value"] is None:
            print(f"{name} is not defined on these rows")
            continue
        # A figure that fewer than two resamples define has none.
        bounds = metric["confidence_interval"]
        shown = f" [{bounds[0]:.4f}, {bounds[1]:.4f}]" if bounds else ""
        print(f"{name} {metric['value']:.4f}{shown}")
        print(f"METRIC {name}={metric['value']:.6f}")
    gate = evaluation["gate"]
    print(f"gate {'passed' if gate['passed'] else 'failed'}: {gate['message']}", flush=True)


def _in_one_line(error: Exception) -> str:
    text = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(" :")
    return text if len(text) <= LONGEST_REASON else f"{text[: LONGEST_REASON - 1]}…"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="evaluate", description=__doc__, allow_abbrev=False)
    parser.add_argument("--model", type=Path, required=True, help=f"directory of {ARTIFACT}")
    parser.add_argument("--test", type=Path, required=True, help="directory of rows.jsonl")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--resamples", type=_resamples, default=1000)
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument(
        "--approved", type=Path, help="directory of the approved version's one *.tar.gz"
    )
    parser.add_argument(
        "--approved-version",
        metavar="VERSION",
        help=f"which version that is; {NO_VERSION} where none is approved",
    )
    parser.add_argument(
        "--require",
        action="append",
        default=[],
        metavar="METRIC:OF:AT_LEAST",
        help="what the gate asks; OF is value, or lower for the lower end of the interval",
    )
    parser.add_argument(
        "--margin", metavar="METRIC:MARGIN", help="by how much to exceed the approved version"
    )
    parser.add_argument(
        "--examples", type=_examples, default=20, help="mistakes in card.html; 0 keeps texts out"
    )
    args = parser.parse_args(argv)
    if (args.approved is None) != (args.approved_version is None):
        parser.error(
            "--approved and --approved-version go together: give the directory and the version "
            f"that lies in it, or {NO_VERSION}"
        )
    args.require = [Requirement.parse(text) for text in args.require]
    args.margin = None if args.margin is None else Margin.parse(args.margin)
    return args


def _resamples(text: str) -> int:
    return _at_least(2, text)


def _examples(text: str) -> int:
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    number = int(text)
    if number < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}, got {text}")
    return number


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    try:
        main()
    except (EvaluationError, GateError) as error:
        sys.exit(f"evaluate: {error}")

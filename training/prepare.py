"""Splits labelled texts into train, validation and test rows, the same way every time."""

import argparse
import hashlib
import json
import random
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from rows import Columns, DataError, Read, Reject, Row, read_directory

SPLITS = ("train", "validation", "test")


def main(argv: Sequence[str] | None = None) -> dict[str, object]:
    """Write rows.jsonl for each split, dataset.json, report.json and rejects.jsonl."""
    args = _parser().parse_args(argv)
    columns = Columns(args.text_column, args.label_column, args.label_at_least)
    found = read_directory(args.input, columns)
    # The rejects are written before anything can fail: they are what a person needs then.
    _write_lines(args.report / "rejects.jsonl", [_reject_line(r) for r in found.rejects])
    _refuse_too_many_rejects(found, args.max_rejected)
    rows, duplicates, conflicts = drop_duplicates(found.rows)
    labels = class_order({row.label for row in rows})
    _refuse_unsplittable(rows, labels)
    splits = split(rows, args.validation_fraction, args.test_fraction, args.seed)

    digest = hashlib.sha256()
    directories = {"train": args.train, "validation": args.validation, "test": args.test}
    for name, part in splits.items():
        lines = [{"text": row.text, "label": row.label} for row in part]
        digest.update(_write_lines(directories[name] / "rows.jsonl", lines))
    counts = {name: len(part) for name, part in splits.items()}
    of_class = {name: Counter(row.label for row in part) for name, part in splits.items()}
    dataset = {"labels": labels, "digest": f"sha256:{digest.hexdigest()}", "rows": counts}
    _write_json(args.train / "dataset.json", dataset)
    report: dict[str, object] = {
        **dataset,
        "files": found.files,
        "skipped_files": found.skipped_files,
        "read": len(found.rows) + len(found.rejects),
        "rejected": len(found.rejects),
        "duplicates": duplicates,
        "conflicting_duplicates": conflicts,
        "classes": {label: {name: of_class[name][label] for name in splits} for label in labels},
        "columns": asdict(columns),
        "seed": args.seed,
    }
    _write_json(args.report / "report.json", report)
    _summarise(report)
    return report


def drop_duplicates(rows: Iterable[Row]) -> tuple[list[Row], int, int]:
    """Keep the first row of each text; count the others, and those that contradict the first."""
    kept: dict[str, Row] = {}
    duplicates = conflicts = 0
    for row in rows:
        first = kept.setdefault(row.text, row)
        if first is not row:
            duplicates += 1
            conflicts += first.label != row.label
    return list(kept.values()), duplicates, conflicts


def class_order(labels: Iterable[str]) -> list[str]:
    """Labels that are all integers sort as numbers ("2" before "10"), others as text."""
    names = sorted(labels)
    try:
        return sorted(names, key=int)
    except ValueError:
        return names


def split(
    rows: Sequence[Row], validation_fraction: float, test_fraction: float, seed: int
) -> dict[str, list[Row]]:
    """Split each class by the same fractions; every class gets at least one row in every split."""
    by_label: dict[str, list[int]] = {}
    for index, row in enumerate(rows):
        by_label.setdefault(row.label, []).append(index)
    chosen: dict[str, set[int]] = {name: set() for name in SPLITS}
    for label, indices in by_label.items():
        order = list(indices)
        # Not a secret: the seed makes the split repeatable, and apart for each class.
        random.Random(f"{seed}:{label}").shuffle(order)  # noqa: S311
        tests = _share(len(order), test_fraction)
        validations = min(_share(len(order), validation_fraction), len(order) - tests - 1)
        chosen["test"].update(order[:tests])
        chosen["validation"].update(order[tests : tests + validations])
        chosen["train"].update(order[tests + validations :])
    return {name: [rows[i] for i in sorted(chosen[name])] for name in SPLITS}


def _share(count: int, fraction: float) -> int:
    return min(max(1, round(count * fraction)), count - 2)


def _refuse_too_many_rejects(found: Read, max_rejected: float) -> None:
    read = len(found.rows) + len(found.rejects)
    if read == 0:
        raise DataError(f"no rows in {', '.join(found.files)}")
    if len(found.rejects) > max_rejected * read:
        first = found.rejects[0]
        raise DataError(
            f"{len(found.rejects)} of {read} rows cannot be used, a share of {max_rejected:g} may "
            f"be: the first is {first.file} line {first.line}: {first.reason}; all are in "
            "rejects.jsonl; mend them, name the columns, or raise --max-rejected"
        )


def _refuse_unsplittable(rows: Sequence[Row], labels: Sequence[str]) -> None:
    if len(labels) < 2:
        raise DataError(
            f"only one class, '{labels[0]}', in {len(rows)} rows: "
            "a classifier needs at least two classes"
        )
    counts = Counter(row.label for row in rows)
    rare = [label for label in labels if counts[label] < len(SPLITS)]
    if rare:
        first = next(row for row in rows if row.label == rare[0])
        raise DataError(
            f"class '{rare[0]}' has {counts[rare[0]]} distinct texts ({first.file} line "
            f"{first.line}), train, validation and test need one each: add rows, drop the class, "
            f"or name the columns if this line is a header ({len(rare)} such classes in all)"
        )


def _reject_line(reject: Reject) -> dict[str, object]:
    return {"file": reject.file, "row": reject.line, "reason": reject.reason}


def _write_lines(path: Path, lines: Iterable[dict[str, object] | dict[str, str]]) -> bytes:
    content = "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


def _write_json(path: Path, document: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _summarise(report: dict[str, object]) -> None:
    print(
        f"{report['read']} rows read, {report['rejected']} rejected, "
        f"{report['duplicates']} duplicates dropped ({report['conflicting_duplicates']} with "
        f"another label); rows {report['rows']}; labels {report['labels']}"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prepare", description=__doc__, allow_abbrev=False)
    parser.add_argument("--input", type=Path, required=True)
    for name in (*SPLITS, "report"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument(
        "--text-column",
        default="auto",
        help="auto: 'text' where the first row holds 'text' and 'label', else the second of two",
    )
    parser.add_argument(
        "--label-column",
        default="auto",
        help="auto: 'label' where the first row holds 'text' and 'label', else the first of two",
    )
    parser.add_argument(
        "--label-at-least",
        type=_threshold,
        default=None,
        metavar="N|none",
        help="turn a numeric label into 1 where it is at least N, else 0",
    )
    parser.add_argument("--validation-fraction", type=_fraction, default=0.1)
    parser.add_argument("--test-fraction", type=_fraction, default=0.2)
    parser.add_argument("--max-rejected", type=float, default=0.05, metavar="SHARE")
    parser.add_argument("--seed", type=int, default=13)
    return parser


def _threshold(text: str) -> float | None:
    return None if text == "none" else float(text)


def _fraction(text: str) -> float:
    fraction = float(text)
    if not 0 < fraction < 0.5:
        raise argparse.ArgumentTypeError(f"must be above 0 and below 0.5, got {text}")
    return fraction


if __name__ == "__main__":
    try:
        main()
    except DataError as error:
        sys.exit(f"prepare: {error}")

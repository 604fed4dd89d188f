"""Splits labelled texts into train, validation and test rows, the same way every time."""

import argparse
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lengths import TokenCounter, describe, evenly
from rows import Columns, DataError, Row
from rows_delimited import DELIMITERS
from rows_files import ONE_HOT, SPLITS, DataFile, find_files, with_one_hot
from rows_ledger import Ledger
from splits import DROPPED, Dropped, class_order, count_labels, draw, drop_duplicates

PROBLEMS = ("single-label", "multi-label")
TOKENIZED_AT_ONCE = 512


@dataclass
class Rejects:
    """How many lines held no usable row, and the first of them in words."""

    count: int = 0
    first: str = ""


def main(argv: Sequence[str] | None = None) -> dict[str, object]:
    """Write rows.jsonl for each split, dataset.json, report.json and rejects.jsonl."""
    args = _parser().parse_args(argv)
    columns = _columns(args)
    tokens = TokenCounter(args.base) if args.base else None
    files, skipped = find_files(args.input)
    columns, left_out = with_one_hot(columns, files)
    _tell_one_hot(columns, left_out)
    ledger = Ledger()
    for directory in (args.train, args.report):
        directory.mkdir(parents=True, exist_ok=True)
    # Beside the rows to come, where there is room for as much again.
    with tempfile.TemporaryFile(dir=args.train) as scratch:
        rejects = _read(files, columns, ledger, scratch, args.report / "rejects.jsonl")
        _refuse_too_many_rejects(files, len(ledger), rejects, args.max_rejected)
        unique, dropped = drop_duplicates(ledger)
        given = {file.split for file in files}
        fractions = {"validation": args.validation_fraction, "test": args.test_fraction}
        drawn = {name: share for name, share in fractions.items() if name not in given}
        _refuse_unsplittable(ledger, unique, files, drawn, multi_label=columns.multi_label)
        splits = draw(ledger, unique, drawn, args.seed, multi_label=columns.multi_label)
        _refuse_empty(splits, given)
        labels, of_label = _in_class_order(ledger, splits)
        _refuse_other_than_two(labels, args.two_classes_for)
        looked_at = evenly(splits != DROPPED)
        directories = [args.train, args.validation, args.test]
        counts = _write_splits(scratch, directories, splits, tokens, looked_at)

    dataset: dict[str, object] = {
        "problem": args.problem,
        "labels": labels,
        "pairs": columns.pair is not None,
        "digest": _digest(directory / "rows.jsonl" for directory in directories),
        "rows": {name: int((splits == index).sum()) for index, name in enumerate(SPLITS)},
        "files": [_provenance(file) for file in files],
        "duplicates": sum(part.rows for part in dropped),
    }
    _write_json(args.train / "dataset.json", dataset)
    characters = ledger.characters()[splits != DROPPED]
    report: dict[str, object] = {
        **dataset,
        "skipped_files": skipped,
        "read": len(ledger) + rejects.count,
        "rejected": rejects.count,
        "conflicting_duplicates": sum(part.conflicting for part in dropped),
        "duplicates_by_split": [asdict(part) for part in dropped],
        "drawn": drawn,
        "classes": dict(zip(labels, of_label, strict=True)),
        "without_labels": _without_labels(ledger, splits),
        "missing_labels": _missing(labels, of_label),
        "unused_labels": sorted(set(columns.one_hot) - set(labels)),
        "lengths": {"characters": describe(characters)},
        "truncated": None,
        "columns": {**asdict(columns), "one_hot": list(columns.one_hot)},
        "seed": args.seed,
    }
    if counts:
        report.update(_token_figures(report["lengths"], np.array(counts), args.max_length))
    _write_json(args.report / "report.json", report)
    _summarise(report, dropped)
    return report


def _columns(args: argparse.Namespace) -> Columns:
    multi_label = args.problem == "multi-label"
    if (args.base is None) != (args.max_length is None):
        raise DataError("--base and --max-length count tokens together: give both or neither")
    if not multi_label and args.label_column == "*":
        raise DataError("--label-column '*' stands for one-hot columns: set problem: multi-label")
    if not multi_label and args.label_delimiter is not None:
        raise DataError(
            f"--label-delimiter '{args.label_delimiter}' parts the labels of a row: "
            "set problem: multi-label, or leave the delimiter at none"
        )
    one_hot = tuple(name.strip() for name in args.label_column.split(",")) if multi_label else ()
    one_hot = one_hot if len(one_hot) > 1 else ()
    if len(set(one_hot)) < len(one_hot) or "" in one_hot:
        raise DataError(f"--label-column '{args.label_column}': each name once, parted by commas")
    if (
        multi_label
        and args.label_at_least is not None
        and not (one_hot or args.label_column == "*")
    ):
        raise DataError(
            f"--label-at-least {args.label_at_least:g} needs one number a label: name several "
            "label columns, set problem: single-label, or leave it at none"
        )
    columns = Columns(
        text=args.text_column,
        label=args.label_column,
        label_at_least=args.label_at_least,
        pair=args.text_pair_column,
        multi_label=multi_label,
        label_delimiter=args.label_delimiter,
        one_hot=one_hot,
    )
    _refuse_a_column_twice(columns)
    return columns


def _refuse_a_column_twice(columns: Columns) -> None:
    fields = columns.fields(())
    labels = [("--label-column", name, "labels") for name in fields.labels]
    holds = {fields.text: "texts"}
    for option, name, what in [("--text-pair-column", fields.pair, "second texts"), *labels]:
        if name in holds:
            raise DataError(
                f"{option}: '{name}' is the column of the {holds[name]}: name that of the {what}"
            )
        if name is not None:
            holds[name] = what


def _tell_one_hot(columns: Columns, left_out: Sequence[str]) -> None:
    """Told before the rows are read: it explains why many are rejected."""
    if columns.label != "*":
        return
    print(f"label columns that * stands for: {_few(columns.one_hot)}")
    if left_out:
        print(f"  left out, less than {ONE_HOT:.0%} of the values are 0 or 1: {_few(left_out)}")


def _read(
    files: Sequence[DataFile], columns: Columns, ledger: Ledger, scratch: BinaryIO, rejects: Path
) -> Rejects:
    """Put the rows into the scratch file, as they will be written, and the rejects into theirs."""
    found = Rejects()
    # The rejects are written before anything can fail: they are what a person needs then.
    with rejects.open("wb") as rejected:
        for index, file in enumerate(files):
            split = SPLITS.index(file.split)
            for number, row in file.read(columns):
                if isinstance(row, Row):
                    ledger.add(row, split, index, number)
                    file.rows += 1
                    scratch.write(_line(_document(row, columns)))
                    continue
                found.count += 1
                found.first = found.first or f"{file.name} {file.unit} {number}: {row}"
                rejected.write(_line({"file": file.name, "row": number, "reason": row}))
    return found


def _document(row: Row, columns: Columns) -> dict[str, object]:
    pair = {} if row.pair is None else {"text_pair": row.pair}
    if columns.multi_label:
        return {"text": row.text, **pair, "labels": class_order(row.labels)}
    return {"text": row.text, **pair, "label": row.labels[0]}


def _write_splits(
    scratch: BinaryIO,
    directories: Sequence[Path],
    splits: np.ndarray,
    tokens: TokenCounter | None,
    looked_at: np.ndarray,
) -> list[int]:
    """Copy each row to its split's rows.jsonl; return the tokens of the rows looked at."""
    scratch.seek(0)
    counts: list[int] = []
    waiting: list[tuple[str, str | None]] = []
    for directory in directories:
        directory.mkdir(parents=True, exist_ok=True)
    places = [(directory / "rows.jsonl").open("wb") for directory in directories]
    try:
        for line, split, looked in zip(scratch, splits.tobytes(), looked_at.tobytes(), strict=True):
            if split == DROPPED:
                continue
            places[split].write(line)
            if tokens is None or not looked:
                continue
            row = json.loads(line)
            waiting.append((row["text"], row.get("text_pair")))
            if len(waiting) == TOKENIZED_AT_ONCE:
                counts += tokens.count(waiting)
                waiting.clear()
        if tokens is not None and waiting:
            counts += tokens.count(waiting)
    finally:
        for place in places:
            place.close()
    return counts


def _refuse_too_many_rejects(
    files: Sequence[DataFile], rows: int, rejects: Rejects, max_rejected: float
) -> None:
    read = rows + rejects.count
    if read == 0:
        raise DataError(
            f"no rows in {', '.join(file.name for file in files)}: give files that hold rows"
        )
    if rejects.count > max_rejected * read:
        raise DataError(
            f"{rejects.count} of {read} rows cannot be used, a share of {max_rejected:g} may "
            f"be: the first is {rejects.first}; all are in rejects.jsonl, with the report: mend "
            "them, name the columns, or raise --max-rejected (a pipeline's MaxRejected)"
        )
    for file in files:
        if file.split != "train" and not any(f.rows for f in files if f.split == file.split):
            raise DataError(
                f"no rows in {file.name}, the first file of the {file.split} split: mend it, or "
                "leave it away to have the split drawn from the training rows"
            )


def _refuse_unsplittable(
    ledger: Ledger,
    splits: np.ndarray,
    files: Sequence[DataFile],
    drawn: Iterable[str],
    *,
    multi_label: bool,
) -> None:
    counts = count_labels(ledger, splits)
    names = ledger.label_names
    train = counts[:, SPLITS.index("train")]
    _refuse_unlearnt(ledger, splits, files, counts)
    learnt = class_order(name for name, count in zip(names, train, strict=True) if count)
    rows = int((splits != DROPPED).sum())
    kind, several = ("label", "labels") if multi_label else ("class", "classes")
    if len(learnt) < 2:
        one = f"only one {kind}, '{learnt[0]}'," if learnt else f"no {kind}"
        raise DataError(
            f"{one} in {rows} rows of {', '.join(file.name for file in files)}: a classifier needs "
            f"at least two {several}: add rows of another, or set the label column to one that "
            "tells rows apart"
        )
    needing = [name for name in SPLITS if name == "train" or name in drawn]
    of_name = dict(zip(names, train.tolist(), strict=True))
    rare = [name for name in learnt if of_name[name] < len(needing)]
    if rare and not multi_label:
        place, hint = _first_place(ledger, splits, files, rare[0], "train")
        raise DataError(
            f"class '{rare[0]}' has {of_name[rare[0]]} distinct texts ({place}), "
            f"{' and '.join([', '.join(needing[:-1]), needing[-1]])} need one each: add rows or "
            f"drop the class{hint} ({len(rare)} such classes in all)"
        )


def _refuse_unlearnt(
    ledger: Ledger, splits: np.ndarray, files: Sequence[DataFile], counts: np.ndarray
) -> None:
    """Refuse a label that validation or test asks for and train has no row of."""
    unlearnt = {
        name
        for name, of_split in zip(ledger.label_names, counts.tolist(), strict=True)
        if any(of_split) and not of_split[SPLITS.index("train")]
    }
    for label in class_order(unlearnt)[:1]:
        at = counts[ledger.label_ids[label]]
        split = next(name for name, count in zip(SPLITS, at, strict=True) if count)
        place, hint = _first_place(ledger, splits, files, label, split)
        raise DataError(
            f"label '{label}' is in {split} ({place}), but train has no row of it: add some that "
            f"are not in {split} or take it out of {split}{hint} ({len(unlearnt)} such labels in "
            "all)"
        )


def _first_place(
    ledger: Ledger, splits: np.ndarray, files: Sequence[DataFile], label: str, split: str
) -> tuple[str, str]:
    """Where a label is first, and what to do if that line is a header."""
    labels, rows = ledger.labels()
    having = rows[labels == ledger.label_ids[label]]
    row = int(having[splits[having] == SPLITS.index(split)][0])
    index, number = ledger.place(row)
    file = files[index]
    is_first = number == 1 and file.path.suffix.lower() in DELIMITERS
    hint = ", or name the columns if this line is a header" if is_first else ""
    return f"{file.name} {file.unit} {number}", hint


def _refuse_empty(splits: np.ndarray, given: set[str]) -> None:
    for index, name in enumerate(SPLITS):
        if not (splits == index).any():
            how = "every one is also in another split" if name in given else "there are too few"
            raise DataError(f"no rows are left for {name}, {how}: add rows")


def _refuse_other_than_two(labels: Sequence[str], metrics: Sequence[str]) -> None:
    """Refuse rows of which the gate could not measure what it asks for."""
    if metrics and len(labels) != 2:
        others = " or ".join(metrics[0].replace("_binary", end) for end in ("", "_micro"))
        raise DataError(
            f"{metrics[0]} is a figure of two classes and asked for by the gate, but the rows have "
            f"{len(labels)} classes: ask for {others}, or give rows of two classes"
        )


def _in_class_order(ledger: Ledger, splits: np.ndarray) -> tuple[list[str], list[dict[str, int]]]:
    """The labels that rows have, and of each how many rows in each split."""
    counts = count_labels(ledger, splits)
    labels = class_order(name for name, id_ in ledger.label_ids.items() if counts[id_].any())
    of_label = [counts[ledger.label_ids[label]].tolist() for label in labels]
    return labels, [dict(zip(SPLITS, counted, strict=True)) for counted in of_label]


def _missing(labels: Sequence[str], counted: Sequence[dict[str, int]]) -> dict[str, list[str]]:
    """Labels that a split has no row of, so that no figure can be given for them there."""
    return {
        name: [label for label, of_split in zip(labels, counted, strict=True) if not of_split[name]]
        for name in SPLITS
    }


def _without_labels(ledger: Ledger, splits: np.ndarray) -> dict[str, int]:
    bare = np.ones(len(splits), dtype=bool)
    bare[ledger.labels()[1]] = False
    return {name: int((splits[bare] == index).sum()) for index, name in enumerate(SPLITS)}


def _token_figures(lengths: object, counts: np.ndarray, max_length: int) -> dict[str, object]:
    rows = int((counts > max_length).sum())
    return {
        "lengths": {**dict(lengths), "tokens": {**describe(counts), "looked_at": len(counts)}},  # type: ignore[call-overload]
        "truncated": {
            "max_length": max_length,
            "rows": rows,
            "share": round(rows / len(counts), 6),
            "looked_at": len(counts),
        },
    }


def _provenance(file: DataFile) -> dict[str, object]:
    return {
        "name": file.name,
        "sha256": file.digest.hexdigest(),
        "rows": file.rows,
        "split": file.split,
    }


def _digest(paths: Iterable[Path]) -> str:
    """Of the rows of all splits, one after another."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return f"sha256:{digest.hexdigest()}"


def _line(document: dict[str, object]) -> bytes:
    return json.dumps(document, ensure_ascii=True).encode() + b"\n"


def _write_json(path: Path, document: dict[str, object]) -> None:
    path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def _summarise(report: dict, dropped: Sequence[Dropped]) -> None:
    files = ", ".join(f"{file['name']} ({file['split']})" for file in report["files"][:6])
    more = len(report["files"]) - 6
    print(
        f"{report['read']} rows read from {files}{f' and {more} more' if more > 0 else ''}, "
        f"{report['rejected']} rejected{', see rejects.jsonl' if report['rejected'] else ''}"
    )
    print(
        f"{report['duplicates']} duplicates dropped ({report['conflicting_duplicates']} with "
        f"another label)"
    )
    for part in dropped:
        if part.dropped_from != part.kept_in:
            print(
                f"  {part.rows} texts of {part.dropped_from} are in {part.kept_in} and kept there"
            )
    rows = report["rows"]
    print(f"rows: {', '.join(f'{rows[name]} {name}' for name in SPLITS)}")
    print(f"{len(report['labels'])} labels: {_shown_labels(report['classes'])}")
    for name, labels in report["missing_labels"].items():
        if labels:
            print(f"  without a row in {name}: {_few(labels)}")
    if report["unused_labels"]:
        print(f"  left out, no row has them: {_few(report['unused_labels'])}")
    for unit, figures in report["lengths"].items():
        print(
            f"{unit}: median {figures['median']}, p95 {figures['p95']}, p99 {figures['p99']}, "
            f"longest {figures['max']}"
        )
    if cut := report["truncated"]:
        print(
            f"{cut['rows']} of {cut['looked_at']} rows ({cut['share']:.1%}) have more than "
            f"{cut['max_length']} tokens and will be cut"
        )


def _shown_labels(classes: dict[str, dict[str, int]]) -> str:
    """Every label with its rows, or of many the largest and smallest three."""
    sizes = {label: sum(counts.values()) for label, counts in classes.items()}
    if len(sizes) <= 6:
        return ", ".join(f"{label} ({size} rows)" for label, size in sizes.items())
    order = sorted(sizes, key=lambda label: -sizes[label])
    largest, smallest = (
        ", ".join(f"{label} ({sizes[label]})" for label in part) for part in (order[:3], order[-3:])
    )
    return f"most rows {largest}; fewest {smallest}"


def _few(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - 6} more" if len(labels) > 6 else ""
    return ", ".join(labels[:6]) + more


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="prepare", description=__doc__, allow_abbrev=False)
    parser.add_argument("--input", type=Path, required=True)
    for name in (*SPLITS, "report"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--problem", choices=PROBLEMS, default=PROBLEMS[0])
    parser.add_argument(
        "--text-column",
        default="auto",
        metavar="NAME|N",
        help="auto: 'text' where the first row holds 'text' and the label, else the second of two; "
        "digits: the position, from 0, in a file without a header",
    )
    parser.add_argument("--text-pair-column", type=_or_none, metavar="NAME|N|none")
    parser.add_argument(
        "--label-column",
        default="auto",
        metavar="NAME|N|NAME,NAME,…|*",
        help="auto: 'label' (multi-label: 'labels', else 'label') where the first row holds it "
        "and 'text', else the first of two; several names or *: one-hot columns",
    )
    parser.add_argument(
        "--label-delimiter",
        type=_or_none,
        metavar="D|none",
        help="what parts the labels within a text",
    )
    parser.add_argument(
        "--label-at-least",
        type=_threshold,
        default=None,
        metavar="N|none",
        help="turn a numeric label into 1 where it is at least N, else 0",
    )
    parser.add_argument("--base", type=Path, help="the encoder's directory, to count tokens")
    parser.add_argument("--max-length", type=_whole, metavar="N", help="tokens that training keeps")
    parser.add_argument("--validation-fraction", type=_fraction, default=0.1)
    parser.add_argument("--test-fraction", type=_fraction, default=0.2)
    parser.add_argument("--max-rejected", type=_share, default=0.05, metavar="SHARE")
    parser.add_argument("--seed", type=int, default=13)
    parser.add_argument(
        "--two-classes-for",
        action="append",
        default=[],
        metavar="METRIC",
        help="a figure that the gate asks for and that only two classes have",
    )
    return parser


def _or_none(text: str) -> str | None:
    return None if text == "none" else text


def _threshold(text: str) -> float | None:
    return None if text == "none" else float(text)


def _whole(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"must be from 0 to 1, got {text}")
    return share


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

"""Writes answers as CSV with a header: the number of the input, then the columns of the task."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

import tasks
from problems import Problem

INPUT = "input"


def write(document: Any, *, task: str, inputs: int) -> str:  # noqa: ANN401 - a model's answer
    """An answer to so many inputs, one row an object in it; raises a 502 for one of other shape."""
    written = io.StringIO(newline="")
    columns = [INPUT, *tasks.task(task).columns]
    rows = csv.DictWriter(written, columns, extrasaction="ignore")
    rows.writeheader()
    for number, answer in enumerate(_answers(document, inputs)):
        rows.writerows({INPUT: number, **row} for row in _rows(answer))
    return written.getvalue()


def row(text: str) -> str:
    """One text as a row of its own."""
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerow([text])
    return written.getvalue()


def _answers(document: Any, inputs: int) -> list[Any]:  # noqa: ANN401
    """The answer to each input: of one input alone, some tasks answer no list."""
    if inputs == 1:
        return [document]
    if not isinstance(document, list) or len(document) != inputs:
        raise _no_rows()
    return document


def _rows(answer: Any) -> Iterator[Mapping[str, Any]]:  # noqa: ANN401
    """Every object of an answer to one input; of several masks, it has a list for each."""
    for mask, found in enumerate(answer if _has_lists(answer) else [answer]):
        for each in found if isinstance(found, list) else [found]:
            if not isinstance(each, dict):
                raise _no_rows()
            yield from ({"mask": mask, **row} for row in _of_labels(each))


def _has_lists(answer: Any) -> bool:  # noqa: ANN401
    return isinstance(answer, list) and any(isinstance(each, list) for each in answer)


def _of_labels(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Zero-shot's two lists as a row a label; everything else is one row."""
    if "labels" not in found:
        return [found]
    pairs = zip(found["labels"], found["scores"], strict=True)
    return [{"label": label, "score": score} for label, score in pairs]


def _no_rows() -> Problem:
    return Problem("model-fault", "the model's answer is no table: ask for application/json")

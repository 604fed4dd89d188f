"""Table question answering: which cells answer a question, and what to make of them."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForTableQuestionAnswering,
    TableQuestionAnsweringPipeline,
    pipeline,
)

from engine.pretrained import load_pretrained, not_loaded, positions
from fault import Fault
from tasks.inputs import check_count
from tasks.parameters import check, true_or_false
from tasks.task import Answer, Question, Task
from tasks.texts import checked

MOST_TABLES = 100
MOST_QUERIES = 100
# All of it is tokenised in Python, cell by cell, though the model reads but its beginning.
MOST_CELLS = 10_000
MOST_CHARACTERS = 100_000
LONGEST_QUERY = 10_000
PARAMETERS = {
    # Questions that build on the answer to the one before.
    "sequential": true_or_false(),
}
FORMS = "an object with `query` and `table`, or a list of them"

Table = dict[str, list[str]]
# One answer, or one a query.
Answers = dict[str, Any] | list[dict[str, Any]]

logger = logging.getLogger("lectern")


@dataclass(frozen=True)
class Asked:
    """A query or several of one table."""

    query: str | list[str]
    table: Table


class TableQuestionAnswering:
    """The pipeline's answers; a table longer than the model reads loses its last rows."""

    warm_up: Mapping[str, Any] = {"inputs": {"query": "which", "table": {"warm": ["up"]}}}

    def __init__(self, pipe: TableQuestionAnsweringPipeline, limit: int | None) -> None:
        self._pipe = pipe
        self._limit = limit
        # Token types count segments, columns and rows, both from 1.
        _, columns, rows, *_ = pipe.model.config.type_vocab_sizes
        self._most_columns, self._most_rows = columns - 1, rows - 1

    def read(self, document: Mapping[str, Any]) -> Question:
        # Without `inputs`, the document is itself the object with the table.
        given = document.get("inputs", document if "table" in document else None)
        several = isinstance(given, list)
        if several:
            check_count(given, MOST_TABLES, "tables")
        asked = [
            self._asked(one, f"inputs[{i}]" if several else "inputs")
            for i, one in enumerate(given if several else [given])
        ]
        return Question(asked, check(document.get("parameters"), PARAMETERS))

    def answer(self, questions: Sequence[Question]) -> list[Answer | Fault]:
        return [self._answered(question) for question in questions]

    def _answered(self, question: Question) -> Answer | Fault:
        values, cut = [], 0
        for asked in question.inputs:
            answer = self._one(asked, question.parameters.get("sequential", False))
            if isinstance(answer, Fault):
                return answer
            values.append(answer.value)
            cut += answer.cut
        return Answer(values[0] if len(values) == 1 else values, cut)

    @torch.inference_mode()
    def _one(self, asked: Asked, sequential: bool) -> Answer | Fault:
        import pandas as pd

        table = pd.DataFrame(asked.table).head(self._most_rows)
        inputs = self._pipe.preprocess({"table": table, "query": asked.query})
        length = inputs["input_ids"].shape[-1]
        if self._limit is not None and length > self._limit:
            # The tokenizer has dropped all rows, and not even the header fits.
            return Fault(
                "too_long",
                f"the query and the names of the columns have {length} tokens, the model reads "
                f"{self._limit}: shorten them",
                field="inputs",
            )
        read = int(inputs["token_type_ids"][..., 2].max())
        try:
            outputs = self._pipe.forward(inputs, sequential=sequential)
            if not all(torch.isfinite(scores).all() for scores in outputs["outputs"][:2]):
                return Fault("model_output", "the model's scores are not finite", fault="server")
            answers = self._pipe.postprocess(outputs)
        except (RuntimeError, ValueError, IndexError) as error:
            logger.warning("a table cannot be answered: %s", error)
            return Fault("model_output", "the model cannot compute this input", fault="server")
        rows = len(next(iter(asked.table.values())))
        return Answer(_plain(answers), cut=int(read < rows))

    def _asked(self, given: object, field: str) -> Asked:
        if not isinstance(given, dict) or "query" not in given or "table" not in given:
            raise Fault("invalid_input", f"{field} must be {FORMS}", field=field)
        query = given["query"]
        if isinstance(query, list):
            check_count(query, MOST_QUERIES, "queries")
        for one in query if isinstance(query, list) and query else [query]:
            if not checked(one, f"{field}.query"):
                raise Fault("invalid_input", f"{field}.query is empty", field=f"{field}.query")
            if len(one) > LONGEST_QUERY:
                raise Fault(
                    "too_long",
                    f"{field}.query has {len(one)} characters, at most {LONGEST_QUERY} are read",
                    field=f"{field}.query",
                )
        return Asked(query, self._table(given["table"], f"{field}.table"))

    def _table(self, given: object, field: str) -> Table:
        if not isinstance(given, dict) or not all(isinstance(c, list) for c in given.values()):
            raise Fault(
                "invalid_input",
                f"{field} must be an object: a list of cells, which are texts, for each column",
                field=field,
            )
        heights = {len(cells) for cells in given.values()}
        if len(heights) != 1 or 0 in heights:
            raise Fault(
                "invalid_input",
                f"{field} must have columns of one length, with a cell or more in each",
                field=field,
            )
        cells = len(given) * heights.pop()
        if len(given) > self._most_columns or cells > MOST_CELLS:
            raise Fault(
                "too_long",
                f"{field} has {len(given)} columns and {cells} cells, at most "
                f"{self._most_columns} and {MOST_CELLS} are read: send a part of it",
                field=field,
            )
        characters = 0
        for name, column in given.items():
            characters += len(checked(name, field))
            for i, cell in enumerate(column):
                characters += len(checked(cell, f"{field}.{name[:40]}[{i}]"))
        if characters > MOST_CHARACTERS:
            raise Fault(
                "too_long",
                f"{field} has {characters} characters, at most {MOST_CHARACTERS} are read: send a "
                "part of it",
                field=field,
            )
        return given


def load(model_dir: Path, device: str) -> Task:
    try:
        import pandas  # noqa: F401
    except ImportError as error:
        raise not_loaded(
            "table-question-answering needs pandas: add it to code/requirements.txt"
        ) from error
    model, tokenizer = load_pretrained(model_dir, AutoModelForTableQuestionAnswering, device)
    pipe = pipeline("table-question-answering", model=model, tokenizer=tokenizer, device=device)
    return TableQuestionAnswering(pipe, positions(model, tokenizer))


def _plain(answers: Answers) -> Answers:
    """The same as JSON has it: coordinates as numbers of Python, in lists."""
    if isinstance(answers, dict):
        return _plain([answers])[0]
    return [
        {**answer, "coordinates": [[int(i) for i in pair] for pair in answer["coordinates"]]}
        for answer in answers
    ]

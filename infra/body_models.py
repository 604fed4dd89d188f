"""What the gateway demands of a JSON body before any function runs: draft 4 of JSON Schema.

It knows the path's model only as a parameter, so it takes what any task of this deployment takes
and leaves the rest, and the naming of a field, to the function.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

from infra import tasks
from infra.lambda_bundle import FUNCTIONS

Schema: TypeAlias = dict[str, Any]

SCHEMAS = FUNCTIONS / "api" / "schemas"
DRAFT_4 = "http://json-schema.org/draft-04/schema#"


def prediction_model(of: Iterable[str]) -> Schema:
    """The body of a prediction for any of the tasks, in the toolkit's shape or JumpStart's."""
    forms: list[Schema] = []
    for name in sorted({tasks.canonical(task) for task in of}):
        task = read(name)
        for form in _forms(task):
            if form not in forms:
                forms.append(form)
    return {"$schema": DRAFT_4, "title": "Prediction", "type": "object", "anyOf": forms}


def hugging_face_model() -> Schema:
    """The body of a call of the Inference API: its parameters may stand anywhere."""
    return {
        "$schema": DRAFT_4,
        "title": "HuggingFace",
        "type": "object",
        "minProperties": 1,
        "properties": {"parameters": {"type": ["object", "null"]}},
    }


def read(name: str) -> Schema:
    """One file of the function's schemas."""
    found: Schema = json.loads(Path(SCHEMAS, f"{name}.json").read_text(encoding="utf-8"))
    return found


def _forms(task: Schema) -> list[Schema]:
    inputs = _without_words(task["inputs"])
    parameters = {"type": ["object", "null"]}
    forms = [
        {
            "required": ["inputs"],
            "properties": {"inputs": inputs, "parameters": parameters},
        }
    ]
    if "flat" in task:
        flat = [task["flat"], *task["required"]]
        forms.append({"required": flat, "properties": {task["flat"]: inputs}})
    return forms


def _without_words(schema: Any) -> Any:  # noqa: ANN401 - a value of JSON
    if isinstance(schema, dict):
        return {k: _without_words(v) for k, v in schema.items() if k != "description"}
    return [_without_words(each) for each in schema] if isinstance(schema, list) else schema

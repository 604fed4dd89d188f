"""What each task takes and answers, read from `schemas/`.

The gateway's model of bodies, the checks of this function and the OpenAPI document come from there.
The schemas keep to what draft 4 of JSON Schema, the gateway's, and 2020-12, OpenAPI's, both say.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

SCHEMAS = Path(__file__).parent / "schemas"
ALIASES = {"sentiment-analysis": "text-classification", "ner": "token-classification"}
TRANSLATION = re.compile(r"translation_[A-Za-z]+_to_[A-Za-z]+")
TEXT_CLASSIFICATION, ZERO_SHOT = "text-classification", "zero-shot-classification"
# Tasks whose answers are probabilities of classes.
CLASSIFICATIONS = {TEXT_CLASSIFICATION, ZERO_SHOT}


@dataclass(frozen=True)
class Task:
    """One task: the schemas of its inputs, of each parameter, and of its answers."""

    name: str
    summary: str
    inputs: Schema
    parameters: Mapping[str, Schema]
    required: tuple[str, ...]
    """The parameters that a request cannot do without."""
    flat: str | None
    """The name of the inputs in JumpStart's form, where the parameters stand beside them."""
    response: Schema
    verbose: Schema | None
    """The answers to `Accept: application/json;verbose`."""
    columns: tuple[str, ...]
    """What a row of an answer in CSV has beside the number of its input; none: no such answer."""
    examples: tuple[dict[str, Any], ...]

    @property
    def reads_texts(self) -> bool:
        """Whether a text alone, or a list of texts alone, is a whole request."""
        return {"type": "string"} in self.inputs["anyOf"] and not self.required

    @property
    def reads_pairs(self) -> bool:
        """Whether two texts may be one input."""
        return any("text_pair" in form.get("properties", {}) for form in self.inputs["anyOf"])

    @property
    def most_inputs(self) -> int:
        """How many inputs one request may have."""
        found: int = max(form.get("maxItems", 1) for form in self.inputs["anyOf"])
        return found

    @property
    def request(self) -> Schema:
        """The schema of a request's body."""
        parameters: Schema = {
            "type": ["object", "null"],
            "properties": dict(self.parameters),
            "additionalProperties": False,
        }
        needed = ["inputs"]
        if self.required:
            parameters = {**parameters, "type": "object", "required": list(self.required)}
            needed.append("parameters")
        return {
            "type": "object",
            "required": needed,
            "properties": {"inputs": self.inputs, "parameters": parameters},
            "additionalProperties": False,
        }

    @property
    def flat_request(self) -> Schema | None:
        """The schema of a request in JumpStart's form, for tasks that have it."""
        if self.flat is None:
            return None
        return {
            "type": "object",
            "required": [self.flat, *self.required],
            "properties": {self.flat: self.inputs, **self.parameters},
            "additionalProperties": False,
        }


def canonical(name: str) -> str:
    """The task that a name or an alias stands for: `translation_en_to_de` is a translation."""
    return "translation" if TRANSLATION.fullmatch(name) else ALIASES.get(name, name)


@cache
def task(name: str) -> Task:
    """The task of a name or an alias."""
    found = read(canonical(name))
    also = read(found["also"])["parameters"] if "also" in found else {}
    return Task(
        name=canonical(name),
        summary=found["summary"],
        inputs=found["inputs"],
        parameters={**also, **found["parameters"]},
        required=tuple(found.get("required", ())),
        flat=found.get("flat"),
        response=found["response"],
        verbose=found.get("verbose"),
        columns=tuple(found.get("columns", ())),
        examples=tuple(found["examples"]),
    )


def read(name: str) -> dict[str, Any]:
    """One file of the schemas."""
    found: dict[str, Any] = json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))
    return found

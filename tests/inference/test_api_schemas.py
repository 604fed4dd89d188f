"""The API's schemas take the parameters that the containers take, task by task."""

import json
from importlib import import_module
from pathlib import Path

import pytest

from tasks.registry import CLASSIFIERS, TRANSFORMERS

SCHEMAS = Path(__file__).parents[2] / "lambda" / "api" / "schemas"


def read(name):
    return json.loads((SCHEMAS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("task", "module"), {**CLASSIFIERS, **TRANSFORMERS}.items())
def test_the_api_knows_a_tasks_parameters_and_their_words(task, module):
    found = import_module(module)
    taken = dict(found.PARAMETERS)
    if task == "translation":
        taken |= found.LANGUAGES
    schema = read(task)
    known = schema["parameters"] | (read(schema["also"])["parameters"] if "also" in schema else {})
    assert {name: one["description"] for name, one in known.items()} == {
        name: kind.words for name, kind in taken.items()
    }

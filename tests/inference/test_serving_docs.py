"""docs/serving.md says what the code has: parameters with their bounds, faults, types."""

import re
from importlib import import_module
from pathlib import Path

import pytest

from tasks.registry import ALIASES, CLASSIFIERS, TRANSFORMERS
from wire.media import READ

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "serving.md").read_text()
GENERATING = {"summarization", "translation", "text2text-generation", "text-generation"}


def table(first_column):
    """The cells of the rows below a header that starts with this."""
    _, rows = PAGE.split(f"\n| {first_column} |", 1)
    lines = rows.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_every_parameter_is_documented_with_its_values_and_tasks():
    documented = {(name.strip("`"), words): tasks for name, words, tasks in table("parameter")}
    found = {}
    for task, module in {**CLASSIFIERS, **TRANSFORMERS}.items():
        for name, kind in import_module(module).PARAMETERS.items():
            found.setdefault((name, kind.words), []).append(task)
    for key, tasks in found.items():
        several = set(tasks) >= GENERATING
        rest = [task for task in tasks if not (several and task in GENERATING)]
        expected = {*rest, *(["what generates text"] if several else [])}
        assert set(documented.pop(key).split(", ")) == expected, key
    assert {name for name, _ in documented} == {"src_lang", "tgt_lang"}


def test_every_task_and_alias_is_documented():
    documented = {name for tasks, _ in table("task") for name in tasks.split(", ")}
    expected = {*CLASSIFIERS, *TRANSFORMERS, *ALIASES, "translation_xx_to_yy"}
    assert documented == expected


def test_every_code_of_a_fault_is_documented_with_whose_it_is():
    documented = {code.strip("`"): whose for code, whose, _, _ in table("code")}
    raised = {}
    for path in (ROOT / "inference").rglob("*.py"):
        for code, rest in re.findall(
            r'Fault\(\s*"(\w+)"((?:[^()]|\([^()]*\))*)\)', path.read_text()
        ):
            raised.setdefault(code, set()).add("server" if 'fault="server"' in rest else "client")
    assert {code: {whose} for code, whose in documented.items()} == raised


@pytest.mark.parametrize("content_type", READ)
def test_every_type_of_a_body_is_documented(content_type):
    assert f"`{content_type}`" in PAGE

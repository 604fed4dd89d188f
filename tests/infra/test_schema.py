"""The JSON Schema of stage files: current, referred to, and telling of each setting."""

from __future__ import annotations

import json

import pytest

from infra.settings import json_schema


def test_the_schema_in_the_repository_is_the_one_of_the_settings(project):
    kept = (project / "stages" / "schema.json").read_text(encoding="utf-8")
    assert kept == json_schema(), "run: python -m infra.settings --schema > stages/schema.json"


@pytest.mark.parametrize("stage", ["local", "dev", "prod"])
def test_each_stage_file_tells_editors_its_schema(project, stage):
    text = (project / "stages" / f"{stage}.yaml").read_text(encoding="utf-8")
    assert text.startswith("# yaml-language-server: $schema=schema.json\n")


def test_every_setting_is_described():
    schema = json.loads(json_schema())
    sections = [schema, *schema["$defs"].values()]
    undescribed = [
        f"{section['title']}.{name}"
        for section in sections
        for name, setting in section.get("properties", {}).items()
        if not setting.get("description")
    ]
    assert undescribed == []


def test_an_unknown_setting_is_an_error_in_the_editor_too():
    sections = json.loads(json_schema())["$defs"].values()
    assert all(section["additionalProperties"] is False for section in sections)

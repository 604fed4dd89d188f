"""The functions of a pipeline definition: Get, Std:Join and Std:JsonGet."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from local.sagemaker.errors import ValidationException
from local.sagemaker.store import Json
from local.sagemaker.transfer import join

FUNCTIONS = ("Get", "Std:Join", "Std:JsonGet")
EXECUTION_VARIABLES = (
    "PipelineExecutionId",
    "PipelineExecutionArn",
    "PipelineName",
    "PipelineArn",
    "StartDateTime",
    "CurrentDateTime",
    "TrainingJobName",
    "ProcessingJobName",
)
_SEGMENT = re.compile(r"\.?([A-Za-z0-9_\-]+)|\[(\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
_NAMING_MEMBERS = ("OutputName", "InputName", "ChannelName", "MetricName", "Name")


class ReferenceFailed(Exception):
    """A reference has no value in this execution."""


def function_of(value: Json) -> str | None:
    """The function that a value is a call of, None for plain data."""
    if isinstance(value, dict) and len(value) == 1:
        (name,) = value
        if name == "Get" or name.startswith("Std:"):
            return str(name)
    return None


def references(value: Json) -> Iterator[str]:
    """Every path that a Get inside the value names; refuses unknown functions."""
    name = function_of(value)
    if name is not None and name not in FUNCTIONS:
        raise ValidationException(
            f"function {name!r} is not implemented by the local SageMaker: use one of "
            f"{', '.join(FUNCTIONS)}"
        )
    if name == "Get":
        if not isinstance(value["Get"], str):
            raise ValidationException(f"Get needs a path as text, got {value['Get']!r}")
        yield value["Get"]
    elif name == "Std:JsonGet":
        call = value[name]
        if not isinstance(call, dict) or not {"PropertyFile", "Path"} <= set(call):
            raise ValidationException("Std:JsonGet needs PropertyFile and Path")
        yield from references(call["PropertyFile"])
    elif name == "Std:Join":
        call = value[name]
        if not isinstance(call, dict) or not {"On", "Values"} <= set(call):
            raise ValidationException("Std:Join needs On and Values")
        if not isinstance(call["Values"], list):
            raise ValidationException(f"Std:Join needs a list of Values, got {call['Values']!r}")
        yield from references(call["Values"])
    elif isinstance(value, dict):
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


@dataclass
class Values:
    """What references resolve to in one execution."""

    parameters: dict[str, Any]
    execution: dict[str, Any]
    read: Callable[[str], bytes]
    steps: dict[str, Any] = field(default_factory=dict)
    property_files: dict[str, dict[str, tuple[str, str]]] = field(default_factory=dict)

    def resolved(self, value: Json, extra: dict[str, str] | None = None) -> Json:
        """The value with every function replaced by what it gives."""
        name = function_of(value)
        if name == "Get":
            return self._get(value["Get"], extra or {})
        if name == "Std:Join":
            parts = self.resolved(value[name]["Values"], extra)
            return str(value[name]["On"]).join(text(part) for part in parts)
        if name == "Std:JsonGet":
            return self._json_get(value[name])
        if isinstance(value, dict):
            return {key: self.resolved(inner, extra) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.resolved(inner, extra) for inner in value]
        return value

    def _get(self, path: str, extra: dict[str, str]) -> Json:
        root, _, rest = path.partition(".")
        if root == "Parameters":
            return self.parameters[rest]
        if root == "Execution":
            found = {**self.execution, **extra}.get(rest)
            if found is None:
                raise ReferenceFailed(f"{path} has no value here")
            return found
        step, _, properties = rest.partition(".")
        if step not in self.steps:
            raise ReferenceFailed(f"{path}: step {step} did not run")
        return dig(self.steps[step], properties, path)

    def _json_get(self, call: dict[str, Any]) -> Json:
        _, step, _, name = str(call["PropertyFile"]["Get"]).split(".", 3)
        output, file = self.property_files[step][name]
        directory = self._get(
            f"Steps.{step}.ProcessingOutputConfig.Outputs['{output}'].S3Output.S3Uri", {}
        )
        uri = join(directory, file)
        try:
            document = json.loads(self.read(uri))
        except LookupError:
            raise ReferenceFailed(f"property file {name}: {uri} does not exist") from None
        except ValueError as error:
            raise ReferenceFailed(f"property file {name}: {uri} is not JSON: {error}") from None
        return dig(document, call["Path"], f"Std:JsonGet of {uri}")


def dig(value: Json, path: str, label: str) -> Json:
    """What lies at a path like `a.b[0]['c']`; lists are also searched by their items' names."""
    position = 0
    while position < len(path):
        match = _SEGMENT.match(path, position)
        if match is None:
            raise ReferenceFailed(f"{label}: cannot read the path {path!r}")
        position = match.end()
        index = match.group(2)
        name = next((group for group in match.group(1, 3, 4) if group is not None), None)
        if isinstance(value, list):
            found = (
                value[int(index) : int(index) + 1]
                if index is not None
                else [item for item in value if _is_named(item, name)]
            )
            if not found:
                raise ReferenceFailed(f"{label}: no item {index or name!r}")
            value = found[0]
        elif isinstance(value, dict) and (name or index) in value:
            value = value[name or index]
        else:
            raise ReferenceFailed(f"{label}: no member {name or index!r}")
    return value


def text(value: Json) -> str:
    """A value as Std:Join writes it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _is_named(item: Json, name: str | None) -> bool:
    return isinstance(item, dict) and any(item.get(member) == name for member in _NAMING_MEMBERS)

"""A pipeline definition, read and refused as a whole before anything runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from graphlib import CycleError, TopologicalSorter
from typing import Any

from local.sagemaker.errors import ValidationException
from local.sagemaker.pipelines import conditions
from local.sagemaker.pipelines.references import EXECUTION_VARIABLES, function_of, references
from local.sagemaker.store import Json

VERSION = "2020-12-01"
STEP_TYPES = ("Processing", "Training", "Tuning", "Lambda", "RegisterModel", "Condition", "Fail")
OUTPUT_TYPES = ("String", "Integer", "Boolean", "Float")
_CACHED = ("Processing", "Training", "Tuning")
_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?"
    r"(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?"
)
_UNIT_SECONDS = (365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3600, 60, 1)


@dataclass(frozen=True)
class Parameter:
    """One parameter and the values it takes."""

    name: str
    type: str
    default: Any
    allowed: tuple[Any, ...]

    def cast(self, given: Json) -> Json:
        """The value in the parameter's type; refuses what is not of it."""
        try:
            value = self._typed(given)
        except (ValueError, TypeError):
            raise ValidationException(
                f"parameter {self.name!r}: {given!r} is not of type {self.type}"
            ) from None
        if self.allowed and value not in self.allowed:
            raise ValidationException(
                f"parameter {self.name!r}: {given!r} is not one of {list(self.allowed)}"
            )
        return value

    def _typed(self, given: Json) -> Json:
        if self.type == "String":
            return given if isinstance(given, str) else str(given)
        if self.type == "Integer":
            return int(given)
        if self.type == "Float":
            return float(given)
        return {"true": True, "false": False}[str(given).lower()]


@dataclass(frozen=True)
class Step:
    """One step, and the condition branch it lies in."""

    name: str
    type: str
    arguments: dict[str, Any]
    needs: frozenset[str]
    cache_expiry: timedelta | None
    property_files: dict[str, tuple[str, str]]
    display_name: str | None
    description: str | None
    function: Json = None
    outputs: dict[str, str] = field(default_factory=dict)
    within: str | None = None
    branch: bool | None = None


@dataclass(frozen=True)
class Definition:
    """Parameters and steps, the steps of branches among them."""

    parameters: dict[str, Parameter]
    steps: dict[str, Step]

    def values(self, given: list[dict[str, str]]) -> dict[str, Any]:
        """Every parameter's value; refuses unknown and missing ones."""
        named = {item["Name"]: item.get("Value", "") for item in given}
        unknown = sorted(set(named) - set(self.parameters))
        if unknown:
            raise ValidationException(
                f"Unknown parameters: {unknown}: the pipeline has {sorted(self.parameters)}"
            )
        missing = sorted(
            name
            for name, parameter in self.parameters.items()
            if name not in named and parameter.default is None
        )
        if missing:
            raise ValidationException(f"Parameters {missing} have no default value: give them")
        return {
            name: parameter.cast(named.get(name, parameter.default))
            for name, parameter in self.parameters.items()
        }


def parse(text: str) -> Definition:
    """The definition; raises ValidationException naming what the local SageMaker refuses."""
    try:
        document = json.loads(text)
    except ValueError as error:
        raise ValidationException(f"PipelineDefinition is not JSON: {error}") from None
    if not isinstance(document, dict) or not isinstance(document.get("Steps"), list):
        raise ValidationException("PipelineDefinition must be an object with a list of Steps")
    if document.get("Version") != VERSION:
        raise ValidationException(
            f"PipelineDefinition: Version {document.get('Version')!r} must be {VERSION!r}"
        )
    parameters = {
        parameter.name: parameter
        for parameter in map(_parameter, _objects("Parameters", document.get("Parameters", [])))
    }
    steps: dict[str, Step] = {}
    for step in _steps(_objects("Steps", document["Steps"]), None, None):
        if step.name in steps:
            raise ValidationException(f"step {step.name!r} is defined twice: names are unique")
        steps[step.name] = step
    definition = Definition(parameters, steps)
    _check_references(definition)
    return definition


def duration(text: str) -> timedelta:
    """An ISO 8601 duration; a year counts 365 days, a month 30."""
    match = _DURATION.fullmatch(text)
    if match is None or not any(match.groups()):
        raise ValidationException(f"{text!r} is not an ISO 8601 duration: write P30D or PT2H")
    amounts = [float(group or 0) for group in match.groups()]
    return timedelta(seconds=sum(a * u for a, u in zip(amounts, _UNIT_SECONDS, strict=True)))


def _objects(where: str, value: Json) -> list[dict[str, Any]]:
    """The value as the list of objects that it must be."""
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ValidationException(f"{where} must be a list of objects, got {_shown(value)}")
    return value


def _shown(value: Json) -> str:
    return json.dumps(value)[:200]


def _parameter(item: dict[str, Any]) -> Parameter:
    name, kind = item.get("Name"), item.get("Type")
    if not isinstance(name, str) or kind not in ("String", "Integer", "Float", "Boolean"):
        raise ValidationException(
            f"parameter {name!r}: Type {kind!r} must be one of String, Integer, Float, Boolean"
        )
    allowed = tuple(item.get("EnumValues", ()))
    parameter = Parameter(name, kind, item.get("DefaultValue"), allowed)
    if parameter.default is not None:
        parameter.cast(parameter.default)
    return parameter


def _steps(items: list[dict[str, Any]], within: str | None, branch: bool | None) -> Iterator[Step]:
    for item in items:
        step = _step(item, within, branch)
        yield step
        if step.type == "Condition":
            for member, chosen in (("IfSteps", True), ("ElseSteps", False)):
                inner = _objects(f"step {step.name!r}: {member}", step.arguments.get(member, []))
                yield from _steps(inner, step.name, chosen)


def _step(item: dict[str, Any], within: str | None, branch: bool | None) -> Step:
    name, kind = item.get("Name"), item.get("Type")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValidationException(
            f"step name {name!r} is not allowed: use up to 64 letters, digits, - and _"
        )
    if kind not in STEP_TYPES:
        raise ValidationException(
            f"step {name!r}: type {kind!r} is not implemented by the local SageMaker: use one of "
            f"{', '.join(STEP_TYPES)}"
        )
    arguments = item.get("Arguments")
    if not isinstance(arguments, dict):
        raise ValidationException(f"step {name!r}: Arguments is missing")
    if kind == "Condition":
        _check_condition_step(name, arguments, nested=within is not None)
    if kind == "Lambda" and not (
        isinstance(item.get("FunctionArn"), str) or function_of(item.get("FunctionArn"))
    ):
        raise ValidationException(f"step {name!r}: FunctionArn is missing: give it as text")
    function = item.get("FunctionArn") if kind == "Lambda" else None
    paths = [*_paths(kind, arguments), *references(function)]
    needs = {path.split(".")[1] for path in paths if path.startswith("Steps.")}
    needs |= _names(name, "DependsOn", item.get("DependsOn", []))
    if within is not None:
        needs.add(within)
    return Step(
        name=name,
        type=kind,
        arguments=arguments,
        needs=frozenset(needs),
        cache_expiry=_cache_expiry(name, kind, item.get("CacheConfig")),
        property_files=_property_files(name, arguments, item.get("PropertyFiles", [])),
        display_name=item.get("DisplayName"),
        description=item.get("Description"),
        function=function,
        outputs=_outputs(name, item.get("OutputParameters", [])) if kind == "Lambda" else {},
        within=within,
        branch=branch,
    )


def _names(step: str, member: str, value: Json) -> set[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValidationException(
            f"step {step!r}: {member} must be a list of names, got {_shown(value)}"
        )
    return set(value)


def _paths(kind: str, arguments: dict[str, Any]) -> list[str]:
    """What the step itself refers to; a Condition's branches speak for themselves."""
    return list(references(arguments.get("Conditions") if kind == "Condition" else arguments))


def _check_condition_step(name: str, arguments: dict[str, Any], *, nested: bool) -> None:
    if nested:
        raise ValidationException(f"step {name!r}: a Condition step within another is not allowed")
    if not arguments.get("Conditions"):
        raise ValidationException(f"step {name!r}: Conditions is missing")
    for condition in _objects(f"step {name!r}: Conditions", arguments["Conditions"]):
        conditions.check(condition, name)


def _cache_expiry(name: str, kind: str, config: Json) -> timedelta | None:
    if config is not None and not isinstance(config, dict):
        raise ValidationException(
            f"step {name!r}: CacheConfig must be an object, got {_shown(config)}"
        )
    if not config or not config.get("Enabled"):
        return None
    if kind not in _CACHED:
        raise ValidationException(
            f"step {name!r}: CacheConfig is not allowed on {kind}: only on {', '.join(_CACHED)}"
        )
    return duration(str(config["ExpireAfter"])) if "ExpireAfter" in config else timedelta.max


def _property_files(
    name: str, arguments: dict[str, Any], items: Json
) -> dict[str, tuple[str, str]]:
    if not items:
        return {}
    config = arguments.get("ProcessingOutputConfig", {})
    outputs = config.get("Outputs", []) if isinstance(config, dict) else config
    where = f"step {name!r}: ProcessingOutputConfig.Outputs"
    known = {str(output.get("OutputName")) for output in _objects(where, outputs)}
    files = {}
    for item in _objects(f"step {name!r}: PropertyFiles", items):
        for member in ("PropertyFileName", "OutputName", "FilePath"):
            if not isinstance(item.get(member), str):
                raise ValidationException(
                    f"step {name!r}: PropertyFiles needs {member}, got {_shown(item)}"
                )
        if item["OutputName"] not in known:
            raise ValidationException(
                f"step {name!r}: property file {item['PropertyFileName']!r} names the output "
                f"{item['OutputName']!r}: the step has {sorted(known)}"
            )
        files[item["PropertyFileName"]] = (item["OutputName"], item["FilePath"])
    return files


def _outputs(name: str, items: Json) -> dict[str, str]:
    """A Lambda step's output parameters and their types."""
    outputs = {}
    for item in _objects(f"step {name!r}: OutputParameters", items):
        output, kind = item.get("OutputName"), item.get("OutputType")
        if not isinstance(output, str) or kind not in OUTPUT_TYPES:
            raise ValidationException(
                f"step {name!r}: OutputParameters needs OutputName and an OutputType of "
                f"{', '.join(OUTPUT_TYPES)}, got {_shown(item)}"
            )
        outputs[output] = kind
    return outputs


def _check_references(definition: Definition) -> None:
    steps = definition.steps
    for step in steps.values():
        for path in [*_paths(step.type, step.arguments), *references(step.function)]:
            _check_path(definition, step, path)
        for needed in step.needs:
            if needed not in steps:
                raise ValidationException(
                    f"step {step.name!r} depends on {needed!r}, which is not a step"
                )
            if steps[needed].type == "Fail":
                raise ValidationException(
                    f"step {step.name!r} depends on the Fail step {needed!r}: nothing may"
                )
    try:
        TopologicalSorter({name: step.needs for name, step in steps.items()}).prepare()
    except CycleError as error:
        raise ValidationException(
            f"steps depend on each other in a circle: {' -> '.join(error.args[1])}"
        ) from None


def _check_path(definition: Definition, step: Step, path: Json) -> None:
    root, _, rest = str(path).partition(".")
    if root == "Parameters" and rest in definition.parameters:
        return
    if root == "Execution" and rest in EXECUTION_VARIABLES:
        return
    if root == "Steps":
        name, _, properties = rest.partition(".")
        target = definition.steps.get(name)
        files = properties.startswith("PropertyFiles.")
        if target is not None and target.type == "Lambda":
            _check_output(step, target, path)
            return
        if target is not None and properties and not files:
            return
        if target is not None and properties.removeprefix("PropertyFiles.") in (
            target.property_files
        ):
            return
    raise ValidationException(
        f"step {step.name!r}: cannot resolve {path!r}: known are Parameters."
        f"{sorted(definition.parameters)}, Execution.{list(EXECUTION_VARIABLES)}, "
        f"Steps.{sorted(definition.steps)} and their PropertyFiles"
    )


def _check_output(step: Step, target: Step, path: str) -> None:
    known = {f"Steps.{target.name}.OutputParameters['{name}']" for name in target.outputs}
    if path.replace('"', "'") not in known:
        raise ValidationException(
            f"step {step.name!r}: cannot resolve {path!r}: the Lambda step {target.name!r} gives "
            f"{sorted(known)}"
        )

"""Requests and answers measured against botocore's SageMaker service model."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import botocore.session
import regex
from botocore.model import (
    ListShape,
    MapShape,
    OperationModel,
    OperationNotFoundError,
    Shape,
    StructureShape,
)
from botocore.validate import ParamValidator

from local.sagemaker.errors import UnknownOperationException, ValidationException
from local.sagemaker.store import Json


class ServiceModel:
    """SageMaker's operations as botocore describes them."""

    def __init__(self, service: str = "sagemaker") -> None:
        self._model = botocore.session.get_session().get_service_model(service)
        self._validator = ParamValidator()

    def operation(self, name: str) -> OperationModel:
        try:
            return self._model.operation_model(name)
        except OperationNotFoundError:
            raise UnknownOperationException(
                f"SageMaker has no operation {name!r}: look it up with `aws sagemaker help`"
            ) from None

    def check(self, name: str, request: dict[str, Any]) -> None:
        """Raises ValidationException with every fault of the request."""
        shape = self.operation(name).input_shape
        if shape is None:
            return
        try:
            report = self._validator.validate(request, shape)
        except RuntimeError as error:
            # botocore's word for seconds that no calendar reaches.
            raise ValidationException(f"a timestamp cannot be read: {error}") from None
        if report.has_errors():
            raise ValidationException(report.generate_report())
        faults = list(_violations(request, shape, ""))
        if faults:
            count = f"{len(faults)} validation error{'s' if len(faults) > 1 else ''} detected: "
            raise ValidationException(count + "; ".join(faults))

    def answer(self, name: str, result: dict[str, Any]) -> dict[str, Any]:
        """The members of the result that the operation's output has."""
        shape = self.operation(name).output_shape
        return _fitted(result, shape) if shape is not None else {}


def _violations(value: Json, shape: Shape, path: str) -> Iterator[str]:
    if value is None:
        return
    if isinstance(shape, StructureShape):
        for member, inner in value.items():
            name = member[0].lower() + member[1:]
            yield from _violations(inner, shape.members[member], f"{path}.{name}" if path else name)
        return
    if isinstance(shape, MapShape):
        yield from _size_violation(value, len(value), shape, path, "length")
        for key, inner in value.items():
            yield from _violations(key, shape.key, f"{path}.{key}.key")
            yield from _violations(inner, shape.value, f"{path}.{key}.member")
        return
    if isinstance(shape, ListShape):
        yield from _size_violation(value, len(value), shape, path, "length")
        for position, inner in enumerate(value, 1):
            yield from _violations(inner, shape.member, f"{path}.{position}.member")
        return
    if shape.type_name == "string":
        yield from _text_violations(value, shape, path)
    elif shape.type_name in ("integer", "long", "float", "double"):
        yield from _size_violation(value, value, shape, path, "value")
    elif shape.type_name == "blob":
        yield from _size_violation("(bytes)", len(value), shape, path, "length")


def _text_violations(value: str, shape: Shape, path: str) -> Iterator[str]:
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        yield _fault(value, path, f"satisfy enum value set: [{', '.join(allowed)}]")
        return
    yield from _size_violation(value, len(value), shape, path, "length")
    pattern = shape.metadata.get("pattern")
    compiled = _compiled(pattern) if pattern else None
    if compiled is not None and not compiled.fullmatch(value):
        yield _fault(value, path, f"satisfy regular expression pattern: {pattern}")


def _size_violation(value: Json, size: float, shape: Shape, path: str, what: str) -> Iterator[str]:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is not None and size < low:
        yield _fault(value, path, f"have {what} greater than or equal to {low}")
    if high is not None and size > high:
        yield _fault(value, path, f"have {what} less than or equal to {high}")


def _fault(value: Json, path: str, constraint: str) -> str:
    shown = str(value) if len(str(value)) <= 200 else f"{str(value)[:200]}..."
    return f"Value '{shown}' at '{path}' failed to satisfy constraint: Member must {constraint}"


@cache
def _compiled(pattern: str) -> regex.Pattern[str] | None:
    # Some of AWS's patterns are Java's and name surrogates; no text from the wire can be
    # measured against those.
    try:
        return regex.compile(pattern)
    except regex.error:
        return None


def _fitted(value: Json, shape: Shape) -> Json:
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {
            member: _fitted(inner, shape.members[member])
            for member, inner in value.items()
            if member in shape.members and inner is not None
        }
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [_fitted(inner, shape.member) for inner in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {key: _fitted(inner, shape.value) for key, inner in value.items()}
    return value

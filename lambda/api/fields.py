"""Checks the fields of a request for predictions against its task's schemas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tasks
from problems import Problem, field_error
from tasks import Schema, Task

Errors = Iterator[dict[str, str]]
LONGEST_NAME = 40
MOST_ERRORS = 20


def check(task_name: str, asked: dict[str, Any]) -> dict[str, Any]:
    """The request as the container takes it; raises a 422 problem that names every field."""
    task = tasks.task(task_name)
    is_flat = task.flat is not None and task.flat in asked
    errors = [*(_flat_errors(task, asked) if is_flat else _errors(task, asked))][:MOST_ERRORS]
    if errors:
        told = "; ".join(f"{error['field']}: {error['message']}" for error in errors)
        raise Problem("invalid-request", told, errors=errors)
    if is_flat:
        return asked
    return {"inputs": asked["inputs"], "parameters": asked.get("parameters") or {}}


def _errors(task: Task, asked: Mapping[str, Any]) -> Errors:
    known = ("inputs", "parameters")
    yield from _unknown(asked, known, f"not a field of a prediction, which takes {_listed(known)}")
    yield from _inputs("inputs", asked.get("inputs"), task.inputs)
    parameters = asked.get("parameters")
    if parameters is None:
        parameters = {}
    if not isinstance(parameters, dict):
        yield field_error("parameters", "must be an object")
        return
    yield from _parameters(task, parameters, "parameters.")


def _flat_errors(task: Task, asked: Mapping[str, Any]) -> Errors:
    name = task.flat or ""
    yield from _inputs(name, asked.get(name), task.inputs)
    yield from _parameters(task, {k: v for k, v in asked.items() if k != name}, "")


def _parameters(task: Task, given: Mapping[str, Any], prefix: str) -> Errors:
    allowed = ", ".join(sorted(task.parameters)) or "none"
    for name in task.required:
        if name not in given:
            yield field_error(f"{prefix}{name}", f"missing: {_words(task.parameters[name])}")
    words = f"not a parameter of {task.name}, allowed: {allowed}"
    yield from _unknown(given, task.parameters, words, prefix)
    for name, schema in task.parameters.items():
        if name in given and not _holds(schema, given[name]):
            yield field_error(f"{prefix}{name}", f"must be {_words(schema)}")


def _inputs(field: str, value: object, schema: Schema) -> Errors:
    if value is None:
        yield field_error(field, f"missing: {_words(schema)}")
    elif not _holds(schema, value):
        words = f"must be {_words(schema)}"
        at = _first_bad(schema, value) if isinstance(value, list) else None
        yield field_error(field if at is None else f"{field}[{at}]", words)


def _first_bad(schema: Schema, values: list[object]) -> int | None:
    """The position of the first item at fault; None when it is the list itself."""
    for form in schema.get("anyOf", [schema]):
        if form.get("type") == "array":
            bad = (at for at, value in enumerate(values) if not _holds(form["items"], value))
            return next(bad, None)
    return None


def _unknown(given: Mapping[str, Any], known: Any, words: str, prefix: str = "") -> Errors:  # noqa: ANN401
    for name in given:
        if name not in known:
            yield field_error(f"{prefix}{name[:LONGEST_NAME]}", words)


# By identity: a task's schemas live as long as this module.
_compiled: dict[int, Callable[[object], object]] = {}


def load() -> None:
    """Import what checks, before a request does."""
    import fastjsonschema  # noqa: F401


def _holds(schema: Schema, value: object) -> bool:
    # The import and a schema's compilation are paid by the first request that needs them.
    import fastjsonschema

    check = _compiled.get(id(schema))
    if check is None:
        document = {"$schema": "http://json-schema.org/draft-07/schema#", **schema}
        check = _compiled[id(schema)] = fastjsonschema.compile(document, use_default=False)
    try:
        check(value)
    except fastjsonschema.JsonSchemaValueException:
        return False
    return True


def _words(schema: Schema) -> str:
    words: str = schema["description"]
    return words


def _listed(names: tuple[str, ...]) -> str:
    return " and ".join(names)

"""What is served: the deployed catalogue, the record of each model in service, its endpoint."""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from functools import cache
from typing import Any

from botocore.exceptions import ClientError

import aws
from problems import Problem

RECORD_TTL_SECONDS = 10
_records: dict[str, tuple[float, dict[str, Any]]] = {}


@dataclass(frozen=True)
class Model:
    """One entry of the inference stack's `Models` output."""

    name: str
    task: str
    kind: str
    endpoint: str | None
    pipeline: str | None
    parameter: str


@cache
def catalogue() -> dict[str, Model]:
    """Every model of the deployment by name."""
    entries: dict[str, dict[str, Any]] = json.loads(os.environ["MODELS"])
    return {
        name: Model(
            name=name,
            task=entry["task"],
            kind=entry["kind"],
            endpoint=entry["endpoint"],
            pipeline=entry["pipeline"],
            parameter=entry["parameter"],
        )
        for name, entry in entries.items()
    }


def find(name: str) -> Model:
    """The model called `name`; raises a 404 problem."""
    model = catalogue().get(name)
    if model is None:
        known = ", ".join(sorted(catalogue())) or "none"
        raise Problem("unknown-model", f"no model is called {name!r}; the models are: {known}")
    return model


def record(model: Model) -> dict[str, Any]:
    """The record of what serves, at most RECORD_TTL_SECONDS old; raises a 409 problem."""
    kept = _records.get(model.name)
    if kept is not None and kept[0] > time.monotonic():
        return kept[1]
    found = _read_record(model)
    if found is None:
        _records.pop(model.name, None)
        raise Problem("not-deployed", _why_not_deployed(model))
    _records[model.name] = (time.monotonic() + RECORD_TTL_SECONDS, found)
    return found


def forget(model: Model) -> None:
    """Read the record anew next time, because the endpoint contradicted it."""
    _records.pop(model.name, None)


def endpoint(model: Model) -> str:
    """The name of the endpoint to invoke; raises a 409 problem for a model without one."""
    if model.kind == "none":
        raise Problem(
            "not-deployed",
            f"{model.name} has no endpoint (endpoint.kind is none): "
            f"POST lines to /v1/models/{model.name}/batches",
        )
    name: str | None = record(model).get("endpoint") or model.endpoint
    if name is None:
        raise Problem("not-deployed", _why_not_deployed(model))
    return name


def describe(model: Model) -> dict[str, Any]:
    """The public description of one model."""
    return _description(model, _read_record(model))


def describe_all() -> list[dict[str, Any]]:
    """The public description of every model, in the order of their names."""
    records = _read_records()
    return [
        _description(model, records.get(model.parameter))
        for _, model in sorted(catalogue().items())
    ]


def _description(model: Model, found: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "name": model.name,
        "task": model.task,
        "kind": model.kind,
        "state": _state(model, found),
        "version": None if found is None else str(found["version"]),
        "endpoint": (found or {}).get("endpoint") or model.endpoint,
    }


def _state(model: Model, found: dict[str, Any] | None) -> str:
    if model.kind == "none":
        return "NotDeployed" if found is None else "BatchOnly"
    name = (found or {}).get("endpoint") or model.endpoint
    if name is None:
        return "NotDeployed"
    try:
        described = aws.sagemaker().describe_endpoint(EndpointName=name)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("ValidationException", "ResourceNotFound"):
            return "NotDeployed"
        raise
    status: str = described["EndpointStatus"]
    # Without a record the endpoint has not passed its smoke test yet: nobody may rely on it.
    return "Creating" if found is None and status == "InService" else status


def _read_record(model: Model) -> dict[str, Any] | None:
    try:
        answer = aws.ssm().get_parameter(Name=model.parameter)
    except ClientError as error:
        if error.response["Error"]["Code"] == "ParameterNotFound":
            return None
        raise
    found: dict[str, Any] = json.loads(answer["Parameter"]["Value"])
    return found


def _read_records() -> dict[str, dict[str, Any]]:
    pages = (
        aws.ssm()
        .get_paginator("get_parameters_by_path")
        .paginate(Path=os.environ["MODEL_PARAMETERS"])
    )
    return {
        parameter["Name"]: json.loads(parameter["Value"])
        for page in pages
        for parameter in page["Parameters"]
    }


def _why_not_deployed(model: Model) -> str:
    if model.pipeline is None:
        return f"{model.name} is not deployed yet"
    return (
        f"no version of {model.name} is approved yet: "
        f"train and approve one of the pipeline {model.pipeline}"
    )

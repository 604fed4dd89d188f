"""The OpenAPI 3.1 document of this deployment: its models by name, each with its task's schemas."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

import csv_answers
import models
import tasks
from exchange import CSV, Answer, Request
from problems import KINDS, PROBLEM_JSON

Json = dict[str, Any]

TITLE = "Lectern"
DESCRIPTION = (
    "Hugging Face text models on Amazon SageMaker. Every error is `application/problem+json` "
    "(RFC 9457); its `type` is stable, its `errors` name the fields at fault."
)
# What the gateway answers by itself, whatever is asked.
GATEWAY = {
    400: ("malformed-body", "malformed-request"),
    401: ("unauthorized",),
    403: ("invalid-api-key", "access-denied", "unsigned", "filtered"),
    413: ("body-too-large",),
    415: ("refused",),
    429: ("throttled", "quota-exceeded"),
    500: ("gateway-fault",),
    502: ("gateway-fault",),
    504: ("endpoint-timeout",),
}
# What the operations that are no task's are sorted under.
API, BATCHES, INFERENCE_API, MODELS = "The API itself", "Batches", "Inference API", "Models"
RESULTS = "Results"
TEXT = {"type": "string"}
PREFER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "`respond-async` is answered with 202 and the place of the result",
    "schema": TEXT,
}


def answer(_: Request) -> Answer:
    """Answer the document."""
    return Answer(document(models.catalogue().values(), os.environ.get("AUTH", "api-key")))


def document(served: Iterable[models.Model], auth: str) -> Json:
    """The document for these models and this way of telling callers apart."""
    served = sorted(served, key=lambda model: model.name)
    schemes, security = _security(auth)
    names = [model.name for model in served]
    paths: Json = {
        "/v1/health": {"get": _open("health", "Whether the API runs", _ok(_HEALTH))},
        "/v1/models": {
            "get": _tagged(MODELS, _operation("listModels", "What is served", _ok(_ref("Models"))))
        },
        "/v1/models/{model}": {
            "parameters": [_model_parameter(names)],
            "get": _tagged(MODELS, _operation("getModel", "One model", _ok(_ref("Model")), 404)),
        },
    }
    schemas: Json = {"Problem": _PROBLEM, "Model": _MODEL, "Models": _MODELS, "Pending": _PENDING}
    for model in served:
        task = tasks.task(model.task)
        name = _pascal(task.name)
        schemas[f"{name}Request"] = _titled(task.request, f"{name}Request")
        if task.flat_request is not None:
            schemas[f"{name}FlatRequest"] = _titled(task.flat_request, f"{name}FlatRequest")
        schemas[f"{name}Response"] = _titled(task.response, f"{name}Response")
        if model.kind == "none":
            continue
        paths[f"/v1/models/{model.name}"] = {"post": _prediction(model, task, name)}
        paths[f"/hf/models/{model.name}"] = {"post": _hugging_face(model, task)}
    paths |= _results() | _batches(names, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": TITLE, "version": "1", "description": DESCRIPTION},
        # Relative to where this document is.
        "servers": [{"url": ".."}],
        "security": security,
        "tags": [{"name": name} for name in _tags(paths)],
        "paths": paths,
        "components": {"schemas": schemas, "securitySchemes": schemes},
    }


def _prediction(model: models.Model, task: tasks.Task, name: str) -> Json:
    example = task.examples[0]
    forms = [_ref(f"{name}Request")]
    if task.flat_request is not None:
        forms.append(_ref(f"{name}FlatRequest"))
    content: Json = {
        "application/json": {
            "schema": forms[0] if len(forms) == 1 else {"anyOf": forms},
            "example": example["request"],
        },
    }
    if task.reads_texts:
        content["text/plain"] = {"schema": TEXT}
        content["application/x-text"] = {"schema": TEXT}
        rows = _ROWS_OF_PAIRS if task.reads_pairs else _ROWS_OF_TEXTS
        content[CSV] = {"schema": rows, "example": csv_answers.row(example["request"]["inputs"])}
    answers: Json = {
        "application/json": {"schema": _ref(f"{name}Response"), "example": example["response"]}
    }
    if task.verbose is not None:
        answers["application/json;verbose"] = {"schema": task.verbose}
    if task.columns:
        written = csv_answers.write(example["response"], task=task.name, inputs=1)
        answers[CSV] = {"schema": _ROWS_OF_ANSWERS, "example": written}
    statuses = (404, 406, 409, 413, 415, 422, 502, 503, 504)
    found = _operation(
        f"predict{_pascal(model.name)}",
        f"{task.summary}: {model.name}",
        {
            "200": {
                "description": "the predictions",
                "headers": _HEADERS,
                "content": answers,
            },
            "202": _accepted(),
        },
        *statuses,
    )
    return _tagged(task.name, found) | {
        "parameters": [PREFER],
        "requestBody": {"required": True, "content": content},
    }


def _hugging_face(model: models.Model, task: tasks.Task) -> Json:
    found = _operation(
        f"inferenceApi{_pascal(model.name)}",
        f"{task.summary}, as huggingface_hub's InferenceClient asks: {model.name}",
        {
            "200": {
                "description": "the predictions in the Inference API's shapes",
                "headers": _HEADERS,
                "content": {"application/json": {"schema": {}}}
                | ({"text/event-stream": {"schema": TEXT}} if _streams(task) else {}),
            }
        },
        *(404, 409, 413, 415, 422, 502, 503, 504),
    )
    schema = {
        "type": "object",
        "minProperties": 1,
        "properties": {
            "inputs": {},
            "parameters": {"type": ["object", "null"]},
        },
    }
    body = {"required": True, "content": {"application/json": {"schema": schema}}}
    return _tagged(INFERENCE_API, found) | {"requestBody": body}


def _streams(task: tasks.Task) -> bool:
    return task.name == "text-generation"


def _results() -> Json:
    schema = {"type": "string", "pattern": "^[0-9]{14}-[A-Za-z0-9_-]{32}$"}
    found = _operation(
        "getResult",
        "The answer to a call that was answered with 202",
        {
            "200": {
                "description": "the answer, in the form that the call asked for",
                "content": {"application/json": {"schema": {}}, CSV: {"schema": TEXT}},
            },
            "202": _accepted(),
        },
        *(404, 422, 502, 503, 504),
    )
    parameter = {"name": "result", "in": "path", "required": True, "schema": schema}
    return {"/v1/results/{result}": {"parameters": [parameter], "get": _tagged(RESULTS, found)}}


def _batches(names: list[str], schemas: Json) -> Json:
    given = tasks.read("batches")
    schemas["BatchRequest"] = _titled(given["request"], "BatchRequest")
    schemas["Batch"] = _titled(given["response"], "Batch")
    schemas["Batches"] = {
        "type": "object",
        "required": ["batches", "next_token"],
        "properties": {
            "batches": {"type": "array", "items": _ref("Batch")},
            "next_token": {"type": ["string", "null"]},
        },
    }
    started = {"description": "the batch", "content": _json(_ref("Batch"))}
    start = _operation(
        "startBatch",
        "Start a batch",
        {"202": started, "200": {**started, "description": "the batch of an earlier equal call"}},
        *(404, 409, 413, 415, 422, 503),
    )
    start["parameters"] = [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"},
        }
    ]
    lines = {"schema": TEXT, "example": '{"id": 1, "inputs": "a text"}\n'}
    start["requestBody"] = {
        "required": True,
        "content": {
            "application/json": {"schema": _ref("BatchRequest")},
            "application/jsonlines": lines,
            "application/x-ndjson": lines,
            CSV: {"schema": TEXT, "example": "a text\nanother\n"},
        },
    }
    one = {
        "name": "batch",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"},
    }
    batch = _ok(_ref("Batch"))
    listing = _operation("listBatches", "Batches, the newest first", _ok(_ref("Batches")), 422, 503)
    states = ["AwaitingUpload", "InProgress", "Completed", "Failed", "Stopped"]
    listing["parameters"] = [
        _query("limit", {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}),
        _query("next_token", {"type": "string", "minLength": 1}),
        _query("model", {"type": "string", "enum": names}),
        _query("state", {"type": "string", "enum": states}),
    ]
    return {
        "/v1/models/{model}/batches": {
            "parameters": [_model_parameter(names)],
            "post": _tagged(BATCHES, start),
        },
        "/v1/batches": {"get": _tagged(BATCHES, listing)},
        "/v1/batches/{batch}": {
            "parameters": [one],
            "get": _tagged(BATCHES, _operation("getBatch", "How a batch stands", batch, 404, 503)),
            "delete": _tagged(BATCHES, _operation("stopBatch", "Stop a batch", batch, 404, 503)),
        },
    }


def _operation(identity: str, summary: str, answers: Json, *problems: int) -> Json:
    statuses = {**GATEWAY, **{status: GATEWAY.get(status, ()) for status in problems}}
    return {
        "operationId": identity,
        "summary": summary,
        "responses": answers | {str(status): _problem(status) for status in sorted(statuses)},
    }


def _tagged(tag: str, operation: Json) -> Json:
    return {"tags": [tag], **operation}


def _tags(paths: Json) -> list[str]:
    """Tasks first, then what every deployment has."""
    always = [BATCHES, RESULTS, MODELS, INFERENCE_API, API]
    used = {tag for path in paths.values() for tag in _tags_of(path)}
    return [*sorted(used - set(always)), *(tag for tag in always if tag in used)]


def _tags_of(path: Json) -> list[str]:
    return [tag for each in path.values() if isinstance(each, dict) for tag in each["tags"]]


def _open(identity: str, summary: str, answers: Json) -> Json:
    return _tagged(API, _operation(identity, summary, answers)) | {"security": []}


def _problem(status: int) -> Json:
    own = [kind for kind, (given, _) in KINDS.items() if given == status]
    kinds = dict.fromkeys([*GATEWAY.get(status, ()), *own])
    described: Json = {
        "description": ", ".join(kinds) or "refused",
        "content": {PROBLEM_JSON: {"schema": _ref("Problem")}},
    }
    if status in (429, 503, 504):
        described["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return described


def _accepted() -> Json:
    return {
        "description": "taken; the answer will be at `Location`",
        "headers": {"Location": {"schema": TEXT}, "Retry-After": {"schema": {"type": "integer"}}},
        "content": _json(_ref("Pending")),
    }


def _security(auth: str) -> tuple[Json, list[Json]]:
    schemes: Mapping[str, Json] = {
        "api-key": {
            "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        },
        "iam": {
            "signature": {
                "type": "apiKey",
                "in": "header",
                "name": "Authorization",
                "description": "AWS Signature Version 4 for the service execute-api",
            }
        },
        "jwt": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        "cognito": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        "open-to-everyone": {},
    }
    found = schemes[auth]
    return found, [{name: []} for name in found]


def _model_parameter(names: list[str]) -> Json:
    schema = {"type": "string", "enum": names}
    return {"name": "model", "in": "path", "required": True, "schema": schema}


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema}


def _ok(schema: Json) -> Json:
    return {"200": {"description": "the answer", "content": _json(schema)}}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _titled(schema: Json, title: str) -> Json:
    return {"title": title, **{k: v for k, v in schema.items() if k not in ("$schema", "title")}}


def _pascal(name: str) -> str:
    return "".join(word.capitalize() for word in name.replace("_", "-").split("-"))


_ROWS_OF_TEXTS = TEXT | {"description": "one text a row, in quotes where need be, without a header"}
_ROWS_OF_PAIRS = TEXT | {
    "description": "one text a row, or in each row the two texts of a pair, in quotes where need "
    "be, without a header"
}
_ROWS_OF_ANSWERS = TEXT | {
    "description": "a header, then the rows of each input, which `input` counts from 0"
}
_HEADERS = {
    "x-lectern-model-version": {"schema": TEXT, "description": "the version that answered"},
    "x-lectern-truncated": {
        "schema": {"type": "integer"},
        "description": "how many texts were longer than the model reads, and lost their end",
    },
}
_HEALTH = {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}}
_MODEL = {
    "type": "object",
    "required": ["name", "task", "kind", "state", "version", "endpoint"],
    "properties": {
        "name": TEXT,
        "task": TEXT,
        "kind": {"type": "string", "enum": ["real-time", "serverless", "async", "none"]},
        "state": TEXT,
        "version": {"type": ["string", "null"]},
        "endpoint": {"type": ["string", "null"]},
    },
}
_MODELS = {
    "type": "object",
    "required": ["models"],
    "properties": {"models": {"type": "array", "items": _ref("Model")}},
}
_PENDING = {
    "type": "object",
    "required": ["id", "model", "state", "result"],
    "properties": {
        "id": TEXT,
        "model": TEXT,
        "state": {"type": "string", "enum": ["InProgress"]},
        "result": {"type": "string", "description": "the path of the answer below this API"},
    },
}
_PROBLEM = {
    "type": "object",
    # The gateway does not tell the status in its last two kinds of answers.
    "required": ["type", "title", "detail", "errors", "request_id"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:lectern:problem:"},
        "title": TEXT,
        "status": {"type": "integer"},
        "detail": TEXT,
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["field", "message"],
                "properties": {"field": TEXT, "message": TEXT},
            },
        },
        "request_id": TEXT,
        "code": {"type": "string", "description": "the model handler's own name for the fault"},
    },
}

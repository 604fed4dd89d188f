"""One MiniStack for all tests of the functions, a stand-in for SageMaker, and the API on both."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import boto3
import pytest

from tests.functions.stand_ins import Context, SageMaker, credentials, function, ministack

KEY = "a-secret-key"
PREFIX = "/lectern/test/models/"
MODELS = {
    "tickets": {
        "task": "text-classification",
        "endpoint": "lectern-test-tickets",
        "kind": "real-time",
        "pipeline": "tickets",
        "parameter": f"{PREFIX}tickets",
    },
    "small": {
        "task": "text-classification",
        "endpoint": "lectern-test-small",
        "kind": "serverless",
        "pipeline": "tickets",
        "parameter": f"{PREFIX}small",
    },
    "fresh": {
        "task": "text-classification",
        "endpoint": "lectern-test-fresh",
        "kind": "real-time",
        "pipeline": "fresh",
        "parameter": f"{PREFIX}fresh",
    },
    **{
        name: {
            "task": task,
            "endpoint": f"lectern-test-{name}",
            "kind": "serverless",
            "pipeline": None,
            "parameter": f"{PREFIX}{name}",
        }
        for name, task in {
            "open": "zero-shot-classification",
            "facts": "question-answering",
        }.items()
    },
    "nightly": {
        "task": "text-classification",
        "endpoint": None,
        "kind": "none",
        "pipeline": "tickets",
        "parameter": f"{PREFIX}nightly",
    },
}
Call = Callable[..., Any]


@pytest.fixture(scope="session")
def ministack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ministack(tmp_path_factory.mktemp("ministack")) as url:
        yield url


@pytest.fixture
def sagemaker() -> Iterator[SageMaker]:
    stand_in = SageMaker()
    yield stand_in
    stand_in.close()


@pytest.fixture(scope="session")
def known_clients() -> dict[str, Any]:
    """Clients of the MiniStack, by service: to make one takes longer than most tests."""
    return {}


@pytest.fixture
def aws(
    ministack_url: str,
    sagemaker: SageMaker,
    known_clients: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[[str], Any]:
    """Points this process at the stand-ins; returns what gives clients."""
    for name, value in credentials(ministack_url, sagemaker).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)

    def client(service: str) -> Any:
        # Each test has a SageMaker of its own.
        if service.startswith("sagemaker"):
            return boto3.client(service)
        if service not in known_clients:
            known_clients[service] = boto3.client(service)
        return known_clients[service]

    return client


@pytest.fixture
def api(aws: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The function with five models in service; `fresh` has no approved version."""
    monkeypatch.setenv("MODELS", json.dumps(MODELS))
    monkeypatch.setenv("MODEL_PARAMETERS", PREFIX)
    monkeypatch.setenv("DATA_BUCKET", "lectern-test-data")
    monkeypatch.setenv("READ_TIMEOUT_SECONDS", "0.6")
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "api")
    for name in ("tickets", "small", "nightly", "open", "facts"):
        record = {"model_name": f"generated-{name}", "version": "3", "task": MODELS[name]["task"]}
        record |= {"endpoint": MODELS[name]["endpoint"], "model_data": "s3://x/y"}
        aws("ssm").put_parameter(
            Name=f"{PREFIX}{name}", Value=json.dumps(record), Type="String", Overwrite=True
        )
    with function("api") as module:
        yield module


@pytest.fixture
def call(api: ModuleType) -> Call:
    """Sends a request as API Gateway hands it over."""

    def send(method: str, path: str, body: Any = None, **headers: str) -> dict[str, Any]:
        if isinstance(body, bytes):
            text, encoded = base64.b64encode(body).decode(), True
        else:
            text, encoded = body, False
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        resource, parameters = matched(api.ROUTES, path)
        event = {
            "resource": resource,
            "path": path,
            "httpMethod": method,
            "headers": given | {"x-api-key": KEY},
            "multiValueHeaders": {},
            "queryStringParameters": None,
            "pathParameters": parameters or None,
            "requestContext": {"requestId": "request-1", "httpMethod": method, "path": path},
            "body": text,
            "isBase64Encoded": encoded,
        }
        answer = api.handler(event, Context())
        headers_seen = {
            name.lower(): value[0] if isinstance(value, list) else value
            for name, value in (answer.get("multiValueHeaders") or answer["headers"]).items()
        }
        is_csv = headers_seen["content-type"].startswith("text/csv")
        return {
            "status": answer["statusCode"],
            "headers": headers_seen,
            "body": answer["body"],
            "json": None if is_csv else json.loads(answer["body"]),
        }

    return send


def matched(routes: Any, path: str) -> tuple[str, dict[str, str]]:
    """The resource that the gateway finds for a path, and its parameters."""
    given = path.split("/")
    for resource in sorted({resource for _, resource in routes}, key=lambda name: name.count("{")):
        names = resource.split("/")
        pairs = list(zip(names, given, strict=False))
        if len(names) == len(given) and all(n == g or n[:1] == "{" for n, g in pairs):
            return resource, {n[1:-1]: g for n, g in pairs if n[:1] == "{"}
    return path, {}


@pytest.fixture
def predict(call: Call) -> Call:
    def send(
        body: Any, model: str = "tickets", content_type: str = "application/json", **headers: str
    ) -> dict[str, Any]:
        if not isinstance(body, str | bytes):
            body = json.dumps(body)
        path = f"/v1/models/{model}"
        return call("POST", path, body, content_type=content_type, **headers)

    return send

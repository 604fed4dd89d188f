"""InvokeEndpoint: one request to one variant, and AWS's errors when it goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from local.sagemaker.endpoints import Endpoints
from local.sagemaker.errors import (
    ModelError,
    ModelNotReadyException,
    ServiceUnavailable,
    ThrottlingException,
    ValidationError,
)
from local.sagemaker.fleet import FleetFull, FleetRetired, NoWorker, TimedOut, WorkerDied
from local.sagemaker.host import Host

REAL_TIME_BYTES = 6_291_456
SERVERLESS_BYTES = 4 * 1024 * 1024
INVOCATION_SECONDS = 60.0
_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"
_PASSED = (
    "Content-Type",
    "Accept",
    _ATTRIBUTES,
    "X-Amzn-SageMaker-Inference-Id",
    "X-Amzn-SageMaker-Session-Id",
)
_REFUSED = ("X-Amzn-SageMaker-Target-Model", "X-Amzn-SageMaker-Inference-Component")
_WORKER_DIED = (
    '{\n  "code": 500,\n  "type": "InternalServerException",\n  "message": "Worker died."\n}'
)
_TIMED_OUT = (
    "Your invocation timed out while waiting for a response from container primary. Review the "
    "latency metrics for each container in Amazon CloudWatch, resolve the issue, and try again."
)


@dataclass(frozen=True)
class Answer:
    """What a container answered to an invocation."""

    status: int
    headers: dict[str, str]
    body: bytes


class Runtime:
    """The data plane."""

    def __init__(self, host: Host, endpoints: Endpoints) -> None:
        self._host = host
        self._endpoints = endpoints

    def invoke(self, endpoint: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        given = {name.lower(): value for name, value in headers.items()}
        for name in _REFUSED:
            if name.lower() in given:
                raise ValidationError(f"{name} is not implemented by the local SageMaker")
        if len(given.get(_ATTRIBUTES.lower(), "")) > 1024:
            raise ValidationError("CustomAttributes must have length less than or equal to 1024")
        target = given.get("x-amzn-sagemaker-target-variant")
        _, deployment, _ = self._endpoints.route(endpoint, target)
        if deployment.queue is not None:
            raise ValidationError(
                f"Endpoint {endpoint} is asynchronous: call InvokeEndpointAsync instead."
            )
        longest = SERVERLESS_BYTES if deployment.serverless else REAL_TIME_BYTES
        if len(body) > longest:
            raise ValidationError(
                f"Value at 'body' failed to satisfy constraint: Member must have length less than "
                f"or equal to {longest}, got {len(body)}"
            )
        passed = {name: given[name.lower()] for name in _PASSED if name.lower() in given}
        return self.ask(
            endpoint,
            body,
            passed,
            target=target,
            seconds=INVOCATION_SECONDS,
            patience=INVOCATION_SECONDS,
        )

    def ask(
        self,
        endpoint: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        target: str | None,
        seconds: float,
        patience: float,
    ) -> Answer:
        """One request to a container that waits `patience` for a process and `seconds` for it."""
        variant, deployment, fleet = self._endpoints.route(endpoint, target)
        try:
            response = fleet.post(body, headers, seconds=seconds, patience=patience)
        except FleetRetired:
            # An update switched between the choice and the request: the new fleet answers.
            return self.ask(
                endpoint, body, headers, target=target, seconds=seconds, patience=patience
            )
        except FleetFull:
            raise ThrottlingException("Rate exceeded") from None
        except NoWorker:
            raise _not_ready(endpoint, serverless=deployment.serverless) from None
        except WorkerDied:
            raise self._model_error(endpoint, 500, _WORKER_DIED) from None
        except TimedOut:
            raise self._model_error(endpoint, 0, _TIMED_OUT) from None
        if response.status >= 400:
            message = response.data.decode("utf-8", "replace")
            raise self._model_error(endpoint, response.status, message)
        answered = {"x-Amzn-Invoked-Production-Variant": variant}
        for name in ("Content-Type", _ATTRIBUTES):
            if name in response.headers:
                answered[name] = response.headers[name]
        return Answer(200, answered, response.data)

    def _model_error(self, endpoint: str, status: int, message: str) -> ModelError:
        region, account = self._host.platform.region, self._host.platform.account
        group = f"/aws/sagemaker/Endpoints/{endpoint}"
        kind = "client" if 400 <= status < 500 else "server"
        extra: dict[str, Any] = {
            "OriginalStatusCode": status,
            "OriginalMessage": message,
            "LogStreamArn": f"arn:aws:logs:{region}:{account}:log-group:{group}",
        }
        return ModelError(
            f'Received {kind} error ({status}) from primary with message "{message}". See '
            f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
            f"#logEventViewer:group={group} in account {account} for more information.",
            **extra,
        )


def _not_ready(endpoint: str, *, serverless: bool) -> Exception:
    if serverless:
        return ModelNotReadyException(f"Endpoint {endpoint} is still starting: try again.")
    return ServiceUnavailable(f"Endpoint {endpoint} has no serving process now: try again.")

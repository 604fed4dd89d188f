"""InvokeEndpointAsync: a queue for each endpoint, worked off with as many requests at a time as
its config says. Every request is a record on disk until its answer or failure lies in S3."""

from __future__ import annotations

import base64
import json
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.endpoints import Endpoints
from local.sagemaker.errors import (
    ModelNotReadyException,
    SageMakerError,
    ServiceUnavailable,
    ValidationError,
    ValidationException,
)
from local.sagemaker.host import Host
from local.sagemaker.runtime import Answer, Runtime
from local.sagemaker.store import Record
from local.sagemaker.transfer import NothingFound, join
from local.sagemaker.validation import ServiceModel

LARGEST_INPUT_BYTES = 1024**3
# AWS chooses by the instance when a config says nothing.
UNSAID_CONCURRENCY = 4
_KIND = "AsyncInvocation"
_OPERATION = "InvokeEndpointAsync"
_DEFAULTS = {"RequestTTLSeconds": 21600, "InvocationTimeoutSeconds": 900}
# What the container gets, by the name that each member has there.
_PASSED = {
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": "X-Amzn-SageMaker-Custom-Attributes",
    "InferenceId": "X-Amzn-SageMaker-Inference-Id",
}

logger = logging.getLogger("local")


@dataclass
class _Queue:
    """The requests of one endpoint that wait, and how many are worked on."""

    waiting: deque[str] = field(default_factory=deque)
    working: int = 0


class AsyncInvocations:
    """The data plane of asynchronous endpoints."""

    def __init__(self, host: Host, endpoints: Endpoints, runtime: Runtime) -> None:
        self._host = host
        self._endpoints = endpoints
        self._runtime = runtime
        self._model = ServiceModel("sagemaker-runtime")
        self._lock = threading.Lock()
        self._queues: dict[str, _Queue] = {}

    def invoke(self, endpoint: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Takes one request into the queue; raises ValidationError."""
        asked = self._asked(endpoint, body, headers)
        output = self._output(endpoint)
        id = str(uuid.uuid4())
        asked.setdefault("InferenceId", id)
        record = {
            **_DEFAULTS,
            **asked,
            "Id": id,
            "Created": time.time(),
            "OutputLocation": join(output["S3OutputPath"], f"{id}.out"),
        }
        if "S3FailurePath" in output:
            record["FailureLocation"] = join(output["S3FailurePath"], f"{id}-error.out")
        self._host.store.put(_KIND, id, record)
        self._enqueue(endpoint, id)
        named = {
            f"X-Amzn-SageMaker-{name}": record[name]
            for name in ("OutputLocation", "FailureLocation")
            if name in record
        }
        answer = json.dumps({"InferenceId": record["InferenceId"]}).encode()
        return Answer(202, {"Content-Type": "application/json", **named}, answer)

    def recover(self) -> None:
        """Goes on with what an earlier server took; called when the endpoints are back."""
        left = sorted(self._host.store.all(_KIND), key=lambda record: record["Created"])
        for record in left:
            self._enqueue(record["EndpointName"], record["Id"])

    def _asked(self, endpoint: str, body: bytes, headers: Mapping[str, str]) -> Record:
        """The request as botocore's model has it, whole and within its bounds."""
        given = {name.lower(): value for name, value in headers.items()}
        asked: Record = {"EndpointName": endpoint}
        shape = self._model.operation(_OPERATION).input_shape
        for member, form in shape.members.items() if shape else ():
            header = form.serialization.get("name", member).lower()
            if form.serialization.get("location") == "header" and header in given:
                asked[member] = given[header]
                if form.type_name == "integer" and given[header].isdecimal():
                    asked[member] = int(given[header])
        try:
            self._model.check(_OPERATION, {**asked, **({"Body": body} if body else {})})
        except ValidationException as error:
            raise ValidationError(error.message) from None
        for member in ("S3OutputPathExtension", "Filename"):
            if member in asked:
                raise ValidationError(f"{member} is not implemented by the local SageMaker")
        if bool(body) == ("InputLocation" in asked):
            raise ValidationError("give either InputLocation or Body")
        if body:
            asked["Body"] = base64.b64encode(body).decode()
        elif not asked["InputLocation"].startswith("s3://"):
            raise ValidationError("the local SageMaker reads an InputLocation of s3:// only")
        return asked

    def _output(self, endpoint: str) -> Record:
        _, deployment, _ = self._endpoints.route(endpoint, None)
        if deployment.queue is None:
            raise ValidationError(
                f"Endpoint {endpoint} is not asynchronous: call InvokeEndpoint instead."
            )
        output: Record = deployment.queue["OutputConfig"]
        return output

    def _enqueue(self, endpoint: str, id: str) -> None:
        concurrency = self._concurrency(endpoint)
        with self._lock:
            queue = self._queues.setdefault(endpoint.lower(), _Queue())
            queue.waiting.append(id)
            starts = queue.working < concurrency
            queue.working += starts
        if starts:
            self._host.background(f"queue of {endpoint}", self._work, queue)

    def _concurrency(self, endpoint: str) -> int:
        try:
            _, deployment, _ = self._endpoints.route(endpoint, None)
        except ValidationError:
            return 1
        client = (deployment.queue or {}).get("ClientConfig", {})
        count: int = client.get("MaxConcurrentInvocationsPerInstance", UNSAID_CONCURRENCY)
        return count

    def _work(self, queue: _Queue) -> None:
        while True:
            with self._lock:
                if self._host.closing.is_set() or not queue.waiting:
                    queue.working -= 1
                    return
                id = queue.waiting.popleft()
            record = self._host.store.find(_KIND, id)
            if record is not None:
                self._finish(record)

    def _finish(self, record: Record) -> None:
        """Answers one request, or says in S3 why not."""
        failure = None
        try:
            place, content = record["OutputLocation"], self._answer(record)
        except (SageMakerError, BotoCoreError, ClientError) as error:
            failure = error.message if isinstance(error, SageMakerError) else str(error)
            place, content = record.get("FailureLocation"), failure.encode()
        if self._host.closing.is_set() and failure is not None:
            # The container was stopped with everything else: the next server asks again.
            return
        if failure is not None:
            logger.info("%s of %s: %s", record["Id"], record["EndpointName"], failure[:500])
        try:
            if place is not None:
                self._host.s3.write(place, content)
        except (BotoCoreError, ClientError) as error:
            if self._host.closing.is_set():
                return
            logger.warning("%s cannot be written: %s", place, error)
        self._host.store.delete(_KIND, record["Id"])

    def _answer(self, record: Record) -> bytes:
        left = record["Created"] + record["RequestTTLSeconds"] - time.time()
        if left <= 0:
            raise _expired(record)
        try:
            answer = self._runtime.ask(
                record["EndpointName"],
                self._input(record),
                {header: record[name] for name, header in _PASSED.items() if name in record},
                target=None,
                seconds=record["InvocationTimeoutSeconds"],
                patience=left,
            )
        except (ModelNotReadyException, ServiceUnavailable):
            raise _expired(record) from None
        return answer.body

    def _input(self, record: Record) -> bytes:
        if "Body" in record:
            return base64.b64decode(record["Body"])
        try:
            body = self._host.s3.read(record["InputLocation"])
        except NothingFound as missing:
            raise ValidationError(f"Could not read the input {missing.uri}.") from None
        if len(body) > LARGEST_INPUT_BYTES:
            raise ValidationError(
                f"The input has {len(body)} bytes, at most {LARGEST_INPUT_BYTES} are taken."
            )
        return body


def _expired(record: Record) -> SageMakerError:
    return ValidationError(
        f"The request waited longer than its RequestTTLSeconds of {record['RequestTTLSeconds']}."
    )

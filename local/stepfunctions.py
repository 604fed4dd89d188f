"""Step Functions' integrations of SageMaker jobs: start, wait, stop when nobody waits."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import botocore.session

from local.cloudformation import Call, coerce
from local.ministack import IntegrationError, Task
from local.sagemaker.errors import SageMakerError

Integration = Callable[[dict[str, Any], bool, Task], dict[str, Any]]

POLL_SECONDS = 0.2
RUNNING = ("InProgress", "Stopping")


@dataclass(frozen=True)
class JobIntegration:
    """`createXJob` and `createXJob.sync` for one kind of job."""

    call: Call
    kind: str

    @property
    def action(self) -> str:
        """The last part of the integration's ARN."""
        return f"create{self.kind}"

    def run(self, request: dict[str, Any], wait: bool, task: Task) -> dict[str, Any]:
        """Start the job; with `wait`, return its description once it completed."""
        shape = _SERVICE_MODEL.operation_model(f"Create{self.kind}").input_shape
        created = self._call(f"Create{self.kind}", coerce(request, shape))
        if not wait:
            return created
        return self._wait({f"{self.kind}Name": request[f"{self.kind}Name"]}, task)

    def _wait(self, identity: dict[str, str], task: Task) -> dict[str, Any]:
        while True:
            job = self._call(f"Describe{self.kind}", identity)
            status = job[f"{self.kind}Status"]
            if status not in RUNNING:
                break
            if task.abandoned():
                self._call(f"Stop{self.kind}", identity)
                return _plain(job)
            time.sleep(POLL_SECONDS)
        if status != "Completed":
            raise IntegrationError("States.TaskFailed", json.dumps(_plain(job)))
        return _plain(job)

    def _call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.call(operation, request)
        except SageMakerError as error:
            known = error.code in ("ResourceInUse", "ResourceLimitExceeded", "ResourceNotFound")
            name = f"{error.code}Exception" if known else "AmazonSageMakerException"
            raise IntegrationError(f"SageMaker.{name}", error.message) from error


def integrations(call: Call) -> list[JobIntegration]:
    """The integrations of all kinds of jobs."""
    return [JobIntegration(call, kind) for kind in ("TrainingJob", "ProcessingJob", "TransformJob")]


def _plain(job: dict[str, Any]) -> dict[str, Any]:
    """The description as JSON; Step Functions gives times as milliseconds."""
    plain: dict[str, Any] = json.loads(json.dumps(job, default=lambda value: _milliseconds(value)))
    return plain


def _milliseconds(value: object) -> int:
    if isinstance(value, datetime):
        return int(value.timestamp() * 1000)
    raise TypeError(f"a job's description holds {value!r}, which JSON cannot carry")


_SERVICE_MODEL = botocore.session.get_session().get_service_model("sagemaker")

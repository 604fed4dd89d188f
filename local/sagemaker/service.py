"""The face of the local SageMaker: control plane calls and invocations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from local.sagemaker import processing_jobs, training_jobs, training_update, transform_jobs
from local.sagemaker.async_invocations import AsyncInvocations
from local.sagemaker.endpoints import Endpoints
from local.sagemaker.errors import UnknownOperationException
from local.sagemaker.host import Host, Platform
from local.sagemaker.jobs import Jobs
from local.sagemaker.models import ENDPOINT_CONFIG, MODEL, PlainResources
from local.sagemaker.pipelines.control import Pipelines
from local.sagemaker.registry import Registry
from local.sagemaker.runtime import Answer, Runtime
from local.sagemaker.store import Record
from local.sagemaker.tags import Tags
from local.sagemaker.tuning.control import TuningJobs
from local.sagemaker.validation import ServiceModel

__all__ = ["Answer", "Platform", "SageMaker"]


class SageMaker:
    """One account's SageMaker in one region."""

    def __init__(self, platform: Platform) -> None:
        self._host = Host.on(platform)
        self._model = ServiceModel()
        self._endpoints = Endpoints(self._host)
        self._runtime = Runtime(self._host, self._endpoints)
        self._queues = AsyncInvocations(self._host, self._endpoints, self._runtime)
        training, processing, transform = self._jobs = [
            Jobs(self._host, kind)
            for kind in (training_jobs.KIND, processing_jobs.KIND, transform_jobs.KIND)
        ]
        self._tuning = TuningJobs(self._host, training, self._model.check)
        self._pipelines = Pipelines(self._host, self.call)
        self._operations: dict[str, Callable[[Record], Record]] = {
            **PlainResources(self._host, MODEL).operations(),
            **PlainResources(self._host, ENDPOINT_CONFIG).operations(),
            **self._endpoints.operations(),
            **training.operations(),
            **processing.operations(),
            **transform.operations(),
            **self._tuning.operations(),
            "UpdateTrainingJob": partial(training_update.update, self._host),
            "DeleteTrainingJob": training.delete,
            "DeleteProcessingJob": processing.delete,
            **Registry(self._host).operations(),
            **self._pipelines.operations(),
            **Tags(self._host).operations(),
        }

    def call(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """One operation of the control plane; raises SageMakerError."""
        self._model.operation(operation)
        run = self._operations.get(operation)
        if run is None:
            raise UnknownOperationException(
                f"{operation} is not implemented by the local SageMaker: it runs "
                f"{', '.join(sorted(self._operations))}"
            )
        self._model.check(operation, request)
        return self._model.answer(operation, run(request))

    def invoke(self, endpoint: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One invocation of an endpoint; blocks until it answers, raises SageMakerError."""
        return self._runtime.invoke(endpoint, body, headers)

    def invoke_async(self, endpoint: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """One asynchronous invocation, taken into the endpoint's queue; raises SageMakerError."""
        return self._queues.invoke(endpoint, body, headers)

    def recover(self) -> None:
        """Finds what an earlier server left; called once, when the platform answers."""
        self._host.children.sweep()
        self._host.store.load()
        for jobs in self._jobs:
            jobs.recover()
        self._tuning.recover()
        self._pipelines.recover()
        self._endpoints.recover()
        self._queues.recover()

    def stop(self) -> None:
        """Ends every child process and waits for it."""
        self._host.closing.set()
        self._endpoints.stop()
        self._host.python.stop()
        self._host.children.stop()
        self._host.logs.stop()

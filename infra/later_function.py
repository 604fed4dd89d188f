"""Answers that come later: the function that waits for an endpoint, and who may ask for them."""

from __future__ import annotations

from aws_cdk import Duration
from constructs import Construct

from infra import access, results
from infra.inference_stack import InferenceStack
from infra.python_function import PythonFunction
from infra.settings import Settings
from infra.storage_stack import StorageStack

# The most that Lambda gives, and as long as an event may wait for the function.
LATER_SECONDS = 900
# A little more than the longest invocation of an endpoint that is not asynchronous.
READ_TIMEOUT_SECONDS = 65


class LaterFunction(Construct):
    """The code of the API once more, as what asks an endpoint when nobody waits."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        settings: Settings,
        storage: StorageStack,
        inference: InferenceStack,
    ) -> None:
        super().__init__(scope, id)
        self._storage, self._inference = storage, inference
        self._later = PythonFunction(
            self,
            "Ask",
            folder="api",
            entry="later.handler",
            description=f"asks the endpoints of {settings.prefix} while nobody waits",
            settings=settings,
            timeout=Duration.seconds(LATER_SECONDS),
            memory_mb=settings.api.function.memory_mb,
            # As the API's function has them, so that both are one zip.
            extras=["traces"] if settings.api.function.traces else [],
            traces=settings.api.function.traces,
            environment={
                "POWERTOOLS_SERVICE_NAME": "later",
                "TRACES": "on" if settings.api.function.traces else "off",
                "MODELS": inference.catalogue,
                "MODEL_PARAMETERS": settings.model_parameters,
                "DATA_BUCKET": storage.data.bucket_name,
                "READ_TIMEOUT_SECONDS": str(READ_TIMEOUT_SECONDS),
            },
        )
        # It repeats what may be repeated itself; all else would run an inference twice.
        self._later.function.configure_async_invoke(
            retry_attempts=0, max_event_age=Duration.seconds(LATER_SECONDS)
        )
        role = self._later.role
        if inference.endpoint_arns:
            access.allow(role, "sagemaker:InvokeEndpoint", on=inference.endpoint_arns)
        access.allow(
            role,
            "ssm:GetParameter",
            on=[access.arn(self, "ssm", f"parameter{settings.model_parameters}*")],
            wildcard_because="the model is named by the call",
        )
        access.grant_objects(storage.data, role, "s3:GetObject", keys=[results.INPUTS])
        writes = [results.CLAIMS, results.OUTCOMES]
        access.grant_objects(storage.data, role, "s3:PutObject", keys=writes)
        access.grant_use_key(storage.key, role)

    def serve(self, front: PythonFunction) -> None:
        """Let the API's function ask for answers that come later, and read them."""
        front.function.add_environment("LATER_FUNCTION", self._later.function.function_name)
        role, data = front.role, self._storage.data
        access.allow(role, "lambda:InvokeFunction", on=[self._later.function.function_arn])
        if arns := self._inference.async_endpoint_arns:
            access.allow(role, "sagemaker:InvokeEndpointAsync", on=arns)
        writes = [results.INPUTS, results.RECORDS]
        access.grant_objects(data, role, "s3:PutObject", keys=writes)
        reads = [results.RECORDS, results.OUTCOMES, results.ANSWERS, results.FAILURES]
        access.grant_objects(data, role, "s3:GetObject", keys=reads)

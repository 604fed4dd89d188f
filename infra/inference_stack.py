"""What serves: every entry of `models`, from the version that its pipeline has approved."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from aws_cdk import CfnCondition, CfnOutput, CfnParameter, Duration, Environment, Fn, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra import access, results
from infra.endpoint_settings import AsyncEndpoint, NoEndpoint
from infra.model_in_service import SMOKE_TEST_SECONDS, ModelInService, Version, Weights
from infra.python_function import PythonFunction
from infra.settings import (
    ArtifactSource,
    PathSource,
    PipelineSource,
    Settings,
    pascal_case,
)
from infra.source_bundle import PROJECT, model_asset
from infra.storage_stack import StorageStack

NOTHING_APPROVED = "none"
STACK_ID = "CloudFormation ends a stack's ARN with an id of its own"


@dataclass(frozen=True)
class Release:
    """The two parameters by which a pipeline's approved version comes in."""

    version: CfnParameter
    model_data: CfnParameter
    approved: CfnCondition


class InferenceStack(Stack):
    """Every model of the stage, and the function that proves their endpoints."""

    def __init__(
        self, scope: Construct, id: str, *, settings: Settings, storage: StorageStack
    ) -> None:
        super().__init__(scope, id, env=Environment(region=settings.region))
        self._settings, self._storage = settings, storage
        # W1030: the default is no S3 URI, but then the condition leaves the model out. W3005 as in
        # .cfnlintrc.yaml, whose list this one replaces.
        self.template_options.metadata = {
            "cfn-lint": {"config": {"ignore_checks": ["W1030", "W3005"]}}
        }
        self.endpoint_arns = [
            access.arn(self, "sagemaker", f"endpoint/{settings.endpoint_name(name)}")
            for name, model in settings.models.items()
            if not isinstance(model.endpoint, NoEndpoint)
        ]
        self.async_endpoint_arns = [
            access.arn(self, "sagemaker", f"endpoint/{settings.endpoint_name(name)}")
            for name, model in settings.models.items()
            if isinstance(model.endpoint, AsyncEndpoint)
        ]
        self.releases = {name: self._release(name) for name in settings.served_pipelines}
        smoke_test = self._smoke_test()
        for name in settings.models:
            ModelInService(
                self,
                pascal_case(name),
                model=name,
                version=self._version(name),
                settings=settings,
                storage=storage,
                smoke_test=smoke_test.function,
            )
        self.catalogue = json.dumps({name: self._entry(name) for name in settings.models})
        CfnOutput(self, "Models", value=self.catalogue)

    def _release(self, pipeline: str) -> Release:
        logical = pascal_case(pipeline)
        version = CfnParameter(
            self,
            f"{logical}Version",
            default=NOTHING_APPROVED,
            description=f"the approved version of {pipeline}; set by the release function",
        )
        model_data = CfnParameter(
            self,
            f"{logical}ModelData",
            default=NOTHING_APPROVED,
            description=f"s3:// of that version's model.tar.gz; {NOTHING_APPROVED} without one",
        )
        nothing = Fn.condition_equals(version.value_as_string, NOTHING_APPROVED)
        approved = CfnCondition(self, f"{logical}Approved", expression=Fn.condition_not(nothing))
        return Release(version=version, model_data=model_data, approved=approved)

    def _version(self, model: str) -> Version:
        own = self._settings.models[model]
        source = own.source
        match source:
            case PipelineSource():
                release = self.releases[source.pipeline]
                below = f"pipelines/{source.pipeline}"
                # As trained, or as packaged: what serves may come from before a change of engines.
                keys = (f"{below}/models/*", f"{below}/runs/*/package/*")
                weights = Weights(bucket=self._storage.artifacts, keys=keys)
                return Version(
                    name=release.version.value_as_string,
                    model_data=release.model_data.value_as_string,
                    weights=weights,
                    approved=release.approved,
                )
            case PathSource():
                asset = model_asset(
                    self,
                    f"{pascal_case(model)}Artifact",
                    source=PROJECT / source.path,
                    with_runtime=own.engine != "torch" and not self._settings.is_local,
                )
                return Version(
                    name=asset.digest[:12],
                    model_data=asset.uri,
                    weights=Weights(bucket=asset.bucket, keys=(asset.key,)),
                    approved=None,
                )
            case ArtifactSource():
                bucket, _, key = source.artifact.removeprefix("s3://").partition("/")
                found = s3.Bucket.from_bucket_name(self, f"{pascal_case(model)}Bucket", bucket)
                return Version(
                    name=hashlib.sha256(source.artifact.encode()).hexdigest()[:12],
                    model_data=source.artifact,
                    weights=Weights(bucket=found, keys=(key,)),
                    approved=None,
                )

    def _smoke_test(self) -> PythonFunction:
        smoke_test = PythonFunction(
            self,
            "SmokeTest",
            folder="smoke",
            description="proves each endpoint with a prediction before a deployment counts",
            settings=self._settings,
            timeout=Duration.seconds(SMOKE_TEST_SECONDS),
            memory_mb=256,
            environment={},
        )
        if self.endpoint_arns:
            access.allow(
                smoke_test.role,
                "sagemaker:DescribeEndpoint",
                "sagemaker:InvokeEndpoint",
                on=self.endpoint_arns,
            )
        if self.async_endpoint_arns:
            self._allow_queueing(smoke_test.role)
        # It asks whether its own stack is rolling back.
        access.allow(
            smoke_test.role,
            "cloudformation:DescribeStacks",
            on=[self.arn],
            wildcard_because=STACK_ID,
        )
        return smoke_test

    def _allow_queueing(self, smoke_test: iam.Role) -> None:
        data = self._storage.data
        access.allow(smoke_test, "sagemaker:InvokeEndpointAsync", on=self.async_endpoint_arns)
        access.grant_write_objects(data, smoke_test, results.SMOKE_TESTS)
        # SageMaker names what it writes; nobody who cannot list finds another's.
        answers = [results.ANSWERS, results.FAILURES]
        access.grant_objects(data, smoke_test, "s3:GetObject", keys=answers)
        access.grant_use_key(self._storage.key, smoke_test)

    @property
    def arn(self) -> str:
        """The ARN of this stack whatever its generated id, for the policies of functions."""
        return access.arn(self, "cloudformation", f"stack/{self.stack_name}/*")

    def _entry(self, name: str) -> dict[str, str | None]:
        model = self._settings.models[name]
        served = not isinstance(model.endpoint, NoEndpoint)
        return {
            "task": model.task,
            "endpoint": self._settings.endpoint_name(name) if served else None,
            "kind": model.endpoint.kind,
            "pipeline": model.pipeline,
            "parameter": self._settings.model_parameter(name),
        }

"""One model in service: Model, EndpointConfig, Endpoint, its proof, and the record of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from aws_cdk import CfnCondition, CfnResource, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk import aws_ssm as ssm
from constructs import Construct

from infra import access, instance_types, results
from infra.endpoint_settings import AsyncEndpoint, NoEndpoint, OnMachines, ServerlessEndpoint
from infra.images import inference_image
from infra.settings import Settings
from infra.storage_stack import RUNS, StorageStack

# An update moves traffic between variants of one name only.
VARIANT = "AllTraffic"
# The defaults' drivers are older than what the image's CUDA 12.4 needs.
GPU_HOSTING_AMI = "al2-ami-sagemaker-inference-gpu-3-1"
GPU_TRANSFORM_AMI = "al2-ami-sagemaker-batch-gpu-535"
SMOKE_TEST_SECONDS = 600
# The container's server ends requests and answers at 6.5 MB when nothing is said.
QUEUE_ENVIRONMENT = {
    "SAGEMAKER_MAX_PAYLOAD_IN_MB": "100",
    "MMS_MAX_RESPONSE_SIZE": str(100 * 1024 * 1024),
}
Resource = TypeVar("Resource", bound=CfnResource)


@dataclass(frozen=True)
class Weights:
    """The objects that may be a model's weights."""

    bucket: s3.IBucket
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Version:
    """Which weights serve, where they lie, and the condition under which there are any."""

    name: str
    model_data: str
    weights: Weights
    approved: CfnCondition | None


class ModelInService(Construct):
    """Everything that makes one entry of `models` answer."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        model: str,
        version: Version,
        settings: Settings,
        storage: StorageStack,
        smoke_test: lambda_.IFunction,
    ) -> None:
        super().__init__(scope, id)
        self._name, self._own = model, settings.models[model]
        self._settings, self._storage, self._version = settings, storage, version
        self._model = self._container()
        record = self._record()
        if not isinstance(self._own.endpoint, NoEndpoint):
            config = self._endpoint_config(self._own.endpoint)
            endpoint = self._endpoint(config)
            proof = self._proof(endpoint, config, smoke_test)
            # The record says what serves, so it waits for the proof.
            record.add_resource_dependency(proof)

    def _container(self) -> sagemaker.CfnModel:
        own, version = self._own, self._version
        role, grants = self._execution_role()
        model = sagemaker.CfnModel(
            self,
            "Model",
            execution_role_arn=role.role_arn,
            # Serverless endpoints do not support isolation.
            enable_network_isolation=not isinstance(own.endpoint, ServerlessEndpoint),
            primary_container=sagemaker.CfnModel.ContainerDefinitionProperty(
                image=inference_image(gpu=own.on_gpu).uri(self._settings.region),
                model_data_url=version.model_data,
                environment=self._environment(),
            ),
        )
        # CreateModel reads the artifact at once, so the role's policy must exist first.
        for grant in grants:
            grant.apply_before(model)
        return self._when_approved(model)

    def _environment(self) -> dict[str, str]:
        own = self._own
        # Torch is what the serving code takes unasked.
        engine = {} if own.engine == "torch" else {"LECTERN_ENGINE": own.engine}
        return {
            "HF_TASK": own.task,
            **engine,
            "LECTERN_MODEL": self._name,
            "LECTERN_MODEL_VERSION": self._version.name,
            # One copy of the weights; the default is one for each processor.
            "SAGEMAKER_MODEL_SERVER_WORKERS": "1",
            **(QUEUE_ENVIRONMENT if isinstance(own.endpoint, AsyncEndpoint) else {}),
        }

    def _execution_role(self) -> tuple[iam.Role, list[iam.Grant]]:
        role = access.sagemaker_role(
            self, "Role", description=f"serves {self._name} and runs its batches"
        )
        weights = self._version.weights
        storage, endpoint = self._storage, self._settings.endpoint_name(self._name)
        return role, [
            access.grant_objects(weights.bucket, role, "s3:GetObject", keys=weights.keys),
            *access.grant_read_objects(storage.data, role, f"{RUNS}*"),
            access.grant_write_objects(storage.data, role, f"{RUNS}*/answers/*"),
            *self._queue_grants(role),
            access.grant_use_key(storage.key, role),
            *access.grant_volume_key(storage.key, role),
            *access.grant_container(
                role,
                images=[inference_image(gpu=self._own.on_gpu)],
                log_groups=[f"Endpoints/{endpoint}", "TransformJobs"],
                kinds=["Endpoints", "TransformJobs"],
            ),
        ]

    def _queue_grants(self, role: iam.Role) -> list[iam.Grant]:
        """Reads what is asked asynchronously, and writes answers and failures."""
        if not isinstance(self._own.endpoint, AsyncEndpoint):
            return []
        data = self._storage.data
        return [
            *access.grant_read_objects(data, role, results.INPUTS),
            access.grant_write_objects(data, role, *results.outputs(self._name)),
        ]

    def _endpoint_config(
        self, endpoint: OnMachines | ServerlessEndpoint
    ) -> sagemaker.CfnEndpointConfig:
        # Serverless capacity has no volume, and a machine's own NVMe takes no key.
        takes_key = isinstance(endpoint, OnMachines) and instance_types.takes_volume_key(
            endpoint.instance_type
        )
        config = sagemaker.CfnEndpointConfig(
            self,
            "EndpointConfig",
            production_variants=[self._variant(endpoint)],
            async_inference_config=self._queue(endpoint)
            if isinstance(endpoint, AsyncEndpoint)
            else None,
            kms_key_id=self._storage.key.key_arn if takes_key else None,
        )
        return self._when_approved(config)

    def _queue(
        self, endpoint: AsyncEndpoint
    ) -> sagemaker.CfnEndpointConfig.AsyncInferenceConfigProperty:
        answers, failures = (
            self._storage.data.s3_url_for_object(keys.removesuffix("/*"))
            for keys in results.outputs(self._name)
        )
        return sagemaker.CfnEndpointConfig.AsyncInferenceConfigProperty(
            output_config=sagemaker.CfnEndpointConfig.AsyncInferenceOutputConfigProperty(
                s3_output_path=answers,
                s3_failure_path=failures,
                kms_key_id=self._storage.key.key_arn,
            ),
            client_config=sagemaker.CfnEndpointConfig.AsyncInferenceClientConfigProperty(
                max_concurrent_invocations_per_instance=endpoint.max_concurrent_requests
            ),
        )

    def _variant(
        self, endpoint: OnMachines | ServerlessEndpoint
    ) -> sagemaker.CfnEndpointConfig.ProductionVariantProperty:
        if isinstance(endpoint, ServerlessEndpoint):
            return sagemaker.CfnEndpointConfig.ProductionVariantProperty(
                variant_name=VARIANT,
                model_name=self._model.attr_model_name,
                initial_variant_weight=1,
                serverless_config=sagemaker.CfnEndpointConfig.ServerlessConfigProperty(
                    memory_size_in_mb=endpoint.memory_mb, max_concurrency=endpoint.max_concurrency
                ),
            )
        return sagemaker.CfnEndpointConfig.ProductionVariantProperty(
            variant_name=VARIANT,
            model_name=self._model.attr_model_name,
            initial_variant_weight=1,
            instance_type=endpoint.instance_type,
            initial_instance_count=endpoint.instances,
            inference_ami_version=GPU_HOSTING_AMI if self._own.on_gpu else None,
        )

    def _endpoint(self, config: sagemaker.CfnEndpointConfig) -> sagemaker.CfnEndpoint:
        endpoint = sagemaker.CfnEndpoint(
            self,
            "Endpoint",
            endpoint_name=self._settings.endpoint_name(self._name),
            endpoint_config_name=config.attr_endpoint_config_name,
        )
        return self._when_approved(endpoint)

    def _proof(
        self,
        endpoint: sagemaker.CfnEndpoint,
        config: sagemaker.CfnEndpointConfig,
        smoke_test: lambda_.IFunction,
    ) -> CfnResource:
        properties = {
            "ServiceToken": smoke_test.function_arn,
            "ServiceTimeout": str(SMOKE_TEST_SECONDS + 60),
            "EndpointName": endpoint.attr_endpoint_name,
            "EndpointConfigName": config.attr_endpoint_config_name,
            "Task": self._own.task,
            "StackName": Stack.of(self).stack_name,
        }
        if isinstance(self._own.endpoint, AsyncEndpoint):
            # Where the sample is put, since a queue takes it from S3.
            samples = results.SMOKE_TESTS.removesuffix("/*")
            properties["Samples"] = self._storage.data.s3_url_for_object(samples)
        proof = CfnResource(
            self,
            "SmokeTest",
            type="Custom::SmokeTest",
            properties=properties,
        )
        return self._when_approved(proof)

    def _record(self) -> ssm.CfnParameter:
        name = self._settings.endpoint_name(self._name)
        document: dict[str, Any] = {
            "model_name": self._model.attr_model_name,
            "version": self._version.name,
            "model_data": self._version.model_data,
            "endpoint": None if isinstance(self._own.endpoint, NoEndpoint) else name,
            "task": self._own.task,
            "batch": self._batch(),
        }
        if isinstance(self._own.endpoint, AsyncEndpoint):
            document["timeout_seconds"] = self._own.endpoint.timeout_seconds
        record = ssm.CfnParameter(
            self,
            "Record",
            type="String",
            name=self._settings.model_parameter(self._name),
            description=f"what serves as {self._name}",
            value=Stack.of(self).to_json_string(document),
        )
        return self._when_approved(record)

    def _batch(self) -> dict[str, Any]:
        """The parts of CreateTransformJob that depend on the model."""
        batch = self._own.batch
        resources: dict[str, Any] = {
            "InstanceType": batch.instance_type,
            "InstanceCount": batch.instance_count,
        }
        if instance_types.takes_volume_key(batch.instance_type):
            resources["VolumeKmsKeyId"] = self._storage.key.key_arn
        if instance_types.has_gpu(batch.instance_type):
            resources["TransformAmiVersion"] = GPU_TRANSFORM_AMI
        return {
            "resources": resources,
            "max_payload_mb": batch.max_payload_mb,
            "max_concurrent_requests": batch.max_concurrent_requests,
        }

    def _when_approved(self, resource: Resource) -> Resource:
        resource.cfn_options.condition = self._version.approved
        return resource

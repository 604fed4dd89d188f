"""One fine-tuning pipeline: the SageMaker pipeline, its registry and its three roles."""

from __future__ import annotations

from aws_cdk import Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sagemaker as sagemaker
from aws_cdk.aws_s3_assets import Asset
from constructs import Construct

from infra import access, instance_types
from infra.encoder_settings import HubBase, PathBase
from infra.endpoint_settings import RealTimeEndpoint
from infra.images import TRAINING, inference_image
from infra.kept import removal_policy
from infra.pipeline_definition import pipeline_definition
from infra.pipeline_jobs import Packaging, Source, Surroundings
from infra.pipeline_training import keeps_checkpoints
from infra.settings import Settings
from infra.source_bundle import PROJECT, SourceAssets, encoder_asset
from infra.storage_stack import StorageStack


class FineTuning(Construct):
    """A pipeline that trains, measures, gates and registers versions of a model."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        pipeline: str,
        settings: Settings,
        storage: StorageStack,
        sources: SourceAssets,
        approved: lambda_.IFunction,
    ) -> None:
        super().__init__(scope, id)
        self._pipeline, self._settings, self._storage = pipeline, settings, storage
        self._sources, self._approved = sources, approved
        self._engines = settings.engines_of(pipeline)
        self._packaging_source = sources.packaging if self._engines else None
        own = self._own = settings.pipelines[pipeline]
        self._encoder = (
            encoder_asset(self, "Encoder", folder=PROJECT / own.base.path)
            if isinstance(own.base, PathBase)
            else None
        )
        self._processing_image = inference_image(
            gpu=instance_types.has_gpu(own.processing_instance_type)
        )
        self._inference_image = inference_image(
            gpu=any(model.on_gpu for model in settings.models_of(pipeline))
        )
        self.registry = sagemaker.CfnModelPackageGroup(
            self, "Registry", model_package_group_name=settings.pipeline_name(pipeline)
        )
        self.registry.apply_removal_policy(removal_policy(settings))
        processing_role, training_role = self._processing_role(), self._training_role()
        pipeline_role, grants = self._pipeline_role(processing_role, training_role)
        stack = Stack.of(self)
        document = pipeline_definition(own, self._surroundings(processing_role, training_role))
        self.pipeline = sagemaker.CfnPipeline(
            self,
            "Pipeline",
            pipeline_name=settings.pipeline_name(pipeline),
            pipeline_definition={"PipelineDefinitionBody": stack.to_json_string(document)},
            role_arn=pipeline_role.role_arn,
        )
        # CreatePipeline checks what its role may pass on, so the role's policy must exist first.
        for grant in grants:
            grant.apply_before(self.pipeline)

    def _surroundings(self, processing_role: iam.Role, training_role: iam.Role) -> Surroundings:
        models, region = self._settings.models_of(self._pipeline), self._settings.region
        endpoints = [model.endpoint for model in models]
        training = self._sources.training
        return Surroundings(
            pipeline=self._pipeline,
            region=region,
            model_package_group=self.registry.model_package_group_name,
            processing_role_arn=processing_role.role_arn,
            training_role_arn=training_role.role_arn,
            processing_image=self._processing_image.uri(region),
            training_image=TRAINING.uri(region),
            inference_image=self._inference_image.uri(region),
            key_arn=self._storage.key.key_arn,
            processing_source=_zipped(self._sources.processing),
            training_source=Source(uri=training.uri, file=training.key),
            encoder=None if self._encoder is None else _zipped(self._encoder),
            packaging=self._packaging(),
            approved_function_arn=self._approved.function_arn,
            artifacts_uri=f"s3://{self._storage.artifacts.bucket_name}",
            serving_instance_types=tuple(
                sorted({e.instance_type for e in endpoints if isinstance(e, RealTimeEndpoint)})
            ),
            transform_instance_types=tuple(sorted({m.batch.instance_type for m in models})),
        )

    def _packaging(self) -> Packaging | None:
        if self._packaging_source is None:
            return None
        return Packaging(source=_zipped(self._packaging_source), int8="onnx-int8" in self._engines)

    def _processing_role(self) -> iam.Role:
        role = access.sagemaker_role(
            self,
            "ProcessingRole",
            description="prepares rows, stages encoders, packages and evaluates models",
        )
        storage, below = self._storage, f"pipelines/{self._pipeline}"
        source = self._sources.processing
        zips = (source, self._packaging_source, self._encoder)
        keys = [zipped.s3_object_key for zipped in zips if zipped is not None]
        access.grant_read_objects(source.bucket, role, *keys)
        access.grant_read_objects(storage.data, role, f"{below}/data/*")
        # Artifacts among them: the trained one, the approved one, one to continue from.
        access.grant_read_objects(storage.artifacts, role, f"{below}/runs/*", f"{below}/models/*")
        access.grant_write_objects(storage.artifacts, role, f"{below}/runs/*")
        access.grant_use_key(storage.key, role)
        access.grant_volume_key(storage.key, role)
        base = self._own.base
        if isinstance(base, HubBase) and base.token_secret is not None:
            access.grant_read_secret(self, role, base.token_secret)
        access.grant_container(
            role,
            images=[self._processing_image],
            log_groups=["ProcessingJobs"],
            kinds=["ProcessingJobs"],
        )
        return role

    def _training_role(self) -> iam.Role:
        role = access.sagemaker_role(self, "TrainingRole", description="trains, without a network")
        storage, below = self._storage, f"pipelines/{self._pipeline}"
        source = self._sources.training
        access.grant_read_objects(source.bucket, role, source.key)
        # An interrupted job begins with the checkpoints that it left.
        checkpoints = [f"checkpoints/{self._pipeline}/*"] if keeps_checkpoints(self._own) else []
        access.grant_read_objects(storage.artifacts, role, f"{below}/runs/*", *checkpoints)
        access.grant_write_objects(storage.artifacts, role, f"{below}/models/*", *checkpoints)
        access.grant_use_key(storage.key, role)
        access.grant_volume_key(storage.key, role)
        access.grant_container(
            role, images=[TRAINING], log_groups=["TrainingJobs"], kinds=["TrainingJobs"]
        )
        return role

    def _pipeline_role(
        self, processing_role: iam.Role, training_role: iam.Role
    ) -> tuple[iam.Role, list[iam.Grant]]:
        role = access.sagemaker_role(self, "PipelineRole", description="starts the pipeline's jobs")
        group = self._settings.pipeline_name(self._pipeline)
        kinds = ["Processing", "Training"]
        names = ["processing-job/pipelines-*", "training-job/pipelines-*"]
        search: list[str] = []
        if self._own.tune is not None:
            kinds.append("HyperParameterTuning")
            # A name of 32 characters has no room for the prefix, and ARNs may be in lower case.
            names.append("hyper-parameter-tuning-job/*-?une-*")
            search.append("sagemaker:ListTrainingJobsForHyperParameterTuningJob")
        jobs = [access.arn(self, "sagemaker", name) for name in names]
        actions = [f"sagemaker:{verb}{kind}Job" for kind in kinds for verb in _JOB_VERBS]
        packages = [
            access.arn(self, "sagemaker", f"model-package/{group}/*"),
            access.arn(self, "sagemaker", f"model-package-group/{group}"),
        ]
        evaluations = f"pipelines/{self._pipeline}/runs/*"
        versions = f"pipelines/{self._pipeline}/models/*"
        grants = [
            access.grant_pass_role(processing_role, role, "sagemaker.amazonaws.com"),
            access.grant_pass_role(training_role, role, "sagemaker.amazonaws.com"),
            access.allow(
                role,
                *_TAG_ACTIONS,
                *actions,
                *search,
                on=jobs,
                wildcard_because="SageMaker names the jobs of a pipeline, by this pattern",
            ),
            access.allow(
                role,
                *_REGISTRY_ACTIONS,
                on=packages,
                wildcard_because="the registry numbers the versions",
            ),
            # The gate reads evaluation.json with this role; CreateModelPackage, as its caller,
            # looks the artifact and the image up.
            access.grant_objects(
                self._storage.artifacts, role, "s3:GetObject", keys=[evaluations, versions]
            ),
            access.grant_use_key(self._storage.key, role),
            access.grant_images(role, self._inference_image),
            access.allow(role, "lambda:InvokeFunction", on=[self._approved.function_arn]),
        ]
        return role, grants


def _zipped(asset: Asset) -> Source:
    return Source(uri=asset.s3_object_url, file=asset.s3_object_key)


_TAG_ACTIONS = ["sagemaker:AddTags", "sagemaker:ListTags"]
_JOB_VERBS = ("Create", "Describe", "Stop")
_REGISTRY_ACTIONS = [
    "sagemaker:AddTags",
    "sagemaker:CreateModelPackage",
    "sagemaker:DescribeModelPackage",
    "sagemaker:DescribeModelPackageGroup",
]

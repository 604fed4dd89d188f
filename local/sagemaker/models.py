"""Models and endpoint configs: what is served, and on what."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from local.sagemaker.containers import INFERENCE_REPOSITORY, check_image, check_one_instance
from local.sagemaker.errors import SageMakerError, ValidationException
from local.sagemaker.host import Host
from local.sagemaker.listing import page
from local.sagemaker.store import Record


@dataclass(frozen=True)
class Plain:
    """A record that is created, described, listed and deleted, and never changes."""

    name: str
    arn_path: str
    label: str
    list_member: str
    check: Callable[[Host, Record], None]


class PlainResources:
    """The operations on one kind of unchanging record."""

    def __init__(self, host: Host, kind: Plain) -> None:
        self._host = host
        self._kind = kind
        self._name = f"{kind.name}Name"
        self._arn = f"{kind.name}Arn"

    def operations(self) -> dict[str, Callable[[Record], Record]]:
        name = self._kind.name
        return {
            f"Create{name}": self.create,
            f"Describe{name}": self.describe,
            f"List{name}s": self.list_all,
            f"Delete{name}": self.delete,
        }

    def create(self, request: Record) -> Record:
        kind, name = self._kind, request[self._name]
        arn = self._host.arn(f"{kind.arn_path}/{name}")
        kind.check(self._host, request)
        with self._host.store.lock:
            if self._host.store.find(kind.name, name) is not None:
                raise ValidationException(f'Cannot create already existing {kind.label} "{arn}".')
            record = {**request, self._arn: arn, "CreationTime": time.time()}
            self._host.store.put(kind.name, name, record)
        return {self._arn: arn}

    def describe(self, request: Record) -> Record:
        return find_plain(self._host, self._kind, request[self._name])

    def list_all(self, request: Record) -> Record:
        found, token = page(self._host.store.all(self._kind.name), request, name=self._name)
        return {self._kind.list_member: found, "NextToken": token}

    def delete(self, request: Record) -> Record:
        with self._host.store.lock:
            record = self.describe(request)
            self._host.store.delete(self._kind.name, record[self._name])
        return {}


def find_plain(host: Host, kind: Plain, name: str) -> Record:
    record = host.store.find(kind.name, name)
    if record is None:
        arn = host.arn(f"{kind.arn_path}/{name}")
        raise ValidationException(f'Could not find {kind.label} "{arn}".')
    return record


def check_model(host: Host, request: Record) -> None:
    """Refuses what this machine cannot serve."""
    serving_container(host, request)


def check_endpoint_config(host: Host, request: Record) -> None:
    """Refuses what this machine cannot serve, and models that do not exist."""
    for member in ("ExplainerConfig", "ShadowProductionVariants"):
        if request.get(member):
            raise _not_run(member)
    if request.get("DataCaptureConfig", {}).get("EnableCapture"):
        raise _not_run("DataCaptureConfig.EnableCapture")
    queue = request.get("AsyncInferenceConfig")
    if queue is not None:
        _check_queue(queue, request["ProductionVariants"])
    names = [variant["VariantName"] for variant in request["ProductionVariants"]]
    if len(set(names)) < len(names):
        raise ValidationException(f"ProductionVariants: variant names must be unique, got {names}")
    for variant in request["ProductionVariants"]:
        _check_variant(host, variant)


def _check_queue(queue: Record, variants: list[Record]) -> None:
    if "S3OutputPath" not in queue["OutputConfig"]:
        raise ValidationException("AsyncInferenceConfig.OutputConfig: S3OutputPath is missing")
    if queue["OutputConfig"].get("NotificationConfig"):
        raise _not_run("AsyncInferenceConfig.OutputConfig.NotificationConfig")
    if any("ServerlessConfig" in variant for variant in variants):
        raise ValidationException("AsyncInferenceConfig is not allowed with ServerlessConfig")


def _check_variant(host: Host, variant: Record) -> None:
    name = variant["VariantName"]
    if "ModelName" not in variant:
        raise _not_run(f"production variant {name!r} without ModelName (inference components)")
    find_plain(host, MODEL, variant["ModelName"])
    serverless = variant.get("ServerlessConfig")
    if serverless is None:
        for member in ("InstanceType", "InitialInstanceCount"):
            if member not in variant:
                raise ValidationException(
                    f"production variant {name!r}: {member} is missing: set it, or ServerlessConfig"
                )
        check_one_instance(variant["InitialInstanceCount"])
        return
    for member in ("InstanceType", "InitialInstanceCount", "VolumeSizeInGB"):
        if member in variant:
            raise ValidationException(
                f"production variant {name!r}: {member} is not allowed with ServerlessConfig"
            )
    if serverless["MemorySizeInMB"] % 1024:
        raise ValidationException(
            f"production variant {name!r}: MemorySizeInMB {serverless['MemorySizeInMB']} must be "
            "one of 1024, 2048, 3072, 4096, 5120, 6144"
        )


def serving_container(host: Host, model: Record) -> dict[str, Any]:
    """The model's one container, taken from its model package where it names one."""
    containers = [*model.get("Containers", [])]
    if "PrimaryContainer" in model:
        containers.append(model["PrimaryContainer"])
    if len(containers) != 1:
        raise _not_run(f"a model of {len(containers)} containers: give PrimaryContainer alone;")
    container: dict[str, Any] = containers[0]
    package_arn = container.get("ModelPackageName")
    if package_arn:
        package = host.store.find("ModelPackage", package_arn.split(":model-package/")[-1])
        if package is None:
            raise ValidationException(f"ModelPackage {package_arn} does not exist.")
        offered = package.get("InferenceSpecification", {}).get("Containers", [])
        if len(offered) != 1:
            raise _not_run(f"model package {package_arn} of {len(offered)} containers")
        environment = {**offered[0].get("Environment", {}), **container.get("Environment", {})}
        container = {**container, **offered[0], "Environment": environment}
    if "Image" not in container:
        raise ValidationException("PrimaryContainer.Image is missing: name it or a model package")
    if container.get("Mode", "SingleModel") != "SingleModel":
        raise _not_run(f"Mode {container['Mode']}")
    check_image(container["Image"], INFERENCE_REPOSITORY)
    return container


def _not_run(what: str) -> SageMakerError:
    return ValidationException(f"{what} is not implemented by the local SageMaker")


MODEL = Plain(
    name="Model", arn_path="model", label="model", list_member="Models", check=check_model
)
ENDPOINT_CONFIG = Plain(
    name="EndpointConfig",
    arn_path="endpoint-config",
    label="endpoint configuration",
    list_member="EndpointConfigs",
    check=check_endpoint_config,
)

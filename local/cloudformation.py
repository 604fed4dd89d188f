"""CloudFormation's providers of the SageMaker types, on the API that a user would call."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import botocore.session
from botocore.model import ListShape, MapShape, Shape, StructureShape

from local import resource_schemas
from local.sagemaker.errors import SageMakerError

Call = Callable[[str, dict[str, Any]], dict[str, Any]]
Properties = dict[str, Any]
Created = tuple[str, dict[str, Any]]

SETTLING = ("Creating", "Updating", "SystemUpdating", "RollingBack", "Deleting")


class ProvisioningFailed(RuntimeError):
    """The resource could not be brought to what the template says."""


@dataclass(frozen=True)
class SageMakerResource:
    """A type of which everything but the tags is create-only, or that has no state to await."""

    call: Call
    kind: str

    @property
    def type_name(self) -> str:
        return f"AWS::SageMaker::{self.kind}"

    @property
    def create_only(self) -> tuple[str, ...]:
        return resource_schemas.create_only(self.type_name)

    def create(self, name: str, properties: Properties) -> Created:
        """Create it under the given name, unless the template names it."""
        resource_schemas.refuse_unknown(self.type_name, properties)
        request = {f"{self.kind}Name": name, **self._request(properties)}
        self._run(f"Create{self.kind}", request)
        return self._identify(request[f"{self.kind}Name"])

    def update(self, physical_id: str, old: Properties, new: Properties) -> Created:
        """Change in place what may change in place."""
        resource_schemas.refuse_unknown(self.type_name, new)
        name = self._name(physical_id)
        self._change(name, old, new)
        self._change_tags(self._arn(name), old, new)
        return self._identify(name)

    def delete(self, physical_id: str, properties: Properties) -> None:
        """Delete it, unless it is gone already."""
        name = self._name(physical_id)
        if self._describe(name) is not None:
            self._run(f"Delete{self.kind}", self._deletion(name))

    def _deletion(self, name: str) -> dict[str, Any]:
        return {f"{self.kind}Name": name}

    def _change(self, name: str, old: Properties, new: Properties) -> None:
        """Nothing but tags: the rest replaces the resource."""

    def _identify(self, name: str) -> Created:
        arn = self._arn(name)
        return arn, {f"{self.kind}Name": name, f"{self.kind}Arn": arn, "Id": arn}

    def _name(self, physical_id: str) -> str:
        return physical_id.rsplit("/", 1)[-1]

    def _arn(self, name: str) -> str:
        arn: str = self._run(f"Describe{self.kind}", {f"{self.kind}Name": name})[f"{self.kind}Arn"]
        return arn

    def _describe(self, name: str) -> dict[str, Any] | None:
        try:
            return self.call(f"Describe{self.kind}", {f"{self.kind}Name": name})
        except SageMakerError:
            return None

    def _request(self, properties: Properties) -> dict[str, Any]:
        request = dict(properties)
        if tags := self._tags(properties):
            request["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        else:
            request.pop("Tags", None)
        return request

    def _tags(self, properties: Properties) -> dict[str, str]:
        system_tags = resource_schemas.takes_system_tags(self.type_name)
        return {
            tag["Key"]: str(tag["Value"])
            for tag in properties.get("Tags", [])
            if system_tags or not tag["Key"].startswith("aws:")
        }

    def _change_tags(self, arn: str, old: Properties, new: Properties) -> None:
        before, after = self._tags(old), self._tags(new)
        if dropped := [key for key in before if key not in after]:
            self._run("DeleteTags", {"ResourceArn": arn, "TagKeys": dropped})
        if changed := {key: value for key, value in after.items() if before.get(key) != value}:
            tags = [{"Key": key, "Value": value} for key, value in changed.items()]
            self._run("AddTags", {"ResourceArn": arn, "Tags": tags})

    def _run(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        shape = _SERVICE_MODEL.operation_model(operation).input_shape
        try:
            return self.call(operation, coerce(request, shape))
        except SageMakerError as error:
            raise ProvisioningFailed(
                f'Resource handler returned message: "{error.message}" '
                f"(Service: SageMaker, Status Code: {error.status}, Error Code: {error.code})"
            ) from error


class EndpointResource(SageMakerResource):
    """An endpoint: created and updated when it serves, failed with its own reason."""

    def create(self, name: str, properties: Properties) -> Created:
        created = super().create(name, properties)
        endpoint = self._settled(self._name(created[0]))
        if endpoint["EndpointStatus"] != "InService":
            # CloudFormation's rollback would delete it: the create of it never counted.
            super().delete(created[0], properties)
            raise ProvisioningFailed(_failure(endpoint))
        return created

    def delete(self, physical_id: str, properties: Properties) -> None:
        name = self._name(physical_id)
        super().delete(physical_id, properties)
        while self._describe(name) is not None:
            time.sleep(0.1)

    def _change(self, name: str, old: Properties, new: Properties) -> None:
        wanted = new["EndpointConfigName"]
        endpoint = self._settled(name)
        if endpoint["EndpointConfigName"] == wanted and endpoint["EndpointStatus"] == "InService":
            return
        request = {
            "EndpointName": name,
            **{key: value for key, value in new.items() if key not in ("EndpointName", "Tags")},
        }
        self._run("UpdateEndpoint", request)
        endpoint = self._settled(name)
        if endpoint["EndpointStatus"] != "InService" or endpoint["EndpointConfigName"] != wanted:
            raise ProvisioningFailed(_failure(endpoint))

    def _request(self, properties: Properties) -> dict[str, Any]:
        # What only an update reads is no member of CreateEndpoint.
        request = super()._request(properties)
        update_only = resource_schemas.read_schema(self.type_name)["writeOnlyProperties"]
        for pointer in update_only:
            request.pop(pointer.removeprefix("/properties/"), None)
        return request

    def _settled(self, name: str) -> dict[str, Any]:
        while True:
            endpoint = self._run("DescribeEndpoint", {"EndpointName": name})
            if endpoint["EndpointStatus"] not in SETTLING:
                return endpoint
            time.sleep(0.1)


class ModelPackageGroupResource(SageMakerResource):
    """A model package group and its policy."""

    def create(self, name: str, properties: Properties) -> Created:
        group = {key: value for key, value in properties.items() if key != _GROUP_POLICY}
        created = super().create(name, group)
        self._change(self._name(created[0]), group, properties)
        return created

    def _change(self, name: str, old: Properties, new: Properties) -> None:
        before, after = old.get(_GROUP_POLICY), new.get(_GROUP_POLICY)
        if before == after:
            return
        identity = {"ModelPackageGroupName": name}
        if after is None:
            self._run("DeleteModelPackageGroupPolicy", identity)
        else:
            self._run("PutModelPackageGroupPolicy", {**identity, "ResourcePolicy": after})

    def _identify(self, name: str) -> Created:
        group = self._run("DescribeModelPackageGroup", {"ModelPackageGroupName": name})
        arn = group["ModelPackageGroupArn"]
        return arn, {
            "ModelPackageGroupArn": arn,
            "ModelPackageGroupStatus": group["ModelPackageGroupStatus"],
            "CreationTime": str(group["CreationTime"]),
        }


class PipelineResource(SageMakerResource):
    """A pipeline: its definition changes in place."""

    def _change(self, name: str, old: Properties, new: Properties) -> None:
        request = self._request(new)
        request.pop("Tags", None)
        del request["ClientRequestToken"]
        self._run("UpdatePipeline", {**request, "PipelineName": name})

    def _request(self, properties: Properties) -> dict[str, Any]:
        request = super()._request(properties)
        definition = request.pop("PipelineDefinition")
        if "PipelineDefinitionBody" in definition:
            request["PipelineDefinition"] = definition["PipelineDefinitionBody"]
        else:
            location = definition["PipelineDefinitionS3Location"]
            request["PipelineDefinitionS3Location"] = {
                "Bucket": location["Bucket"],
                "ObjectKey": location["Key"],
                **({"VersionId": location["Version"]} if "Version" in location else {}),
            }
        request["ClientRequestToken"] = uuid.uuid4().hex
        return request

    def _deletion(self, name: str) -> dict[str, Any]:
        return {"PipelineName": name, "ClientRequestToken": uuid.uuid4().hex}

    def _identify(self, name: str) -> Created:
        return name, {}


def providers(call: Call) -> list[SageMakerResource]:
    """The providers of all SageMaker types that a template may hold here."""
    return [
        SageMakerResource(call, "Model"),
        SageMakerResource(call, "EndpointConfig"),
        EndpointResource(call, "Endpoint"),
        ModelPackageGroupResource(call, "ModelPackageGroup"),
        PipelineResource(call, "Pipeline"),
    ]


def coerce(value: object, shape: Shape | None) -> Any:  # noqa: ANN401 - as its shape says
    """Give a template's value the types of the API: templates often carry numbers as text."""
    if isinstance(shape, StructureShape) and isinstance(value, dict):
        return {name: coerce(member, shape.members.get(name)) for name, member in value.items()}
    if isinstance(shape, ListShape) and isinstance(value, list):
        return [coerce(item, shape.member) for item in value]
    if isinstance(shape, MapShape) and isinstance(value, dict):
        return {str(name): coerce(member, shape.value) for name, member in value.items()}
    if shape is None or not isinstance(value, str | int | float):
        return value
    return _coerce_scalar(value, shape.type_name)


def _coerce_scalar(value: str | float | bool, type_name: str) -> object:
    try:
        if type_name in ("integer", "long"):
            return int(value)
        if type_name in ("float", "double"):
            return float(value)
    except ValueError:
        return value
    if type_name == "boolean" and str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    if type_name == "string" and not isinstance(value, str):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value


def _failure(endpoint: dict[str, Any]) -> str:
    reason = endpoint.get("FailureReason", f"its status is {endpoint['EndpointStatus']}")
    return f"endpoint {endpoint['EndpointName']} is not in service: {reason}"


_GROUP_POLICY = "ModelPackageGroupPolicy"
_SERVICE_MODEL = botocore.session.get_session().get_service_model("sagemaker")

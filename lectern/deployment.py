"""A deployment as it stands in an account: found by its stacks' outputs, asked through boto3."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from lectern.faults import LecternError, UsageError
from lectern.options import Chosen

Client: TypeAlias = Any  # boto3 makes the methods of its clients at run time
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Model:
    """One entry of the inference stack's `Models` output."""

    name: str
    task: str
    kind: str
    endpoint: str | None
    pipeline: str | None
    parameter: str


@dataclass(frozen=True)
class ServedModel:
    """A model with the version and the state in which it serves."""

    model: Model
    state: str
    version: str | None


class Deployment:
    """The stacks `{name}-{stage}-*` of one account and region."""

    def __init__(self, *, name: str, stage: str) -> None:
        self.name = name
        self.stage = stage
        self._clients: dict[str, Client] = {}
        self._outputs: dict[str, dict[str, str]] = {}

    def client(self, service: str) -> Client:
        """A boto3 client, built once."""
        if service not in self._clients:
            build: Client = boto3.client  # its types know services by literal names only
            # InvokeEndpoint may take 60 s, and a retry would run the inference again.
            config = (
                Config(read_timeout=70, retries={"total_max_attempts": 1})
                if service == "sagemaker-runtime"
                else Config(retries={"total_max_attempts": 5, "mode": "standard"})
            )
            self._clients[service] = build(service, config=config)
        return self._clients[service]

    @property
    def poll_seconds(self) -> float:
        """How long to wait before asking again.

        AWS counts requests; the local AWS does not, but answers on the cores that train.
        """
        return 5.0 if self.is_on_aws else 1.0

    @cached_property
    def is_on_aws(self) -> bool:
        """Whether the endpoint in use is AWS's own."""
        url: str = self.client("cloudformation").meta.endpoint_url
        return ".amazonaws.com" in url

    def stack_name(self, part: str) -> str:
        """The full name of the stack `part`."""
        return f"{self.name}-{self.stage}-{part}"

    def outputs(self, part: str) -> dict[str, str]:
        """The outputs of the stack `part`; raises when it is not deployed."""
        if part not in self._outputs:
            stack = self.stack(part)
            self._outputs[part] = {
                output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])
            }
        return self._outputs[part]

    def stack(self, part: str) -> dict[str, Any]:
        """The description of the stack `part`; raises when it is not deployed."""
        name = self.stack_name(part)
        try:
            [stack] = self.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" not in error.response["Error"].get("Message", ""):
                raise
            raise LecternError(
                f"stack {name} is not deployed: deploy it with `lectern deploy`, "
                "or name another deployment with --stage, --name or --local"
            ) from error
        found: dict[str, Any] = stack
        return found

    @cached_property
    def models(self) -> dict[str, Model]:
        """Every model by name."""
        entries: dict[str, dict[str, Any]] = json.loads(self.outputs("inference")["Models"])
        return {
            name: Model(
                name=name,
                task=entry["task"],
                kind=entry["kind"],
                endpoint=entry["endpoint"],
                pipeline=entry["pipeline"],
                parameter=entry["parameter"],
            )
            for name, entry in entries.items()
        }

    def model(self, name: str) -> Model:
        """The model called `name`."""
        return _one("model", name, self.models)

    def pipeline(self, name: str) -> dict[str, str]:
        """The SageMaker names `pipeline` and `group` of the pipeline called `name`."""
        pipelines: dict[str, dict[str, str]] = json.loads(self.outputs("training")["Pipelines"])
        return _one("pipeline", name, pipelines)

    def record(self, model: Model) -> dict[str, Any] | None:
        """The record of the version in service, written once its smoke test passed."""
        try:
            answer = self.client("ssm").get_parameter(Name=model.parameter)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ParameterNotFound":
                return None
            raise
        found: dict[str, Any] = json.loads(answer["Parameter"]["Value"])
        return found

    def served(self, model: Model) -> ServedModel:
        """The model's version and state: SageMaker's, or NotDeployed, or BatchOnly."""
        record = self.record(model)
        return ServedModel(
            model=model,
            state=self._state(model, record),
            version=None if record is None else str(record["version"]),
        )

    def api_url(self) -> str:
        """The base URL of the HTTP API, without a slash at its end."""
        outputs = self.outputs("api")
        if self.is_on_aws:
            return outputs["ApiUrl"].rstrip("/")
        endpoint_url = self.client("cloudformation").meta.endpoint_url.rstrip("/")
        return f"{endpoint_url}/restapis/{outputs['ApiId']}/{outputs['ApiStage']}/_user_request_"

    def api_key(self) -> str:
        """The value of the API's key."""
        answer = self.client("apigateway").get_api_key(
            apiKey=self.outputs("api")["ApiKeyId"], includeValue=True
        )
        value: str = answer["value"]
        return value

    def _state(self, model: Model, record: dict[str, Any] | None) -> str:
        if model.kind == "none":
            return "NotDeployed" if record is None else "BatchOnly"
        name = (record or {}).get("endpoint") or model.endpoint
        if name is None:
            return "NotDeployed"
        try:
            described = self.client("sagemaker").describe_endpoint(EndpointName=name)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("ValidationException", "ResourceNotFound"):
                return "NotDeployed"
            raise
        status: str = described["EndpointStatus"]
        # Without a record the endpoint has not passed its smoke test yet.
        return "Creating" if record is None and status == "InService" else status


def connect(chosen: Chosen) -> Deployment:
    """The deployment that the options name, in the local AWS or the environment's account."""
    if chosen.local:
        use_local_aws()
    return Deployment(name=chosen.name, stage=chosen.stage)


def use_local_aws() -> None:
    """Point this process and its children at the running local AWS."""
    from lectern.local import running_environment

    environment = running_environment()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(environment)


def _one(kind: str, name: str, known: dict[str, Entry]) -> Entry:
    if name not in known:
        names = ", ".join(sorted(known)) or "none"
        raise UsageError(f"{kind}: there is no {name!r}, this deployment has: {names}")
    return known[name]

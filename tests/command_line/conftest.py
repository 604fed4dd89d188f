"""A deployment's stacks on MiniStack, with a stand-in for SageMaker, and the command line on both."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from lectern import cli
from tests.functions.stand_ins import (
    ACCESS_KEY_ID,
    SECRET_ACCESS_KEY,
    Refusal,
    SageMaker,
    credentials,
    ministack,
)

DATA_BUCKET = "lectern-test-data"
ARTIFACT_BUCKET = "lectern-test-artifacts"
PARAMETER = "/lectern/test/models/tickets"
MODELS = {
    "tickets": {
        "task": "text-classification",
        "endpoint": "lectern-test-tickets",
        "kind": "real-time",
        "pipeline": "tickets",
        "parameter": PARAMETER,
    },
    "nightly": {
        "task": "text-classification",
        "endpoint": None,
        "kind": "none",
        "pipeline": None,
        "parameter": "/lectern/test/models/nightly",
    },
}
PIPELINES = {"tickets": {"pipeline": "lectern-test-tickets", "group": "lectern-test-tickets"}}


@dataclass
class Finished:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Lectern = Callable[..., Finished]


@pytest.fixture(scope="session")
def ministack_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with ministack(tmp_path_factory.mktemp("ministack")) as url:
        yield url


@pytest.fixture
def sagemaker() -> Iterator[SageMaker]:
    stand_in = SageMaker()
    yield stand_in
    stand_in.close()


@pytest.fixture
def aws(
    ministack_url: str, sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Any]:
    for name, value in credentials(ministack_url, sagemaker).items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("LECTERN_STAGE", "test")
    return boto3.client


@pytest.fixture
def lectern(
    aws: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Lectern:
    """Runs one command in this process, from its words to its exit code."""

    def run(*words: str) -> Finished:
        monkeypatch.setattr(sys, "argv", ["lectern", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        shown = capsys.readouterr()
        code = ended.value.code
        return Finished(0 if code is None else int(code), shown.out, shown.err)

    return run


@pytest.fixture(scope="session")
def stacks(ministack_url: str) -> None:
    """The deployment's stacks with their outputs."""

    def aws(service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=ministack_url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY_ID,
            aws_secret_access_key=SECRET_ACCESS_KEY,
        )

    for bucket in (DATA_BUCKET, ARTIFACT_BUCKET):
        aws("s3").create_bucket(Bucket=bucket)
    key = aws("apigateway").create_api_key(name="clients", value="k" * 24, enabled=True)
    outputs = {
        "storage": {"DataBucketName": DATA_BUCKET, "ArtifactBucketName": ARTIFACT_BUCKET},
        "training": {"Pipelines": json.dumps(PIPELINES)},
        "inference": {"Models": json.dumps(MODELS)},
        "api": {
            "ApiUrl": "https://abc.execute-api.us-east-1.amazonaws.com/v1/",
            "ApiId": "abc",
            "ApiStage": "live",
            "ApiKeyId": key["id"],
        },
    }
    for part, values in outputs.items():
        name = f"lectern-test-{part}"
        aws("cloudformation").create_stack(StackName=name, TemplateBody=template(values))
        at_rest(aws, name)


@pytest.fixture
def deployed(
    stacks: None, aws: Callable[[str], Any], sagemaker: SageMaker
) -> Iterator[Callable[[str], Any]]:
    """The deployment while no version of `tickets` is in service."""
    sagemaker.operations["DescribeEndpoint"] = absent_endpoint
    yield aws
    aws("ssm").delete_parameters(Names=[PARAMETER])


def template(outputs: dict[str, str], **resources: dict[str, Any]) -> str:
    placeholder = {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": "x"}}
    return json.dumps(
        {
            "Resources": {"Placeholder": placeholder, **resources},
            "Outputs": {name: {"Value": value} for name, value in outputs.items()},
        }
    )


def at_rest(aws: Callable[[str], Any], name: str) -> None:
    deadline = time.monotonic() + 15
    while True:
        [stack] = aws("cloudformation").describe_stacks(StackName=name)["Stacks"]
        if not stack["StackStatus"].endswith("_IN_PROGRESS"):
            return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def absent_endpoint(asked: dict[str, Any]) -> Any:
    raise Refusal("ValidationException", f'Could not find endpoint "{asked["EndpointName"]}".')


def serve_version(
    aws: Callable[[str], Any], sagemaker: SageMaker, version: str, status: str = "InService"
) -> None:
    """What a finished release leaves: the record and the endpoint."""
    record = {"version": version, "endpoint": "lectern-test-tickets", "task": "text-classification"}
    aws("ssm").put_parameter(
        Name=PARAMETER, Value=json.dumps(record), Type="String", Overwrite=True
    )
    sagemaker.operations["DescribeEndpoint"] = lambda asked: {
        "EndpointName": asked["EndpointName"],
        "EndpointStatus": status,
    }

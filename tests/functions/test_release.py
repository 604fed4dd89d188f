"""The release function: the newest approved version becomes the stack's parameters."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import ModuleType
from typing import Any

import pytest

from tests.functions.stand_ins import Context, SageMaker, function, serve

GROUP = "lectern-test-tickets"
TEMPLATE = {
    "Parameters": {
        name: {"Type": "String", "Default": "none"}
        for name in ("TicketsVersion", "TicketsModelData", "ReviewsVersion", "ReviewsModelData")
    },
    "Conditions": {"Approved": {"Fn::Not": [{"Fn::Equals": [{"Ref": "TicketsVersion"}, "none"]}]}},
    "Resources": {
        "Always": {
            "Type": "AWS::SSM::Parameter",
            "Properties": {"Type": "String", "Value": "x"},
        },
        "Record": {
            "Type": "AWS::SSM::Parameter",
            "Condition": "Approved",
            "Properties": {"Type": "String", "Value": {"Ref": "TicketsModelData"}},
        },
    },
}


@pytest.fixture
def stack(aws: Callable[[str], Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """A deployed inference stack, no version released."""
    name = f"inference-{uuid.uuid4().hex[:8]}"
    aws("cloudformation").create_stack(StackName=name, TemplateBody=json.dumps(TEMPLATE))
    monkeypatch.setenv("STACK_NAME", name)
    pipelines = {GROUP: {"version": "TicketsVersion", "model_data": "TicketsModelData"}}
    monkeypatch.setenv("PIPELINES", json.dumps(pipelines))
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "release")
    settled(aws, name)
    return name


@pytest.fixture
def release(stack: str) -> Iterator[ModuleType]:
    with function("release") as module:
        yield module


def settled(aws: Callable[[str], Any], name: str) -> dict[str, Any]:
    """The stack's parameters, once it is at rest."""
    deadline = time.monotonic() + 15
    while True:
        [found] = aws("cloudformation").describe_stacks(StackName=name)["Stacks"]
        if not found["StackStatus"].endswith("_IN_PROGRESS"):
            assert found["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
            return {p["ParameterKey"]: p["ParameterValue"] for p in found["Parameters"]}
        assert time.monotonic() < deadline
        time.sleep(0.05)


def register(sagemaker: SageMaker, approved: dict[int, dict[str, Any]]) -> None:
    """The group's approved packages, by version."""

    def arn(version: int) -> str:
        return f"arn:aws:sagemaker:us-east-1:123456789012:model-package/{GROUP}/{version}"

    def list_packages(asked: dict[str, Any]) -> dict[str, Any]:
        assert asked["ModelPackageGroupName"] == GROUP
        assert asked["ModelApprovalStatus"] == "Approved"
        summaries = [
            {"ModelPackageArn": arn(version), "ModelPackageVersion": version}
            for version in approved
        ]
        # Two pages, so that the newest may be on the second.
        if "NextToken" in asked:
            return {"ModelPackageSummaryList": summaries[1:]}
        return {"ModelPackageSummaryList": summaries[:1], "NextToken": "more"}

    def describe(asked: dict[str, Any]) -> dict[str, Any]:
        version = int(asked["ModelPackageName"].rpartition("/")[2])
        return {
            "ModelPackageArn": arn(version),
            "ModelPackageVersion": version,
            "InferenceSpecification": {"Containers": [{"Image": "image", **approved[version]}]},
        }

    sagemaker.operations["ListModelPackages"] = list_packages
    sagemaker.operations["DescribeModelPackage"] = describe


def message(group: str = GROUP) -> dict[str, Any]:
    event = {
        "detail-type": "SageMaker Model Package State Change",
        "detail": {"ModelPackageGroupName": group, "ModelApprovalStatus": "Approved"},
    }
    return {"Records": [{"messageId": "m", "body": json.dumps(event)}]}


def uri(version: int) -> dict[str, str]:
    return {"ModelDataUrl": f"s3://artifacts/{version}/model.tar.gz"}


def test_the_highest_approved_version_reaches_the_stack_and_the_others_stay(
    release: ModuleType, stack: str, aws: Callable[[str], Any], sagemaker: SageMaker
) -> None:
    register(sagemaker, {9: uri(9), 10: uri(10)})
    release.handler(message(), Context())
    assert settled(aws, stack) == {
        "TicketsVersion": "10",
        "TicketsModelData": "s3://artifacts/10/model.tar.gz",
        "ReviewsVersion": "none",
        "ReviewsModelData": "none",
    }
    resources = aws("cloudformation").describe_stack_resources(StackName=stack)["StackResources"]
    assert {resource["LogicalResourceId"] for resource in resources} == {"Always", "Record"}


def test_rejecting_what_serves_falls_back_to_the_newest_still_approved(
    release: ModuleType, stack: str, aws: Callable[[str], Any], sagemaker: SageMaker
) -> None:
    for approved in ({1: uri(1), 2: uri(2)}, {1: uri(1)}):
        register(sagemaker, approved)
        release.handler(message(), Context())
        parameters = settled(aws, stack)
    assert parameters["TicketsVersion"] == "1"


def test_a_message_that_comes_twice_changes_nothing_the_second_time(
    release: ModuleType, stack: str, aws: Callable[[str], Any], sagemaker: SageMaker
) -> None:
    register(sagemaker, {1: uri(1)})
    release.handler(message(), Context())
    settled(aws, stack)
    before = events(aws, stack)
    release.handler(message(), Context())
    settled(aws, stack)
    assert events(aws, stack) == before


def test_without_an_approved_version_what_serves_is_kept(
    release: ModuleType, stack: str, aws: Callable[[str], Any], sagemaker: SageMaker
) -> None:
    register(sagemaker, {1: uri(1)})
    release.handler(message(), Context())
    settled(aws, stack)
    register(sagemaker, {})
    release.handler(message(), Context())
    assert settled(aws, stack)["TicketsVersion"] == "1"


def test_a_group_of_somebody_else_is_left_alone(
    release: ModuleType, stack: str, aws: Callable[[str], Any]
) -> None:
    before = events(aws, stack)
    release.handler(message(group="another-group"), Context())
    assert events(aws, stack) == before


@pytest.mark.parametrize("container", [{}, {"ModelDataUrl": ""}, {"ModelDataUrl": "https://x/y"}])
def test_a_package_without_model_data_is_refused_with_its_name(
    release: ModuleType,
    stack: str,
    aws: Callable[[str], Any],
    sagemaker: SageMaker,
    container: dict[str, Any],
) -> None:
    register(sagemaker, {4: container})
    with pytest.raises(release.ReleaseRefusedError, match=rf"{GROUP}/4: .*ModelDataUrl"):
        release.handler(message(), Context())
    assert settled(aws, stack)["TicketsVersion"] == "none"


def test_a_stack_without_the_parameters_is_refused(
    release: ModuleType, sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipelines = {GROUP: {"version": "OthersVersion", "model_data": "OthersModelData"}}
    monkeypatch.setenv("PIPELINES", json.dumps(pipelines))
    register(sagemaker, {1: uri(1)})
    with pytest.raises(release.ReleaseRefusedError, match="OthersModelData, OthersVersion"):
        release.handler(message(), Context())


@pytest.mark.parametrize("status", ["UPDATE_IN_PROGRESS", "UPDATE_COMPLETE"])
def test_a_busy_stack_brings_the_message_back(
    release: ModuleType, sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    """Busy when it is looked at, or busy by the time of the update."""
    register(sagemaker, {1: uri(1)})
    refusal = "Stack:arn is in UPDATE_IN_PROGRESS state and can not be updated."
    with CloudFormation(status, refusal) as busy:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", busy.url)
        with pytest.raises(release.StackBusyError, match="UPDATE_IN_PROGRESS"):
            release.handler(message(), Context())


@pytest.mark.parametrize(
    ("status", "raises"), [("UPDATE_COMPLETE", False), ("UPDATE_IN_PROGRESS", True)]
)
def test_a_stack_with_the_version_is_not_updated_but_waited_for_while_it_moves(
    release: ModuleType,
    sagemaker: SageMaker,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    raises: bool,
) -> None:
    """An update under way may still be rolled back, so only a stack at rest settles the matter."""
    register(sagemaker, {1: uri(1)})
    parameters = {"TicketsVersion": "1", "TicketsModelData": uri(1)["ModelDataUrl"]}
    with CloudFormation(status, "not asked for", **parameters) as stack:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", stack.url)
        with pytest.raises(release.StackBusyError) if raises else nullcontext():
            release.handler(message(), Context())
        assert stack.updates == 0


def test_no_updates_to_perform_is_a_success(
    release: ModuleType, sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(sagemaker, {1: uri(1)})
    with CloudFormation("UPDATE_COMPLETE", "No updates are to be performed.") as quiet:
        monkeypatch.setenv("AWS_ENDPOINT_URL_CLOUDFORMATION", quiet.url)
        release.handler(message(), Context())
        assert quiet.updates == 1


def events(aws: Callable[[str], Any], stack: str) -> list[str]:
    found = aws("cloudformation").describe_stack_events(StackName=stack)["StackEvents"]
    return [event["EventId"] for event in found]


class CloudFormation:
    """A stack in the state that cannot be had at will; its update is refused."""

    def __init__(self, status: str, refusal: str, **parameters: str) -> None:
        parameters = {"TicketsVersion": "none", "TicketsModelData": "none"} | parameters
        self.updates = 0
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                asked = self.rfile.read(int(self.headers["content-length"])).decode()
                if "Action=DescribeStacks" in asked:
                    code, body = 200, _stack(status, parameters)
                else:
                    stand_in.updates += 1
                    error = f"<Code>ValidationError</Code><Message>{refusal}</Message>"
                    code, body = 400, f"<ErrorResponse><Error>{error}</Error></ErrorResponse>"
                self.send_response(code)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> CloudFormation:
        serve(self._server)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()


def _stack(status: str, parameters: dict[str, str]) -> str:
    members = "".join(
        f"<member><ParameterKey>{name}</ParameterKey>"
        f"<ParameterValue>{value}</ParameterValue></member>"
        for name, value in parameters.items()
    )
    return (
        "<DescribeStacksResponse><DescribeStacksResult><Stacks><member>"
        f"<StackName>s</StackName><StackStatus>{status}</StackStatus>"
        f"<Parameters>{members}</Parameters>"
        "</member></Stacks></DescribeStacksResult></DescribeStacksResponse>"
    )

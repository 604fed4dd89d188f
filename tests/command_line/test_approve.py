"""`lectern approve` and `reject`: which version, and the release watched to its end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.command_line.conftest import MODELS, Lectern, at_rest, serve_version, template
from tests.functions.stand_ins import SageMaker

Aws = Callable[[str], Any]
STACK = "lectern-test-inference"
GROUP = "arn:aws:sagemaker:us-east-1:123456789012:model-package/lectern-test-tickets"
PATIENCE = ("--timeout-seconds", "20")
PENDING, APPROVED, REJECTED = "PendingManualApproval", "Approved", "Rejected"
BROKEN = {
    "Type": "Custom::SmokeTest",
    "Properties": {"ServiceToken": "arn:aws:lambda:us-east-1:123456789012:function:missing"},
}
Registry = Callable[..., dict[int, str]]


@pytest.fixture
def registry(deployed: Aws, sagemaker: SageMaker) -> Registry:
    """Holds versions; a decision on one starts `release`, as the event on AWS does."""

    def hold(versions: dict[int, str], release: Callable[[], None] | None = None) -> dict[int, str]:
        def list_packages(_: Any) -> dict[str, Any]:
            return {
                "ModelPackageSummaryList": [
                    {
                        "ModelPackageArn": f"{GROUP}/{version}",
                        "ModelPackageVersion": version,
                        "ModelApprovalStatus": status,
                        "ModelPackageStatus": "Completed",
                        "CreationTime": 1.7e9,
                    }
                    for version, status in versions.items()
                ]
            }

        def update(asked: dict[str, Any]) -> dict[str, Any]:
            version = int(asked["ModelPackageArn"].rpartition("/")[2])
            versions[version] = asked["ModelApprovalStatus"]
            if release is not None:
                threading.Timer(0.5, release).start()
            return {"ModelPackageArn": asked["ModelPackageArn"]}

        sagemaker.operations["ListModelPackages"] = list_packages
        sagemaker.operations["UpdateModelPackage"] = update
        return versions

    return hold


def update_stack(aws: Aws, **resources: dict[str, Any]) -> None:
    body = template({"Models": json.dumps(MODELS)}, **resources)
    aws("cloudformation").update_stack(StackName=STACK, TemplateBody=body)
    at_rest(aws, STACK)


def test_the_newest_pending_version_is_approved_and_waited_for(
    lectern: Lectern, registry: Registry, deployed: Aws, sagemaker: SageMaker
) -> None:
    def release() -> None:
        update_stack(deployed, NewRecord=ssm_parameter("record"))
        serve_version(deployed, sagemaker, "10")

    versions = registry({8: APPROVED, 9: PENDING, 10: PENDING}, release)
    ended = lectern("approve", "tickets", *PATIENCE)
    assert ended.code == 0
    assert versions == {8: APPROVED, 9: PENDING, 10: APPROVED}
    assert "version 10 of tickets is in service: tickets" in ended.out
    assert "NewRecord" in ended.err, "the stack's events are shown"


def test_waiting_ends_only_when_the_endpoint_is_in_service_with_that_version(
    lectern: Lectern, registry: Registry, deployed: Aws, sagemaker: SageMaker
) -> None:
    serve_version(deployed, sagemaker, "1")
    in_service = threading.Event()

    def release() -> None:
        serve_version(deployed, sagemaker, "2", status="Updating")
        time.sleep(1)
        in_service.set()
        serve_version(deployed, sagemaker, "2")

    registry({2: PENDING}, release)
    document = lectern("approve", "tickets", "--json", *PATIENCE).json
    assert in_service.is_set()
    assert document["models"] == {"tickets": {"state": "InService", "version": "2"}}


def test_a_release_that_rolls_back_fails_with_the_stacks_reason(
    lectern: Lectern, registry: Registry, deployed: Aws, sagemaker: SageMaker
) -> None:
    serve_version(deployed, sagemaker, "1")
    registry({2: PENDING}, lambda: update_stack(deployed, Broken=BROKEN))
    ended = lectern("approve", "tickets", *PATIENCE)
    assert ended.code == 1
    assert "rolled back (UPDATE_ROLLBACK_COMPLETE)" in ended.err
    assert "Broken: " in ended.err.splitlines()[-1]
    assert "function:missing' not found" in ended.err.splitlines()[-1]


def test_a_rollback_of_the_past_is_no_failure_of_this_release(
    lectern: Lectern, registry: Registry, deployed: Aws, sagemaker: SageMaker
) -> None:
    update_stack(deployed, Broken=BROKEN)
    registry({1: PENDING}, lambda: serve_version(deployed, sagemaker, "1"))
    assert lectern("approve", "tickets", *PATIENCE).code == 0


def test_a_release_that_never_comes_ends_at_the_timeout(
    lectern: Lectern, registry: Registry
) -> None:
    registry({1: PENDING})
    ended = lectern("approve", "tickets", "--timeout-seconds", "1")
    assert ended.code == 1
    assert "did not reach tickets within 1 s" in ended.err


def test_approving_an_older_version_says_what_serves(
    lectern: Lectern, registry: Registry, deployed: Aws, sagemaker: SageMaker
) -> None:
    serve_version(deployed, sagemaker, "2")
    registry({1: PENDING, 2: APPROVED})
    document = lectern("approve", "tickets", "--version", "1", "--json", *PATIENCE).json
    assert (document["version"], document["newest_approved"]) == ("1", "2")


def test_rejecting_what_serves_waits_for_the_one_before(
    lectern: Lectern, registry: Registry, deployed: Aws, sagemaker: SageMaker
) -> None:
    serve_version(deployed, sagemaker, "2")
    versions = registry({1: APPROVED, 2: APPROVED}, lambda: serve_version(deployed, sagemaker, "1"))
    ended = lectern("reject", "tickets", "--version", "2", *PATIENCE)
    assert (ended.code, versions[2]) == (0, REJECTED)
    assert "version 1 of tickets is in service" in ended.out


def test_rejecting_the_last_version_keeps_what_serves(lectern: Lectern, registry: Registry) -> None:
    versions = registry({1: PENDING})
    ended = lectern("reject", "tickets")
    assert (ended.code, versions[1]) == (0, REJECTED)
    assert "what serves is kept" in ended.out


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("no version of tickets waits for a decision", ("approve", "tickets")),
        ("no version 7, it has: 1", ("approve", "tickets", "--version", "7")),
    ],
)
def test_a_version_that_is_not_there_is_refused(
    lectern: Lectern, registry: Registry, told: str, words: tuple[str, ...]
) -> None:
    registry({1: APPROVED})
    ended = lectern(*words)
    assert ended.code == 2
    assert told in ended.err


def ssm_parameter(value: str) -> dict[str, Any]:
    return {"Type": "AWS::SSM::Parameter", "Properties": {"Type": "String", "Value": value}}

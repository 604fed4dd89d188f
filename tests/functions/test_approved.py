"""The function that says which version of a group is in service: the newest that is approved."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.functions.stand_ins import Context, SageMaker, function

GROUP = "lectern-test-tickets"
NOTHING = "s3://assets/scripts.zip"
EVENT = {"group": GROUP, "otherwise": NOTHING}


@pytest.fixture
def approved(
    aws: Callable[[str], Any], sagemaker: SageMaker, monkeypatch: pytest.MonkeyPatch
) -> Iterator[ModuleType]:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "approved")
    with function("approved") as module:
        yield module


def register(sagemaker: SageMaker, versions: dict[int, dict[str, Any]]) -> list[dict[str, Any]]:
    """Approved versions, listed one on a page; returns what the registry is asked for."""
    asked: list[dict[str, Any]] = []

    def list_packages(request: dict[str, Any]) -> dict[str, Any]:
        asked.append(request)
        page = int(request.get("NextToken", 0))
        found = [
            {"ModelPackageArn": f"arn:package/{GROUP}/{v}", "ModelPackageVersion": v}
            for v in versions
        ][page : page + 1]
        more = {"NextToken": str(page + 1)} if page + 1 < len(versions) else {}
        return {"ModelPackageSummaryList": found, **more}

    def describe(request: dict[str, Any]) -> dict[str, Any]:
        version = int(request["ModelPackageName"].rpartition("/")[2])
        return {
            "ModelPackageArn": request["ModelPackageName"],
            "InferenceSpecification": {"Containers": [{"Image": "image", **versions[version]}]},
        }

    sagemaker.operations["ListModelPackages"] = list_packages
    sagemaker.operations["DescribeModelPackage"] = describe
    return asked


def uri(version: int) -> dict[str, str]:
    return {"ModelDataUrl": f"s3://artifacts/{version}/model.tar.gz"}


def test_the_highest_approved_version_is_told_by_number_and_not_by_text(
    approved: ModuleType, sagemaker: SageMaker
) -> None:
    asked = register(sagemaker, {9: uri(9), 10: uri(10), 2: uri(2)})
    assert approved.handler(EVENT, Context()) == {
        "ModelDataUri": "s3://artifacts/10/model.tar.gz",
        "Version": "10",
    }
    assert len(asked) == 3
    for request in asked:
        assert request["ModelPackageGroupName"] == GROUP
        assert request["ModelApprovalStatus"] == "Approved"


def test_without_an_approved_version_the_caller_gets_back_what_it_named(
    approved: ModuleType, sagemaker: SageMaker
) -> None:
    register(sagemaker, {})
    assert approved.handler(EVENT, Context()) == {"ModelDataUri": NOTHING, "Version": "none"}


@pytest.mark.parametrize("container", [{}, {"ModelDataUrl": "https://elsewhere/model.tar.gz"}])
def test_a_version_without_an_artifact_ends_the_run_with_its_name_and_a_way_out(
    approved: ModuleType, sagemaker: SageMaker, container: dict[str, str]
) -> None:
    register(sagemaker, {3: container})
    with pytest.raises(approved.NotComparableError) as error:
        approved.handler(EVENT, Context())
    assert f"arn:package/{GROUP}/3: a comparison needs a container" in str(error.value)
    assert str(error.value).endswith("register the version with its model.tar.gz, or reject it")

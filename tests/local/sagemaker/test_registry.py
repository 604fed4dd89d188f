from __future__ import annotations

import pytest

from local.sagemaker import SageMakerError

CONTAINERS = {"Containers": [{"Image": "x", "ModelDataUrl": "s3://bucket/model.tar.gz"}]}


@pytest.fixture(scope="module")
def group(lab):
    lab.call("CreateModelPackageGroup", {"ModelPackageGroupName": "Reviews"})
    for _ in range(2):
        lab.call(
            "CreateModelPackage",
            {"ModelPackageGroupName": "Reviews", "InferenceSpecification": CONTAINERS},
        )
    return "Reviews"


def arn(version):
    return f"arn:aws:sagemaker:us-east-1:123456789012:model-package/Reviews/{version}"


def test_packages_are_numbered_and_wait_for_approval(lab, group):
    listed = lab.call("ListModelPackages", {"ModelPackageGroupName": group})
    packages = listed["ModelPackageSummaryList"]
    assert [item["ModelPackageArn"] for item in packages] == [arn(1), arn(2)]
    assert {item["ModelApprovalStatus"] for item in packages} == {"PendingManualApproval"}


def test_an_approval_is_stored_listed_and_told(lab, group):
    lab.platform.events.clear()
    lab.call(
        "UpdateModelPackage",
        {
            "ModelPackageArn": arn(2),
            "ModelApprovalStatus": "Approved",
            "ApprovalDescription": "good figures",
            "CustomerMetadataProperties": {"by": "a person"},
        },
    )
    package = lab.call("DescribeModelPackage", {"ModelPackageName": arn(2)})
    assert package["ApprovalDescription"] == "good figures"
    assert package["CustomerMetadataProperties"] == {"by": "a person"}
    approved = lab.call(
        "ListModelPackages",
        {"ModelPackageGroupName": group, "ModelApprovalStatus": "Approved"},
    )["ModelPackageSummaryList"]
    assert [item["ModelPackageVersion"] for item in approved] == [2]
    ((kind, detail, resources),) = lab.platform.events
    assert kind == "SageMaker Model Package State Change"
    assert detail["ModelApprovalStatus"] == "Approved"
    assert detail["ModelPackageGroupName"] == group
    assert detail["ModelPackageVersion"] == 2
    assert detail["UpdatedModelPackageFields"] == [
        "ModelApprovalStatus",
        "ApprovalDescription",
        "CustomerMetadataProperties",
    ]
    assert resources == [arn(2)]


def test_a_deleted_version_number_is_not_given_again(lab):
    lab.call("CreateModelPackageGroup", {"ModelPackageGroupName": "numbers"})
    request = {"ModelPackageGroupName": "numbers", "InferenceSpecification": CONTAINERS}
    first = lab.call("CreateModelPackage", request)["ModelPackageArn"]
    with pytest.raises(SageMakerError, match="still contains Model Packages") as held:
        lab.call("DeleteModelPackageGroup", {"ModelPackageGroupName": "numbers"})
    assert held.value.code == "ConflictException"
    lab.call("DeleteModelPackage", {"ModelPackageName": first})
    second = lab.call("CreateModelPackage", request)["ModelPackageArn"]
    assert second.endswith("numbers/2")
    lab.call("DeleteModelPackage", {"ModelPackageName": second})
    lab.call("DeleteModelPackageGroup", {"ModelPackageGroupName": "numbers"})
    with pytest.raises(SageMakerError, match="does not exist"):
        lab.describe("ModelPackageGroup", "numbers")


def test_groups_are_unique_and_packages_need_one(lab, group):
    with pytest.raises(SageMakerError, match="Model Package Group already exists"):
        lab.call("CreateModelPackageGroup", {"ModelPackageGroupName": group})
    with pytest.raises(SageMakerError, match="does not exist"):
        lab.call("CreateModelPackage", {"ModelPackageGroupName": "nobody"})
    with pytest.raises(SageMakerError, match=r"ModelPackage .*/9 does not exist"):
        lab.call("DescribeModelPackage", {"ModelPackageName": arn(9)})


def test_tags_are_added_listed_and_deleted(lab, group):
    owner = {"ResourceArn": arn(1)}
    tags = [{"Key": "team", "Value": "a"}, {"Key": "cost", "Value": "b"}]
    lab.call("AddTags", {**owner, "Tags": tags})
    lab.call("AddTags", {**owner, "Tags": [{"Key": "team", "Value": "c"}]})
    lab.call("DeleteTags", {**owner, "TagKeys": ["cost"]})
    assert lab.call("ListTags", owner)["Tags"] == [{"Key": "team", "Value": "c"}]
    with pytest.raises(SageMakerError, match="Could not find resource"):
        lab.call("ListTags", {"ResourceArn": arn(9)})

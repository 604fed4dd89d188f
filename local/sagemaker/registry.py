"""The model registry: groups, and in them numbered packages with an approval status."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from local.sagemaker.errors import ConflictException, ValidationException
from local.sagemaker.events import event_detail
from local.sagemaker.host import Host
from local.sagemaker.listing import page
from local.sagemaker.store import Record

_GROUP = "ModelPackageGroup"
_PACKAGE = "ModelPackage"


class Registry:
    """Groups and packages."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._store = host.store

    def operations(self) -> dict[str, Callable[[Record], Record]]:
        return {
            "CreateModelPackageGroup": self.create_group,
            "DescribeModelPackageGroup": self.describe_group,
            "ListModelPackageGroups": self.list_groups,
            "DeleteModelPackageGroup": self.delete_group,
            "CreateModelPackage": self.create_package,
            "DescribeModelPackage": self.describe_package,
            "ListModelPackages": self.list_packages,
            "UpdateModelPackage": self.update_package,
            "DeleteModelPackage": self.delete_package,
        }

    def create_group(self, request: Record) -> Record:
        name = request["ModelPackageGroupName"]
        arn = self._host.arn(f"model-package-group/{name}")
        with self._store.lock:
            if self._store.find(_GROUP, name) is not None:
                raise ValidationException(f"Model Package Group already exists: {arn}")
            record = {
                **request,
                "ModelPackageGroupArn": arn,
                "ModelPackageGroupStatus": "Completed",
                "CreationTime": time.time(),
                "CreatedBy": {},
                "lastVersion": 0,
            }
            self._store.put(_GROUP, name, record)
        return {"ModelPackageGroupArn": arn}

    def describe_group(self, request: Record) -> Record:
        return self._group(request["ModelPackageGroupName"])

    def list_groups(self, request: Record) -> Record:
        found, token = page(
            self._store.all(_GROUP), request, name="ModelPackageGroupName", order="Ascending"
        )
        return {"ModelPackageGroupSummaryList": found, "NextToken": token}

    def delete_group(self, request: Record) -> Record:
        with self._store.lock:
            group = self._group(request["ModelPackageGroupName"])
            if self._packages(group["ModelPackageGroupName"]):
                raise ConflictException(
                    f"Model Package Group {group['ModelPackageGroupArn']} cannot be deleted "
                    "because it still contains Model Packages: delete them first"
                )
            self._store.delete(_GROUP, group["ModelPackageGroupName"])
        return {}

    def create_package(self, request: Record) -> Record:
        if "ModelPackageGroupName" not in request:
            raise ValidationException(
                "ModelPackageGroupName is missing: the local SageMaker keeps versioned packages "
                "only"
            )
        with self._store.lock:
            group = self._group(request["ModelPackageGroupName"])
            name = group["ModelPackageGroupName"]
            version = group["lastVersion"] + 1
            self._store.put(_GROUP, name, {**group, "lastVersion": version})
            arn = self._host.arn(f"model-package/{name}/{version}")
            now = time.time()
            record = {
                "ModelApprovalStatus": "PendingManualApproval",
                **request,
                "ModelPackageGroupName": name,
                "ModelPackageArn": arn,
                "ModelPackageVersion": version,
                "ModelPackageStatus": "Completed",
                "ModelPackageStatusDetails": {
                    "ValidationStatuses": [],
                    "ImageScanStatuses": [],
                },
                "CreationTime": now,
                "LastModifiedTime": now,
                "CreatedBy": {},
            }
            self._store.put(_PACKAGE, f"{name}/{version}", record)
        self._emit(record, [])
        return {"ModelPackageArn": arn}

    def describe_package(self, request: Record) -> Record:
        return self._package(request["ModelPackageName"])

    def list_packages(self, request: Record) -> Record:
        packages = self._store.all(_PACKAGE)
        if "ModelPackageGroupName" in request:
            group = self._group(request["ModelPackageGroupName"])
            packages = self._packages(group["ModelPackageGroupName"])
        if "ModelApprovalStatus" in request:
            status = request["ModelApprovalStatus"]
            packages = [item for item in packages if item["ModelApprovalStatus"] == status]
        found, token = page(packages, request, name="ModelPackageGroupName", order="Ascending")
        return {"ModelPackageSummaryList": found, "NextToken": token}

    def update_package(self, request: Record) -> Record:
        changed = [name for name in request if name not in ("ModelPackageArn", "ClientToken")]

        def edit(record: Record) -> None:
            given = {name: request[name] for name in changed}
            metadata = record.get("CustomerMetadataProperties", {})
            metadata |= given.pop("CustomerMetadataProperties", {})
            for key in given.pop("CustomerMetadataPropertiesToRemove", []):
                metadata.pop(key, None)
            added = given.pop("AdditionalInferenceSpecificationsToAdd", [])
            record.update(given, LastModifiedTime=time.time(), LastModifiedBy={})
            if metadata:
                record["CustomerMetadataProperties"] = metadata
            if added:
                record.setdefault("AdditionalInferenceSpecifications", []).extend(added)

        package = self._package(request["ModelPackageArn"])
        after = self._store.change(_PACKAGE, _package_key(package["ModelPackageArn"]), edit)
        if after is None:
            raise self._missing_package(request["ModelPackageArn"])
        self._emit(after, changed)
        return {"ModelPackageArn": after["ModelPackageArn"]}

    def delete_package(self, request: Record) -> Record:
        package = self._package(request["ModelPackageName"])
        self._store.delete(_PACKAGE, _package_key(package["ModelPackageArn"]))
        self._emit({**package, "ModelPackageStatus": "Deleting"}, [])
        return {}

    def _packages(self, group: str) -> list[Record]:
        return [
            item for item in self._store.all(_PACKAGE) if item["ModelPackageGroupName"] == group
        ]

    def _group(self, name_or_arn: str) -> Record:
        name = name_or_arn.split(":model-package-group/")[-1]
        group = self._store.find(_GROUP, name)
        if group is None:
            arn = self._host.arn(f"model-package-group/{name}")
            raise ValidationException(f"Model Package Group {arn} does not exist.")
        return group

    def _package(self, arn: str) -> Record:
        package = self._store.find(_PACKAGE, _package_key(arn))
        if package is None:
            raise self._missing_package(arn)
        return package

    def _missing_package(self, arn: str) -> ValidationException:
        return ValidationException(f"ModelPackage {arn} does not exist.")

    def _emit(self, record: Record, changed: list[str]) -> None:
        detail: dict[str, Any] = event_detail(record)
        detail["ModelPackageName"] = _package_key(record["ModelPackageArn"])
        if changed:
            detail["UpdatedModelPackageFields"] = changed
        self._host.emit("Model Package State Change", detail, record["ModelPackageArn"])


def _package_key(arn: str) -> str:
    return arn.split(":model-package/")[-1]

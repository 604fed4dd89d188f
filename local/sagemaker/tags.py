"""Tags, kept in the record of what they are on."""

from __future__ import annotations

from collections.abc import Callable

from local.sagemaker.errors import ResourceLimitExceeded, ValidationException
from local.sagemaker.host import Host
from local.sagemaker.listing import cut
from local.sagemaker.store import Record

_MOST_TAGS = 50
_KINDS = (
    "Model",
    "EndpointConfig",
    "Endpoint",
    "TrainingJob",
    "ProcessingJob",
    "TransformJob",
    "HyperParameterTuningJob",
    "ModelPackageGroup",
    "ModelPackage",
    "Pipeline",
)


class Tags:
    """AddTags, ListTags and DeleteTags."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def operations(self) -> dict[str, Callable[[Record], Record]]:
        return {"AddTags": self.add, "ListTags": self.list_all, "DeleteTags": self.delete}

    def add(self, request: Record) -> Record:
        def merge(tags: dict[str, str]) -> None:
            tags.update({tag["Key"]: tag["Value"] for tag in request["Tags"]})

        return {"Tags": self._edit(request["ResourceArn"], merge)}

    def list_all(self, request: Record) -> Record:
        kind, key = self._owner(request["ResourceArn"])
        record = self._host.store.find(kind, key) or {}
        found, token = cut(record.get("Tags", []), request)
        return {"Tags": found, "NextToken": token}

    def delete(self, request: Record) -> Record:
        def drop(tags: dict[str, str]) -> None:
            for key in request["TagKeys"]:
                tags.pop(key, None)

        self._edit(request["ResourceArn"], drop)
        return {}

    def _edit(self, arn: str, change: Callable[[dict[str, str]], None]) -> list[Record]:
        kind, key = self._owner(arn)
        result: list[Record] = []

        def edit(record: Record) -> None:
            tags = {tag["Key"]: tag["Value"] for tag in record.get("Tags", [])}
            change(tags)
            if len(tags) > _MOST_TAGS:
                raise ResourceLimitExceeded(
                    f"{arn} would have {len(tags)} tags: the most is {_MOST_TAGS}"
                )
            result.extend({"Key": name, "Value": value} for name, value in tags.items())
            record["Tags"] = result

        self._host.store.change(kind, key, edit)
        return result

    def _owner(self, arn: str) -> tuple[str, str]:
        resource = arn.split(":", 5)[-1]
        path, _, key = resource.partition("/")
        kind = "".join(word.capitalize() for word in path.split("-"))
        if kind == "Endpoint":
            key = key.lower()
        record = self._host.store.find(kind, key) if kind in _KINDS else None
        if record is None or record[f"{kind}Arn"] != arn:
            raise ValidationException(f"Could not find resource {arn}: nothing to tag")
        return kind, key

"""UpdateTrainingJob: the settings that may change while a job runs."""

from __future__ import annotations

import time

from local.sagemaker.errors import ValidationException
from local.sagemaker.host import Host
from local.sagemaker.store import Record
from local.sagemaker.training_jobs import KIND


def update(host: Host, request: Record) -> Record:
    """Keeps the new profiler and debugging settings; nothing here profiles or debugs."""
    if "ResourceConfig" in request:
        raise ValidationException(
            "ResourceConfig.KeepAlivePeriodInSeconds is not implemented by the local SageMaker: "
            "it keeps no warm pools"
        )

    def edit(record: Record) -> None:
        status = record[KIND.status]
        if status != "InProgress":
            raise ValidationException(
                f"The request was rejected because the training job is in status {status}."
            )
        for name in ("ProfilerConfig", "RemoteDebugConfig"):
            if name in request:
                record[name] = {**record.get(name, {}), **request[name]}
        if "ProfilerRuleConfigurations" in request:
            record["ProfilerRuleConfigurations"] = request["ProfilerRuleConfigurations"]
        record["LastModifiedTime"] = time.time()

    name = request["TrainingJobName"]
    changed = host.store.change(KIND.name, name, edit)
    if changed is None:
        raise KIND.missing(name)
    return {"TrainingJobArn": changed["TrainingJobArn"]}

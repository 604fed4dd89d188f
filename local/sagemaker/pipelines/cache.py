"""Step caching: which earlier run of a step may stand in for a new one."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from local.sagemaker.pipelines.definition import Step
from local.sagemaker.store import Record

_KEYS = {
    "Processing": ("AppSpecification", "Environment", "ProcessingInputs"),
    "Tuning": ("HyperParameterTuningJobConfig", "TrainingJobDefinition"),
    "Training": (
        "AlgorithmSpecification",
        "CheckpointConfig",
        "DebugHookConfig",
        "DebugRuleConfigurations",
        "Environment",
        "HyperParameters",
        "InputDataConfig",
    ),
}


def cache_key(step: Step, arguments: dict[str, Any]) -> str:
    """A digest of the resolved arguments that decide a step's result."""
    deciding = {name: arguments[name] for name in _KEYS[step.type] if name in arguments}
    if "TrainingJobDefinition" in deciding:
        definition = dict(deciding["TrainingJobDefinition"])
        definition.pop("OutputDataConfig", None)
        deciding["TrainingJobDefinition"] = definition
    return hashlib.sha256(json.dumps(deciding, sort_keys=True).encode()).hexdigest()


def earlier_run(step: Step, key: str, executions: list[Record]) -> tuple[str, Record] | None:
    """The newest run that is still valid: its execution's ARN and its step record."""
    if step.cache_expiry is None:
        return None
    oldest = time.time() - step.cache_expiry.total_seconds()
    runs = [
        (execution["PipelineExecutionArn"], found)
        for execution in executions
        if (found := execution["steps"].get(step.name)) is not None
        and found["StepStatus"] == "Succeeded"
        and found.get("cacheKey") == key
        and "CacheHitResult" not in found
        and found["EndTime"] > oldest
    ]
    return max(runs, key=lambda run: float(run[1]["EndTime"]), default=None)

"""What each type of pipeline step does."""

from __future__ import annotations

import secrets
import string
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from local.sagemaker.errors import SageMakerError
from local.sagemaker.host import Host
from local.sagemaker.pipelines.cache import cache_key, earlier_run
from local.sagemaker.pipelines.conditions import holds
from local.sagemaker.pipelines.definition import Step
from local.sagemaker.pipelines.functions import FunctionFailed, call_function, outputs
from local.sagemaker.pipelines.references import Values, text
from local.sagemaker.store import Json, Record

_LONGEST_JOB_NAME = 63
_LONGEST_TUNING_JOB_NAME = 32
_JOB_KINDS = {
    "Processing": "ProcessingJob",
    "Training": "TrainingJob",
    "Tuning": "HyperParameterTuningJob",
}
_LOOK_SECONDS = 0.25
_LETTERS = string.ascii_letters + string.digits


class StepFailed(Exception):
    """The step ends as Failed, for this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason[:3072]


class StepStopped(Exception):
    """The step was stopped with its execution."""


class Closing(Exception):
    """The server stops; the next one reports what was interrupted."""


class Recorder(Protocol):
    """Writes members into the step's record."""

    def __call__(self, **members: Json) -> None: ...


@dataclass(frozen=True)
class StepRun:
    """One step at work."""

    host: Host
    call: Callable[[str, Record], Record]
    step: Step
    execution: Record
    execution_id: str
    values: Values
    stopping: threading.Event
    record: Recorder


def run_job(run: StepRun) -> Record:
    """A Processing, Training or Tuning step: its properties are the finished job's description."""
    kind = _JOB_KINDS[run.step.type]
    name = _name(run)
    arguments = run.values.resolved(run.step.arguments, {f"{kind}Name": name})
    if run.step.type == "Tuning":
        arguments.get("TrainingJobDefinition", {}).setdefault("RoleArn", run.execution["role"])
    else:
        arguments.setdefault("RoleArn", run.execution["role"])
    if run.step.cache_expiry is not None:
        key = cache_key(run.step, arguments)
        run.record(cacheKey=key)
        executions = [
            item
            for item in run.host.store.all("PipelineExecution")
            if item["PipelineArn"] == run.execution["PipelineArn"]
        ]
        earlier = earlier_run(run.step, key, executions)
        if earlier is not None:
            source, found = earlier
            run.record(
                CacheHitResult={"SourcePipelineExecutionArn": source},
                Metadata=found["Metadata"],
            )
            properties: Record = found["properties"]
            return properties
    arn = _created(run, f"Create{kind}", {**arguments, f"{kind}Name": name})[f"{kind}Arn"]
    run.record(Metadata={f"{run.step.type}Job": {"Arn": arn}})
    properties = _finished(run, kind, name)
    if run.step.type == "Tuning":
        asked = {
            "HyperParameterTuningJobName": name,
            "SortBy": "FinalObjectiveMetricValue",
            "SortOrder": _best_first(arguments),
        }
        properties |= run.call("ListTrainingJobsForHyperParameterTuningJob", asked)
    return properties


def invoke(run: StepRun) -> Record:
    """A Lambda step: its properties are the outputs that it names."""
    arn = text(run.values.resolved(run.step.function))
    payload = run.values.resolved(run.step.arguments)
    run.record(Metadata={"Lambda": {"Arn": arn}})
    try:
        found = outputs(call_function(run.host.cloud, arn, payload), run.step.outputs)
    except FunctionFailed as failure:
        raise StepFailed(str(failure)) from None
    shown = [{"Name": name, "Value": text(value)} for name, value in found.items()]
    run.record(Metadata={"Lambda": {"Arn": arn, "OutputParameters": shown}})
    return {"OutputParameters": found}


def register_model(run: StepRun) -> Record:
    """A RegisterModel step: its properties are the package's description."""
    arguments = run.values.resolved(run.step.arguments)
    arn = _created(run, "CreateModelPackage", arguments)["ModelPackageArn"]
    run.record(Metadata={"RegisterModel": {"Arn": arn}})
    return run.call("DescribeModelPackage", {"ModelPackageName": arn})


def decide(run: StepRun) -> Record:
    """A Condition step: true when every condition holds."""
    resolved = run.values.resolved(run.step.arguments["Conditions"])
    outcome = "True" if all(holds(condition) for condition in resolved) else "False"
    run.record(Metadata={"Condition": {"Outcome": outcome}})
    return {"Outcome": outcome}


def fail(run: StepRun) -> Record:
    """A Fail step: ends the execution with its message."""
    message = text(run.values.resolved(run.step.arguments.get("ErrorMessage", "")))
    run.record(Metadata={"Fail": {"ErrorMessage": message}})
    raise StepFailed(message)


def _best_first(arguments: Record) -> str:
    objective = arguments["HyperParameterTuningJobConfig"]["HyperParameterTuningJobObjective"]
    return "Descending" if objective["Type"] == "Maximize" else "Ascending"


def _name(run: StepRun) -> str:
    if run.step.type == "Tuning":
        return tuning_job_name(run.execution_id, run.step.name)
    return job_name(run.execution_id, run.step.name)


def tuning_job_name(execution_id: str, step: str) -> str:
    """`<execution>-<step>-<random>` within the 32 characters of a tuning job's name."""
    ending = "".join(secrets.choice(_LETTERS) for _ in range(10))
    room = _LONGEST_TUNING_JOB_NAME - len(f"{execution_id}--{ending}")
    middle = step.replace("_", "-")[:room].strip("-")
    return "-".join(part for part in (execution_id, middle, ending) if part)


def job_name(execution_id: str, step: str) -> str:
    """`pipelines-<execution>-<step>-<random>`, the step's name cut to what a job name allows."""
    ending = "".join(secrets.choice(_LETTERS) for _ in range(10))
    room = _LONGEST_JOB_NAME - len(f"pipelines-{execution_id}--{ending}")
    middle = step.replace("_", "-")[:room].strip("-")
    return f"pipelines-{execution_id}-{middle}-{ending}"


def _created(run: StepRun, operation: str, arguments: Record) -> Record:
    try:
        return run.call(operation, arguments)
    except SageMakerError as error:
        raise StepFailed(
            f"ClientError: Failed to invoke sagemaker:{operation}. Error Details: {error.message}"
        ) from None


def _finished(run: StepRun, kind: str, name: str) -> Record:
    asked_to_stop = False
    while True:
        job = run.call(f"Describe{kind}", {f"{kind}Name": name})
        status = job[f"{kind}Status"]
        if run.host.closing.is_set():
            raise Closing
        if status == "Completed":
            return job
        if status == "Failed":
            raise StepFailed(job.get("FailureReason", f"{kind} {name} failed"))
        if status == "Stopped":
            if run.stopping.is_set():
                raise StepStopped
            why = job.get("SecondaryStatus", "Stopped")
            raise StepFailed(f"ClientError: {kind} {name} was stopped ({why})")
        if run.stopping.is_set() and not asked_to_stop and status == "InProgress":
            asked_to_stop = True
            _stop(run, kind, name)
        time.sleep(_LOOK_SECONDS)


def _stop(run: StepRun, kind: str, name: str) -> None:
    try:
        run.call(f"Stop{kind}", {f"{kind}Name": name})
    except SageMakerError:
        # It ended between the look and the stop; the next look sees how.
        return


RUNNERS: dict[str, Callable[[StepRun], Record]] = {
    "Processing": run_job,
    "Training": run_job,
    "Tuning": run_job,
    "Lambda": invoke,
    "RegisterModel": register_model,
    "Condition": decide,
    "Fail": fail,
}

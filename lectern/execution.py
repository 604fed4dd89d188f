"""Follows one pipeline execution: its steps, the metrics as they are logged, and what came out."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from lectern import tuning
from lectern.deployment import Client, Deployment
from lectern.output import Output

TRAINING_LOGS = "/aws/sagemaker/TrainingJobs"
PROCESSING_LOGS = "/aws/sagemaker/ProcessingJobs"
METRIC_LINE = re.compile(r"METRIC (\w+)=([0-9.eE+-]+)")
RUNNING = ("Starting", "Executing", "Stopping")


@dataclass(frozen=True)
class Execution:
    """A run that is over."""

    arn: str
    status: str
    failure: str | None
    gate_refused: bool
    evaluation: dict[str, Any] | None
    training_metrics: dict[str, float]
    best: dict[str, Any] | None
    model_package: str | None

    @property
    def version(self) -> str | None:
        """The version that the run registered."""
        return None if self.model_package is None else self.model_package.rpartition("/")[2]


@dataclass
class LogTail:
    """What the training jobs have logged since it was last read."""

    logs: Client
    _tokens: dict[str, str] = field(default_factory=dict)
    _unfinished: dict[str, dict[str, str]] = field(default_factory=dict)

    def evaluations(self, job: str, *, over: bool) -> list[dict[str, str]]:
        """The metrics by the moment of their logging: each moment names the epoch last.

        A moment of which only a part is logged waits for the rest until the job is over.
        """
        moments = [self._unfinished.pop(job, {})]
        for name, value in self.metrics(job):
            if name in moments[-1] or "epoch" in moments[-1]:
                moments.append({})
            moments[-1][name] = value
        if moments[-1] and "epoch" not in moments[-1] and not over:
            self._unfinished[job] = moments.pop()
        return [moment for moment in moments if moment]

    def metrics(self, job: str) -> list[tuple[str, str]]:
        """The metrics that the job's streams have gained, in order."""
        try:
            streams = self.logs.describe_log_streams(
                logGroupName=TRAINING_LOGS, logStreamNamePrefix=f"{job}/"
            )["logStreams"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return []
            raise
        return [
            (match[1], match[2])
            for stream in streams
            for line in self._lines(stream["logStreamName"])
            for match in METRIC_LINE.finditer(line)
        ]

    def _lines(self, stream: str) -> list[str]:
        lines: list[str] = []
        while True:
            token = self._tokens.get(stream)
            page = self.logs.get_log_events(
                logGroupName=TRAINING_LOGS,
                logStreamName=stream,
                startFromHead=True,
                **({"nextToken": token} if token else {}),
            )
            lines += [event["message"] for event in page["events"]]
            self._tokens[stream] = page["nextForwardToken"]
            if not page["events"]:
                return lines


def follow(deployment: Deployment, arn: str, output: Output) -> Execution:
    """Tell each step and metric as it comes; returns the run once it is over."""
    sagemaker = deployment.client("sagemaker")
    tail = LogTail(deployment.client("logs"))
    watch = tuning.TuningWatch(sagemaker)
    told: dict[str, str] = {}
    with output.working("running") as tell:
        while True:
            described = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
            steps = _steps(sagemaker, arn)
            for step in steps:
                if step["StepStatus"] in RUNNING:
                    _tell_start(step, told, output, tell)
                _tell_metrics(step, tail, output, tell)
                _tell_tuning(step, watch, told, output, tell)
                if step["StepStatus"] not in RUNNING:
                    _tell_end(step, told, output)
            if described["PipelineExecutionStatus"] not in RUNNING:
                return _outcome(deployment, described, steps)
            time.sleep(deployment.poll_seconds)


def _steps(sagemaker: Client, arn: str) -> list[dict[str, Any]]:
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(
        PipelineExecutionArn=arn, SortOrder="Ascending"
    )
    return [step for page in pages for step in page["PipelineExecutionSteps"]]


def _tell_start(
    step: dict[str, Any], told: dict[str, str], output: Output, tell: Callable[[str], None]
) -> None:
    """A line for the step that has more to tell; that another one runs only shows."""
    name, status = step["StepName"], step["StepStatus"]
    if told.get(name) == status:
        return
    if {"TrainingJob", "TuningJob"} & set(step.get("Metadata", {})):
        told[name] = status
        output.say(f"{name:<10} {status}")
    else:
        tell(f"{name}  {status}")


def _tell_end(step: dict[str, Any], told: dict[str, str], output: Output) -> None:
    name, status = step["StepName"], step["StepStatus"]
    if told.get(name) == status:
        return
    told[name] = status
    line = f"{name:<10} {status}"
    if "CacheHitResult" in step:
        line += " (as before, from the cache)"
    elif "EndTime" in step and "StartTime" in step:
        line += f" after {(step['EndTime'] - step['StartTime']).total_seconds():.0f} s"
    if step.get("FailureReason"):
        line += f": {step['FailureReason']}"
    output.say(line)


def _tell_metrics(
    step: dict[str, Any], tail: LogTail, output: Output, tell: Callable[[str], None]
) -> None:
    """Keep a line for each evaluation; what is logged every few steps only shows for the moment."""
    job = _job(step, "TrainingJob")
    if job is None or "CacheHitResult" in step:
        return
    for line in tail.evaluations(job, over=step["StepStatus"] not in RUNNING):
        shown = "  ".join(f"{name} {float(value):.4g}" for name, value in line.items())
        if any(name.startswith("eval_") for name in line):
            output.say(f"           {shown}")
        else:
            tell(f"{step['StepName']}  {shown}")


def _tell_tuning(
    step: dict[str, Any],
    watch: tuning.TuningWatch,
    told: dict[str, str],
    output: Output,
    tell: Callable[[str], None],
) -> None:
    job = _job(step, "TuningJob")
    over = told.get(step["StepName"]) == step["StepStatus"] and step["StepStatus"] not in RUNNING
    if job is not None and "CacheHitResult" not in step and not over:
        watch.tell(job, output, tell)


def _outcome(
    deployment: Deployment, described: dict[str, Any], steps: list[dict[str, Any]]
) -> Execution:
    by_name = {step["StepName"]: step for step in steps}
    refusal = next((s["Metadata"]["Fail"] for s in steps if "Fail" in s.get("Metadata", {})), None)
    packages = [
        step["Metadata"]["RegisterModel"]["Arn"]
        for step in steps
        if "RegisterModel" in step.get("Metadata", {}) and step["StepStatus"] == "Succeeded"
    ]
    best = _best(deployment, by_name.get("Tune"))
    return Execution(
        arn=described["PipelineExecutionArn"],
        status=described["PipelineExecutionStatus"],
        failure=_failure(deployment, described, steps, refusal),
        gate_refused=refusal is not None,
        evaluation=_evaluation(deployment, by_name.get("Evaluate")),
        training_metrics=_training_metrics(deployment, by_name.get("Train"), best),
        best=best,
        model_package=packages[0] if packages else None,
    )


def _failure(
    deployment: Deployment,
    described: dict[str, Any],
    steps: list[dict[str, Any]],
    refusal: dict[str, Any] | None,
) -> str | None:
    if described["PipelineExecutionStatus"] == "Succeeded":
        return None
    failed = next((step for step in steps if step["StepStatus"] == "Failed"), None)
    if refusal is not None and refusal.get("ErrorMessage"):
        return str(refusal["ErrorMessage"])
    if failed is not None and failed.get("FailureReason"):
        reason = f"{failed['StepName']}: {failed['FailureReason']}"
        job = _job(failed, "ProcessingJob")
        if job is None:
            return reason
        last_words = _last_words(deployment.client("logs"), job)
        kept = ", ".join(_kept_outputs(deployment.client("sagemaker"), job))
        reason += f": {last_words}" if last_words else ""
        return f"{reason} (in {kept})" if kept else reason
    return str(described.get("FailureReason") or described["PipelineExecutionStatus"])


def _kept_outputs(sagemaker: Client, job: str) -> list[str]:
    """Where the outputs lie that a processing job uploads while it runs, also when it fails."""
    described = sagemaker.describe_processing_job(ProcessingJobName=job)
    outputs = described.get("ProcessingOutputConfig", {}).get("Outputs", [])
    targets = [output["S3Output"] for output in outputs if "S3Output" in output]
    return [target["S3Uri"] for target in targets if target["S3UploadMode"] == "Continuous"]


def _last_words(logs: Client, job: str) -> str | None:
    """The last line of a processing job's log: SageMaker's own reason only points there."""
    try:
        streams = logs.describe_log_streams(
            logGroupName=PROCESSING_LOGS, logStreamNamePrefix=f"{job}/"
        )["logStreams"]
        events = [
            event
            for stream in streams
            for event in logs.get_log_events(
                logGroupName=PROCESSING_LOGS,
                logStreamName=stream["logStreamName"],
                startFromHead=False,
                limit=10,
            )["events"]
        ]
    except ClientError as error:
        # Nothing was logged, or the log is not for this person's eyes.
        if error.response["Error"]["Code"] in (
            "ResourceNotFoundException",
            "AccessDeniedException",
        ):
            return None
        raise
    lines = [line for event in events if (line := event["message"].strip())]
    return lines[-1] if lines else None


def _evaluation(deployment: Deployment, step: dict[str, Any] | None) -> dict[str, Any] | None:
    """The metrics that the evaluation wrote; None when the run did not get that far."""
    if step is None or step["StepStatus"] != "Succeeded":
        return None
    job = _job(_origin(deployment, step), "ProcessingJob")
    described = deployment.client("sagemaker").describe_processing_job(ProcessingJobName=job)
    [uri] = [
        output["S3Output"]["S3Uri"]
        for output in described["ProcessingOutputConfig"]["Outputs"]
        if output["OutputName"] == "evaluation"
    ]
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    written = deployment.client("s3").get_object(
        Bucket=bucket, Key=f"{prefix.rstrip('/')}/evaluation.json"
    )
    metrics: dict[str, Any] = json.loads(written["Body"].read())["metrics"]
    return metrics


def _training_metrics(
    deployment: Deployment, step: dict[str, Any] | None, best: dict[str, Any] | None
) -> dict[str, float]:
    """The last figures of the training job, or of the best one of a tuning."""
    job = None if step is None else _job(_origin(deployment, step), "TrainingJob")
    if best is not None:
        job = best["job"]
    if job is None:
        return {}
    described = deployment.client("sagemaker").describe_training_job(TrainingJobName=job)
    return {
        metric["MetricName"]: metric["Value"] for metric in described.get("FinalMetricDataList", [])
    }


def _best(deployment: Deployment, step: dict[str, Any] | None) -> dict[str, Any] | None:
    job = None if step is None else _job(_origin(deployment, step), "TuningJob")
    return None if job is None else tuning.best(deployment.client("sagemaker"), job)


def _origin(deployment: Deployment, step: dict[str, Any]) -> dict[str, Any]:
    """The step that really ran: for a cached one, its namesake in the earlier execution."""
    source = step.get("CacheHitResult", {}).get("SourcePipelineExecutionArn")
    if source is None or step.get("Metadata"):
        return step
    earlier = _steps(deployment.client("sagemaker"), source)
    return next(other for other in earlier if other["StepName"] == step["StepName"])


def _job(step: dict[str, Any], kind: str) -> str | None:
    arn = step.get("Metadata", {}).get(kind, {}).get("Arn")
    return None if arn is None else str(arn).rpartition("/")[2]

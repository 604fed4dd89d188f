"""One pipeline execution: steps started as soon as what they need has succeeded."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime

from botocore.exceptions import BotoCoreError, ClientError

from local.sagemaker.errors import SageMakerError
from local.sagemaker.host import Host
from local.sagemaker.pipelines.conditions import NotComparable
from local.sagemaker.pipelines.definition import Definition, Step, parse
from local.sagemaker.pipelines.references import ReferenceFailed, Values
from local.sagemaker.pipelines.steps import RUNNERS, Closing, StepFailed, StepRun, StepStopped
from local.sagemaker.store import Json, Record

KIND = "PipelineExecution"
_MOST_PARALLEL = 50
_LOOK_SECONDS = 0.5
_STEPS_FAILED = "Step failure: One or multiple steps failed."

Call = Callable[[str, Record], Record]


def execution_id(arn: str) -> str:
    return arn.rsplit("/", 1)[-1]


class Execution:
    """Runs one execution to its end."""

    def __init__(self, host: Host, call: Call, record: Record) -> None:
        self._host = host
        self._call = call
        self._id = execution_id(record["PipelineExecutionArn"])
        self._record = record
        self._definition: Definition = parse(record["definition"])
        self._statuses: dict[str, str] = {}
        self._outcomes: dict[str, bool] = {}
        self.stopping = threading.Event()
        self._values = Values(
            parameters=self._definition.values(record["parameters"]),
            execution={
                "PipelineExecutionId": self._id,
                "PipelineExecutionArn": record["PipelineExecutionArn"],
                "PipelineName": record["pipeline"],
                "PipelineArn": record["PipelineArn"],
                "StartDateTime": _moment(record["CreationTime"]),
                "CurrentDateTime": _moment(time.time()),
            },
            read=host.s3.read,
            property_files={
                name: step.property_files for name, step in self._definition.steps.items()
            },
        )

    def run(self) -> None:
        parallel = self._record.get("ParallelismConfiguration", {})
        status, reason = "Failed", "InternalServerError: see the log of the local AWS"
        try:
            with ThreadPoolExecutor(
                parallel.get("MaxParallelExecutionSteps", _MOST_PARALLEL)
            ) as pool:
                self._run_steps(pool)
            status, reason = self._result()
        except Closing:
            return
        finally:
            if not self._host.closing.is_set():
                self._finish(status, reason)

    def _run_steps(self, pool: ThreadPoolExecutor) -> None:
        waiting = dict(self._definition.steps)
        running: set[Future[None]] = set()
        while True:
            going_on = not self.stopping.is_set() and "Failed" not in self._statuses.values()
            for step in [item for item in waiting.values() if going_on and self._may_start(item)]:
                del waiting[step.name]
                running.add(pool.submit(self._run_step, step))
            if not running:
                return
            done, running = wait(running, _LOOK_SECONDS, FIRST_COMPLETED)
            for future in done:
                future.result()

    def _may_start(self, step: Step) -> bool:
        if any(self._statuses.get(needed) != "Succeeded" for needed in step.needs):
            return False
        return step.within is None or self._outcomes[step.within] == step.branch

    def _run_step(self, step: Step) -> None:
        run = StepRun(
            host=self._host,
            call=self._call,
            step=step,
            execution=self._record,
            execution_id=self._id,
            values=self._values,
            stopping=self.stopping,
            record=lambda **members: self._change_step(step, **members),
        )
        started: Record = {"StepName": step.name, "StartTime": time.time(), "AttemptCount": 1}
        if step.display_name:
            started["StepDisplayName"] = step.display_name
        if step.description:
            started["StepDescription"] = step.description
        self._change_step(step, **started, StepStatus="Executing")
        status = "Failed"
        ending: Record = {"FailureReason": "InternalServerError: see the log"}
        try:
            properties = RUNNERS[step.type](run)
            if step.type == "Condition":
                self._outcomes[step.name] = properties["Outcome"] == "True"
            self._values.steps[step.name] = properties
            status, ending = "Succeeded", {"properties": properties}
        except StepFailed as failure:
            ending = {"FailureReason": failure.reason}
        except StepStopped:
            status, ending = "Stopped", {}
        except (ReferenceFailed, NotComparable, SageMakerError) as error:
            ending = {"FailureReason": f"ClientError: {error}"}
        except (BotoCoreError, ClientError, OSError) as error:
            ending = {"FailureReason": f"InternalServerError: {error}"}
        finally:
            if not self._host.closing.is_set():
                self._change_step(step, **ending, StepStatus=status, EndTime=time.time())
            self._statuses[step.name] = status

    def _result(self) -> tuple[str, str]:
        if self.stopping.is_set():
            return "Stopped", ""
        if "Failed" in self._statuses.values() or "Stopped" in self._statuses.values():
            return "Failed", _STEPS_FAILED
        return "Succeeded", ""

    def _change_step(self, step: Step, **members: Json) -> None:
        before: list[str | None] = []

        def edit(record: Record) -> None:
            found = record["steps"].setdefault(step.name, {})
            before.append(found.get("StepStatus"))
            found.update(members)
            record["LastModifiedTime"] = time.time()

        record = self._host.store.change(KIND, self._id, edit)
        if record is not None and "StepStatus" in members:
            self._emit_step(step, before[0], record["steps"][step.name])

    def _emit_step(self, step: Step, before: str | None, found: Record) -> None:
        detail = {
            "metadata": {_lower(k): _lower_keys(v) for k, v in found.get("Metadata", {}).items()},
            "stepStartTime": _moment(found["StartTime"]),
            "stepEndTime": _moment(found["EndTime"]) if "EndTime" in found else None,
            "stepName": step.name,
            "stepType": step.type,
            "previousStepStatus": before,
            "currentStepStatus": found["StepStatus"],
            "failureReason": found.get("FailureReason"),
            "cacheHitResult": _lower_keys(found.get("CacheHitResult", {})),
            "pipelineArn": self._record["PipelineArn"],
            "pipelineExecutionArn": self._record["PipelineExecutionArn"],
            "pipelineExecutionDisplayName": self._record["PipelineExecutionDisplayName"],
        }
        self._host.emit(
            "Model Building Pipeline Execution Step Status Change",
            {name: value for name, value in detail.items() if value is not None},
            self._record["PipelineArn"],
        )

    def _finish(self, status: str, reason: str) -> None:
        def edit(record: Record) -> None:
            record.update(PipelineExecutionStatus=status, LastModifiedTime=time.time())
            if reason:
                record["FailureReason"] = reason

        before = self._host.store.find(KIND, self._id) or {}
        after = self._host.store.change(KIND, self._id, edit)
        if after is not None:
            emit_execution(self._host, after, before.get("PipelineExecutionStatus"))


def emit_execution(host: Host, record: Record, before: str | None) -> None:
    status = record["PipelineExecutionStatus"]
    detail = {
        "pipelineExecutionDisplayName": record["PipelineExecutionDisplayName"],
        "pipelineExecutionDescription": record.get("PipelineExecutionDescription"),
        "currentPipelineExecutionStatus": status,
        "previousPipelineExecutionStatus": before,
        "executionStartTime": _moment(record["CreationTime"]),
        "executionEndTime": None
        if status in ("Executing", "Stopping")
        else _moment(record["LastModifiedTime"]),
        "pipelineArn": record["PipelineArn"],
        "pipelineExecutionArn": record["PipelineExecutionArn"],
    }
    host.emit(
        "Model Building Pipeline Execution Status Change",
        {name: value for name, value in detail.items() if value is not None},
        record["PipelineArn"],
    )


def _moment(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _lower(name: str) -> str:
    return name[0].lower() + name[1:]


def _lower_keys(members: Record) -> Record:
    return {_lower(name): value for name, value in members.items()}

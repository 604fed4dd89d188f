"""The operations on pipelines and their executions."""

from __future__ import annotations

import secrets
import string
import time
from collections.abc import Callable
from typing import Any

from local.sagemaker.errors import ConflictException, ResourceNotFound, ValidationException
from local.sagemaker.host import Host
from local.sagemaker.listing import cut, page
from local.sagemaker.pipelines.definition import parse
from local.sagemaker.pipelines.execution import (
    KIND,
    Call,
    Execution,
    emit_execution,
    execution_id,
)
from local.sagemaker.pipelines.references import text
from local.sagemaker.store import Record
from local.sagemaker.transfer import NothingFound

_PIPELINE = "Pipeline"
_INTERRUPTED = "InternalServerError: the local AWS stopped while this pipeline execution ran"
_ID_LETTERS = string.ascii_lowercase + string.digits


class Pipelines:
    """Pipelines and executions."""

    def __init__(self, host: Host, call: Call) -> None:
        self._host = host
        self._store = host.store
        self._call = call
        self._running: dict[str, Execution] = {}

    def operations(self) -> dict[str, Callable[[Record], Record]]:
        return {
            "CreatePipeline": self.create,
            "UpdatePipeline": self.update,
            "DescribePipeline": self.describe,
            "ListPipelines": self.list_all,
            "DeletePipeline": self.delete,
            "StartPipelineExecution": self.start,
            "StopPipelineExecution": self.stop,
            "DescribePipelineExecution": self.describe_execution,
            "UpdatePipelineExecution": self.update_execution,
            "ListPipelineExecutions": self.list_executions,
            "ListPipelineExecutionSteps": self.list_steps,
            "ListPipelineParametersForExecution": self.list_parameters,
            "DescribePipelineDefinitionForExecution": self.describe_definition,
        }

    def create(self, request: Record) -> Record:
        name = request["PipelineName"]
        arn = self._host.arn(f"pipeline/{name}")
        definition = self._definition(request)
        if definition is None:
            raise ValidationException(
                "PipelineDefinition is missing: give it or PipelineDefinitionS3Location"
            )
        parse(definition)
        now = time.time()
        record = {
            "PipelineDisplayName": name,
            **{k: v for k, v in request.items() if k != "PipelineDefinitionS3Location"},
            "PipelineDefinition": definition,
            "PipelineArn": arn,
            "PipelineStatus": "Active",
            "CreationTime": now,
            "LastModifiedTime": now,
            "CreatedBy": {},
            "LastModifiedBy": {},
        }
        with self._store.lock:
            existing = self._store.find(_PIPELINE, name)
            if existing is None:
                self._store.put(_PIPELINE, name, record)
            elif existing["ClientRequestToken"] != request["ClientRequestToken"]:
                raise ValidationException(
                    "Pipeline names must be unique within an AWS account and region. "
                    f"Pipeline with name ({name}) already exists."
                )
        return {"PipelineArn": arn}

    def update(self, request: Record) -> Record:
        name = self._pipeline(request["PipelineName"])["PipelineName"]
        definition = self._definition(request)
        if definition is not None:
            parse(definition)

        def edit(record: Record) -> None:
            given = {k: v for k, v in request.items() if k != "PipelineDefinitionS3Location"}
            record.update(given, PipelineName=name, LastModifiedTime=time.time())
            if definition is not None:
                record["PipelineDefinition"] = definition

        self._store.change(_PIPELINE, name, edit)
        return {"PipelineArn": self._pipeline(name)["PipelineArn"]}

    def describe(self, request: Record) -> Record:
        pipeline = self._pipeline(request["PipelineName"])
        runs = self._executions(pipeline)
        if runs:
            pipeline["LastRunTime"] = max(run["CreationTime"] for run in runs)
        return pipeline

    def list_all(self, request: Record) -> Record:
        prefix = request.get("PipelineNamePrefix", "")
        pipelines = [
            item for item in self._store.all(_PIPELINE) if item["PipelineName"].startswith(prefix)
        ]
        found, token = page(pipelines, request, name="PipelineName")
        return {"PipelineSummaries": found, "NextToken": token}

    def delete(self, request: Record) -> Record:
        with self._store.lock:
            pipeline = self._pipeline(request["PipelineName"])
            runs = self._executions(pipeline)
            if any(run["PipelineExecutionStatus"] in ("Executing", "Stopping") for run in runs):
                raise ConflictException(
                    f"Pipeline {pipeline['PipelineName']} has running executions: stop them first"
                )
            for run in runs:
                self._store.delete(KIND, execution_id(run["PipelineExecutionArn"]))
            self._store.delete(_PIPELINE, pipeline["PipelineName"])
        return {"PipelineArn": pipeline["PipelineArn"]}

    def start(self, request: Record) -> Record:
        if request.get("SelectiveExecutionConfig"):
            raise ValidationException(
                "SelectiveExecutionConfig is not implemented by the local SageMaker"
            )
        with self._store.lock:
            pipeline = self._pipeline(request["PipelineName"])
            for run in self._executions(pipeline):
                if run["token"] == request["ClientRequestToken"]:
                    return {"PipelineExecutionArn": run["PipelineExecutionArn"]}
            record = self._new_execution(pipeline, request)
            identity = execution_id(record["PipelineExecutionArn"])
            self._store.put(KIND, identity, record)
            execution = self._running[identity] = Execution(self._host, self._call, record)
        emit_execution(self._host, record, None)
        self._host.background(f"pipeline execution {identity}", self._run, identity, execution)
        return {"PipelineExecutionArn": record["PipelineExecutionArn"]}

    def stop(self, request: Record) -> Record:
        with self._store.lock:
            record = self._execution(request["PipelineExecutionArn"])
            status = record["PipelineExecutionStatus"]
            identity = execution_id(record["PipelineExecutionArn"])
            execution = self._running.get(identity)
            if status != "Executing" or execution is None:
                raise ConflictException(
                    f"Pipeline execution with ARN {record['PipelineExecutionArn']} is in status "
                    f"{status}: only an Executing one can be stopped"
                )
            record["PipelineExecutionStatus"] = "Stopping"
            self._store.put(KIND, identity, record)
        emit_execution(self._host, record, status)
        execution.stopping.set()
        return {"PipelineExecutionArn": record["PipelineExecutionArn"]}

    def describe_execution(self, request: Record) -> Record:
        return self._execution(request["PipelineExecutionArn"])

    def update_execution(self, request: Record) -> Record:
        record = self._execution(request["PipelineExecutionArn"])
        self._store.change(
            KIND,
            execution_id(record["PipelineExecutionArn"]),
            lambda found: found.update(request, LastModifiedTime=time.time()),
        )
        return {"PipelineExecutionArn": record["PipelineExecutionArn"]}

    def list_executions(self, request: Record) -> Record:
        runs = self._executions(self._pipeline(request["PipelineName"]))
        found, token = page(runs, request, name="PipelineExecutionArn")
        summaries = [
            {
                **run,
                "StartTime": run["CreationTime"],
                "PipelineExecutionFailureReason": run.get("FailureReason"),
            }
            for run in found
        ]
        return {"PipelineExecutionSummaries": summaries, "NextToken": token}

    def list_steps(self, request: Record) -> Record:
        steps = list(self._execution(request["PipelineExecutionArn"])["steps"].values())
        steps.sort(
            key=lambda step: float(step["StartTime"]),
            reverse=request.get("SortOrder", "Descending") == "Descending",
        )
        found, token = cut(steps, request)
        return {"PipelineExecutionSteps": found, "NextToken": token}

    def list_parameters(self, request: Record) -> Record:
        record = self._execution(request["PipelineExecutionArn"])
        found, token = cut(record["parameters"], request)
        return {"PipelineParameters": found, "NextToken": token}

    def describe_definition(self, request: Record) -> Record:
        record = self._execution(request["PipelineExecutionArn"])
        return {"PipelineDefinition": record["definition"], "CreationTime": record["CreationTime"]}

    def recover(self) -> None:
        """Fails the executions that an earlier server left in progress."""

        def edit(record: Record) -> None:
            now = time.time()
            record.update(
                PipelineExecutionStatus="Failed", FailureReason=_INTERRUPTED, LastModifiedTime=now
            )
            for step in record["steps"].values():
                if step["StepStatus"] in ("Executing", "Stopping"):
                    step.update(StepStatus="Failed", FailureReason=_INTERRUPTED, EndTime=now)

        for record in self._store.all(KIND):
            before = record["PipelineExecutionStatus"]
            if before in ("Executing", "Stopping"):
                identity = execution_id(record["PipelineExecutionArn"])
                after = self._store.change(KIND, identity, edit)
                if after is not None:
                    emit_execution(self._host, after, before)

    def _run(self, identity: str, execution: Execution) -> None:
        try:
            execution.run()
        finally:
            self._running.pop(identity, None)

    def _new_execution(self, pipeline: Record, request: Record) -> Record:
        definition = parse(pipeline["PipelineDefinition"])
        values = definition.values(request.get("PipelineParameters", []))
        identity = "".join(secrets.choice(_ID_LETTERS) for _ in range(12))
        now = time.time()
        record: dict[str, Any] = {
            "PipelineArn": pipeline["PipelineArn"],
            "PipelineExecutionArn": f"{pipeline['PipelineArn']}/execution/{identity}",
            "PipelineExecutionDisplayName": request.get(
                "PipelineExecutionDisplayName", f"execution-{int(now * 1000)}"
            ),
            "PipelineExecutionStatus": "Executing",
            "CreationTime": now,
            "LastModifiedTime": now,
            "CreatedBy": {},
            "LastModifiedBy": {},
            "pipeline": pipeline["PipelineName"],
            "role": pipeline["RoleArn"],
            "definition": pipeline["PipelineDefinition"],
            "parameters": [{"Name": k, "Value": text(v)} for k, v in values.items()],
            "token": request["ClientRequestToken"],
            "steps": {},
        }
        if "PipelineExecutionDescription" in request:
            record["PipelineExecutionDescription"] = request["PipelineExecutionDescription"]
        for source in (request, pipeline):
            if "ParallelismConfiguration" in source:
                record.setdefault("ParallelismConfiguration", source["ParallelismConfiguration"])
        return record

    def _definition(self, request: Record) -> str | None:
        location = request.get("PipelineDefinitionS3Location")
        if location is None:
            given: str | None = request.get("PipelineDefinition")
            return given
        if location.get("VersionId"):
            raise ValidationException(
                "PipelineDefinitionS3Location.VersionId is not implemented by the local SageMaker"
            )
        uri = f"s3://{location['Bucket']}/{location['ObjectKey']}"
        try:
            return self._host.s3.read(uri).decode()
        except NothingFound:
            raise ValidationException(f"PipelineDefinitionS3Location: {uri} not found") from None

    def _executions(self, pipeline: Record) -> list[Record]:
        arn = pipeline["PipelineArn"]
        return [run for run in self._store.all(KIND) if run["PipelineArn"] == arn]

    def _pipeline(self, name_or_arn: str) -> Record:
        name = name_or_arn.split(":pipeline/")[-1]
        found = self._store.find(_PIPELINE, name)
        if found is None:
            raise ResourceNotFound(
                f"Pipeline '{self._host.arn(f'pipeline/{name}')}' does not exist."
            )
        return found

    def _execution(self, arn: str) -> Record:
        found = self._store.find(KIND, execution_id(arn))
        if found is None or found["PipelineExecutionArn"] != arn:
            raise ResourceNotFound(f"Pipeline execution with ARN {arn} does not exist.")
        return found

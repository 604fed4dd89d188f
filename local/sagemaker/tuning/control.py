"""The operations on tuning jobs."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from local.sagemaker import training_jobs
from local.sagemaker.errors import ResourceInUse, ResourceNotFound, ValidationException
from local.sagemaker.events import event_detail
from local.sagemaker.host import Host
from local.sagemaker.jobs import INTERRUPTED, Jobs
from local.sagemaker.listing import cut, page
from local.sagemaker.store import Record
from local.sagemaker.tuning.request import OBJECTIVE_HYPERPARAMETER, plan, training_request
from local.sagemaker.tuning.run import Ending, TuningRun
from local.sagemaker.tuning.standing import (
    objective_of,
    standing,
    summaries,
    value_of,
)

KIND = "HyperParameterTuningJob"
_NAME, _ARN, _STATUS = f"{KIND}Name", f"{KIND}Arn", f"{KIND}Status"
_INTERNAL = "InternalServerError: We encountered an internal error. Please try again."
_log = logging.getLogger(__name__)


class TuningJobs:
    """Tuning jobs over the training jobs of the same account."""

    def __init__(self, host: Host, training: Jobs, check: Callable[[str, Record], None]) -> None:
        self._host = host
        self._store = host.store
        self._training = training
        self._check = check
        self._running: dict[str, TuningRun] = {}

    def operations(self) -> dict[str, Callable[[Record], Record]]:
        return {
            f"Create{KIND}": self.create,
            f"Describe{KIND}": self.describe,
            f"List{KIND}s": self.list_all,
            f"Stop{KIND}": self.stop,
            f"Delete{KIND}": self.delete,
            f"ListTrainingJobsFor{KIND}": self.list_training_jobs,
        }

    def create(self, request: Record) -> Record:
        name = request[_NAME]
        arn = self._host.arn(f"hyper-parameter-tuning-job/{name}")
        record = self._new_record(request, arn)
        with self._store.lock:
            if self._store.find(KIND, name) is not None:
                raise ResourceInUse(
                    "Tuning job names must be unique within an AWS account and region, and a "
                    f"tuning job with this name already exists ({arn})"
                )
            run = TuningRun(self._host, self._training, self._check, record)
            self._store.put(KIND, name, record)
            self._running[name] = run
        self._emit(name)
        self._host.background(f"tuning job {name}", self._work, name, run)
        return {_ARN: arn}

    def describe(self, request: Record) -> Record:
        return self._described(self._record(request[_NAME]))

    def list_all(self, request: Record) -> Record:
        tunings = [
            {
                **self._described(record),
                "Strategy": record[f"{KIND}Config"]["Strategy"],
                "ResourceLimits": record[f"{KIND}Config"]["ResourceLimits"],
            }
            for record in self._store.all(KIND)
        ]
        asked = {"SortBy": "Name", **request}
        found, token = page(tunings, asked, name=_NAME, status=_STATUS, order="Ascending")
        return {f"{KIND}Summaries": found, "NextToken": token}

    def stop(self, request: Record) -> Record:
        name = request[_NAME]
        with self._store.lock:
            status = self._record(name)[_STATUS]
            run = self._running.get(name)
            if status != "InProgress" or run is None:
                raise ValidationException(
                    f"The request was rejected because the hyperparameter tuning job is in status "
                    f"{status}."
                )
            self._change(name, {_STATUS: "Stopping"})
        self._emit(name)
        run.stopping.set()
        return {}

    def delete(self, request: Record) -> Record:
        name = request[_NAME]
        with self._store.lock:
            if self._record(name)[_STATUS] in ("InProgress", "Stopping"):
                raise ResourceInUse(f"{name} is in progress: stop it before deleting it")
            self._store.delete(KIND, name)
        return {}

    def list_training_jobs(self, request: Record) -> Record:
        tuning = self._record(request[_NAME])
        found = summaries(self._store, tuning)
        if request.get("SortBy") != "FinalObjectiveMetricValue":
            listed, token = page(
                found,
                {"SortBy": "Name", **request},
                name="TrainingJobName",
                status="TrainingJobStatus",
                order="Ascending",
            )
            return {"TrainingJobSummaries": listed, "NextToken": token}
        # As AWS does, only jobs that gave a value are listed then.
        wanted = request.get("StatusEquals")
        valued = [
            item
            for item in found
            if item["ObjectiveStatus"] == "Succeeded"
            and wanted in (None, item["TrainingJobStatus"])
        ]
        valued.sort(key=value_of, reverse=request.get("SortOrder") == "Descending")
        listed, token = cut(valued, request)
        return {"TrainingJobSummaries": listed, "NextToken": token}

    def recover(self) -> None:
        """Fails the tuning jobs that an earlier server left in progress."""
        for record in self._store.all(KIND):
            if record[_STATUS] in ("InProgress", "Stopping"):
                self._finish(record[_NAME], Ending("Failed", INTERRUPTED))

    def _new_record(self, request: Record, arn: str) -> Record:
        read = plan(request)
        now = time.time()
        definition = request["TrainingJobDefinition"]
        static = {
            **definition.get("StaticHyperParameters", {}),
            OBJECTIVE_HYPERPARAMETER: objective_of(request)["MetricName"],
        }
        record = {
            **request,
            "TrainingJobDefinition": {**definition, "StaticHyperParameters": static},
            _ARN: arn,
            _STATUS: "InProgress",
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        values = {item.name: "0" for item in read.ranges}
        sample = training_request(record, f"{read.name}-001-00000000", values)
        self._check("CreateTrainingJob", sample)
        training_jobs.KIND.check(self._host, sample)
        return record

    def _work(self, name: str, run: TuningRun) -> None:
        ending: Ending | None = Ending("Failed", _INTERNAL)
        try:
            ending = run.run()
        except Exception:
            _log.exception("tuning job %s", name)
            run.stop_all()
            raise
        finally:
            self._running.pop(name, None)
            if ending is not None and not self._host.closing.is_set():
                self._finish(name, ending)

    def _finish(self, name: str, ending: Ending) -> None:
        record = self._record(name)
        now = time.time()
        members = {
            **standing(record, summaries(self._store, record)),
            _STATUS: ending.status,
            "HyperParameterTuningEndTime": now,
            "ConsumedResources": {"RuntimeInSeconds": round(now - record["CreationTime"])},
        }
        if ending.reason:
            members["FailureReason"] = ending.reason
        self._change(name, members)
        self._emit(name)

    def _described(self, record: Record) -> Record:
        if record[_STATUS] in ("InProgress", "Stopping"):
            return {**record, **standing(record, summaries(self._store, record))}
        return record

    def _record(self, name: str) -> Record:
        found = self._store.find(KIND, name)
        if found is None:
            raise ResourceNotFound(
                "Amazon SageMaker can't find a tuning job with the name "
                f"{name}: {self._host.arn(f'hyper-parameter-tuning-job/{name}')}"
            )
        return found

    def _change(self, name: str, members: Record) -> None:
        self._store.change(
            KIND, name, lambda found: found.update(members, LastModifiedTime=time.time())
        )

    def _emit(self, name: str) -> None:
        described = self._described(self._record(name))
        self._host.emit(
            "HyperParameter Tuning Job State Change", event_detail(described), described[_ARN]
        )

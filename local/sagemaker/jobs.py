"""What training, processing and transform jobs share: names, states, one process, an end."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from boto3.exceptions import S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError

from local.processes.children import Child, ChildrenClosed
from local.sagemaker.errors import ResourceInUse, SageMakerError, ValidationException
from local.sagemaker.events import event_detail
from local.sagemaker.host import Host
from local.sagemaker.listing import page
from local.sagemaker.logs import LogStream
from local.sagemaker.metrics import JobMetrics
from local.sagemaker.store import Json, Record

INTERRUPTED = "InternalServerError: the local AWS stopped while this job ran"
_INTERNAL = "InternalServerError: We encountered an internal error. Please try again."
_STOP_GRACE_SECONDS = 120.0
_LOOK_SECONDS = 0.25


Cause = Literal["exit", "stopped", "max-runtime", "interrupted", "max-wait"]


class JobFailed(Exception):
    """The job ends as Failed, for this reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason[:1024]


@dataclass(frozen=True)
class Ended:
    """How a job's process ended."""

    cause: Cause
    status: int


@dataclass(frozen=True)
class JobKind:
    """What differs between the kinds of jobs."""

    name: str
    arn_path: str
    directory: str
    log_group: str
    check: Callable[[Host, Record], None]
    begin: Callable[[Record], Record]
    run: Callable[[Job], Record]
    missing: Callable[[str], SageMakerError]
    duplicate: str

    @property
    def status(self) -> str:
        return f"{self.name}Status"


class Job:
    """One job at work."""

    def __init__(self, host: Host, kind: JobKind, record: Record) -> None:
        self.host = host
        self.kind = kind
        self.name: str = record[f"{kind.name}Name"]
        self.arn: str = record[f"{kind.name}Arn"]
        self.request = record
        self.directory = _directory(host, kind, self.name)
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        self.stopping = threading.Event()
        self.metrics: JobMetrics | None = None
        self.log: LogStream = host.logs.open(
            kind.log_group, f"{self.name}/algo-1-{int(time.time())}", self.directory / "log.txt"
        )

    def change(self, **members: Json) -> None:
        def edit(record: Record) -> None:
            record.update(members, LastModifiedTime=time.time())

        self.host.store.change(self.kind.name, self.name, edit)

    def enter(self, secondary: str, message: str) -> None:
        """Moves to the next secondary status."""

        def edit(record: Record) -> None:
            now = time.time()
            transitions = record.setdefault("SecondaryStatusTransitions", [])
            if transitions:
                transitions[-1]["EndTime"] = now
            transitions.append({"Status": secondary, "StartTime": now, "StatusMessage": message})
            record.update(SecondaryStatus=secondary, LastModifiedTime=now)

        self.host.store.change(self.kind.name, self.name, edit)

    def clear(self) -> None:
        """Deletes the container's files; a failed job keeps them for whoever looks into it."""
        for path in self.directory.iterdir():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name.endswith(".tar.gz"):
                path.unlink(missing_ok=True)

    def run_command(
        self,
        command: list[str],
        *,
        environment: dict[str, str],
        usual: dict[str, str],
        directory: Path,
        seconds: float,
        on_line: Callable[[str], None],
    ) -> Ended:
        """Runs the container's command to its end, its stop or its time limit.

        `usual` is the environment of a container that sets no variables.
        """

        def take(line: str) -> None:
            self.log.write(line)
            on_line(line)

        deadline = time.monotonic() + seconds
        child = self.host.python.run(
            command, environment=environment, usual=usual, directory=directory, on_line=take
        )
        while (status := child.wait(_LOOK_SECONDS)) is None:
            if self.stopping.is_set():
                return Ended("stopped", _terminated(child))
            if time.monotonic() > deadline:
                return Ended("max-runtime", _terminated(child))
        if self.host.closing.is_set():
            raise ChildrenClosed(INTERRUPTED)
        return Ended("exit", status)


def _directory(host: Host, kind: JobKind, name: str) -> Path:
    return host.directory / "jobs" / kind.directory / name


def _terminated(child: Child) -> int:
    child.terminate(_STOP_GRACE_SECONDS)
    return child.wait(1) or 0


class Jobs:
    """The operations on one kind of job."""

    def __init__(self, host: Host, kind: JobKind) -> None:
        self._host = host
        self._kind = kind
        self._running: dict[str, Job] = {}

    def operations(self) -> dict[str, Callable[[Record], Record]]:
        name = self._kind.name
        return {
            f"Create{name}": self.create,
            f"Describe{name}": self.describe,
            f"List{name}s": self.list_all,
            f"Stop{name}": self.stop,
        }

    def create(self, request: Record, **further: Json) -> Record:
        """Starts the job; further members go into its record."""
        kind, name = self._kind, request[f"{self._kind.name}Name"]
        arn = self._host.arn(f"{kind.arn_path}/{name}")
        kind.check(self._host, request)
        now = time.time()
        record = {
            **request,
            **kind.begin(request),
            **further,
            f"{kind.name}Arn": arn,
            kind.status: "InProgress",
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        with self._host.store.lock:
            if self._host.store.find(kind.name, name) is not None:
                raise ResourceInUse(f"{kind.duplicate} ({arn})")
            job = Job(self._host, kind, record)
            self._host.store.put(kind.name, name, record)
            self._running[name] = job
        self._emit(name)
        self._host.background(f"{kind.arn_path} {name}", self._work, job)
        return {f"{kind.name}Arn": arn}

    def running(self, name: str) -> Job | None:
        """The job at work, None once it ended."""
        return self._running.get(name)

    def describe(self, request: Record) -> Record:
        return self.record(request[f"{self._kind.name}Name"])

    def record(self, name: str) -> Record:
        found = self._host.store.find(self._kind.name, name)
        if found is None:
            raise self._kind.missing(name)
        return found

    def list_all(self, request: Record) -> Record:
        found, token = page(
            self._host.store.all(self._kind.name),
            request,
            name=f"{self._kind.name}Name",
            status=self._kind.status,
            order="Descending" if self._kind.name == "TransformJob" else "Ascending",
        )
        return {f"{self._kind.name}Summaries": found, "NextToken": token}

    def stop(self, request: Record) -> Record:
        name = request[f"{self._kind.name}Name"]
        with self._host.store.lock:
            status = self.record(name)[self._kind.status]
            job = self._running.get(name)
            if status != "InProgress" or job is None:
                label = self._kind.arn_path.replace("-", " ")
                raise ValidationException(
                    f"The request was rejected because the {label} is in status {status}."
                )
            job.change(**{self._kind.status: "Stopping"})
            if self._kind.name == "TrainingJob":
                job.enter("Stopping", "Stopping the training job")
        self._emit(name)
        job.stopping.set()
        return {}

    def delete(self, request: Record) -> Record:
        name = request[f"{self._kind.name}Name"]
        with self._host.store.lock:
            if self.record(name)[self._kind.status] in ("InProgress", "Stopping"):
                raise ResourceInUse(f"{name} is in progress: stop it before deleting it")
            self._host.store.delete(self._kind.name, name)
            shutil.rmtree(_directory(self._host, self._kind, name), ignore_errors=True)
        return {}

    def recover(self) -> None:
        """Fails the jobs that an earlier server left in progress."""
        kind = self._kind
        for record in self._host.store.all(kind.name):
            if record[kind.status] in ("InProgress", "Stopping"):
                self._finish(record[f"{kind.name}Name"], self._failed(INTERRUPTED))

    def _work(self, job: Job) -> None:
        outcome = self._failed(_INTERNAL)
        try:
            outcome = self._kind.run(job)
        except JobFailed as failure:
            outcome = self._failed(failure.reason)
        except S3UploadFailedError as error:
            outcome = self._failed(f"ClientError: Artifact upload failed: {error}"[:1024])
        except (SageMakerError, BotoCoreError, ClientError, OSError) as error:
            outcome = self._failed(f"InternalServerError: {error}"[:1024])
        except ChildrenClosed:
            outcome = self._failed(INTERRUPTED)
        finally:
            if self._host.closing.is_set() and outcome[self._kind.status] == "Failed":
                outcome = self._failed(INTERRUPTED)
            if self._host.closing.is_set():
                job.log.close()
            else:
                self._host.logs.close(job.log)
            if outcome[self._kind.status] == "Completed":
                # Before its end is seen: from then on another job may have the name.
                job.clear()
            self._running.pop(job.name, None)
            self._finish(job.name, outcome)

    def _failed(self, reason: str) -> Record:
        return {self._kind.status: "Failed", "FailureReason": reason}

    def _finish(self, name: str, outcome: Record) -> None:
        prefix = self._kind.name.removesuffix("Job")
        now = time.time()

        def edit(record: Record) -> None:
            status = outcome[self._kind.status]
            record.update(outcome, LastModifiedTime=now)
            record.setdefault(f"{prefix}StartTime", record["CreationTime"])
            record[f"{prefix}EndTime"] = now
            if prefix == "Training":
                secondary = outcome.get("SecondaryStatus", status)
                transitions = record.setdefault("SecondaryStatusTransitions", [])
                if transitions:
                    transitions[-1]["EndTime"] = now
                transitions.append(
                    {
                        "Status": secondary,
                        "StartTime": now,
                        "EndTime": now,
                        "StatusMessage": outcome.get("FailureReason")
                        or f"Training job {status.lower()}",
                    }
                )
                seconds = max(1, round(now - record["TrainingStartTime"]))
                record.update(
                    SecondaryStatus=secondary,
                    TrainingTimeInSeconds=seconds,
                    BillableTimeInSeconds=seconds,
                )

        self._host.store.change(self._kind.name, name, edit)
        self._emit(name)

    def _emit(self, name: str) -> None:
        record = self._host.store.find(self._kind.name, name)
        if record is not None:
            label = self._kind.arn_path.replace("-", " ").title()
            self._host.emit(
                f"{label} State Change", event_detail(record), record[f"{self._kind.name}Arn"]
            )


def channel_fault(job: Job, uri: str) -> JobFailed:
    """AWS's words for input data that is not there."""
    bucket = uri.removeprefix("s3://").split("/")[0]
    role = job.request.get("RoleArn", "")
    return JobFailed(
        f'ClientError: No S3 objects found under S3 URL "{uri}" given in input data source. '
        f"Please ensure that the bucket exists in the selected region "
        f"({job.host.platform.region}), that objects exist under that S3 prefix, and that the "
        f'role "{role}" has "s3:ListBucket" permissions on bucket "{bucket}".'
    )

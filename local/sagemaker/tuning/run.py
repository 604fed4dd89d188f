"""One tuning job at work: training jobs started, watched, stopped where they are poor."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from local.sagemaker.errors import SageMakerError
from local.sagemaker.host import Host
from local.sagemaker.jobs import Job, Jobs
from local.sagemaker.store import Record
from local.sagemaker.tuning.early_stopping import is_behind
from local.sagemaker.tuning.request import Plan, plan, training_request
from local.sagemaker.tuning.search import Proposal, Search
from local.sagemaker.tuning.standing import FINAL, final_value

_LOOK_SECONDS = 0.25
_MOST_WITHOUT_OBJECTIVE = 5


@dataclass(frozen=True)
class Ending:
    """The status that a tuning job ends with, and why."""

    status: str
    reason: str = ""


@dataclass
class _Running:
    job: Job | None
    proposal: Proposal
    reported: list[float] = field(default_factory=list)


class TuningRun:
    """Runs one tuning job to its end."""

    def __init__(
        self,
        host: Host,
        training: Jobs,
        check: Callable[[str, Record], None],
        record: Record,
    ) -> None:
        self._host = host
        self._training = training
        self._check = check
        self._record = record
        self._plan: Plan = plan(record)
        self._search = Search(self._plan)
        self._running: dict[str, _Running] = {}
        self._curves: list[list[float]] = []
        self._started = 0
        self._statuses: list[str] = []
        self._with_objective = 0
        self._first_failure = ""
        self.stopping = threading.Event()

    def run(self) -> Ending | None:
        """How it ends; None where the server closes first."""
        ending: Ending | None = None
        while True:
            for name in list(self._running):
                self._look(name)
            if self._host.closing.is_set():
                return None
            ending = ending or self._ending()
            if ending is None:
                ending = self._start()
            else:
                self.stop_all()
            if not self._running and (ending or self._started == self._plan.jobs):
                return ending or self._ending() or Ending("Completed")
            time.sleep(_LOOK_SECONDS)

    def _start(self) -> Ending | None:
        """Starts jobs up to the limits; the end of all where one is refused."""
        while self._started < self._plan.jobs and len(self._running) < self._plan.parallel:
            proposal = self._search.ask()
            self._started += 1
            name = f"{self._plan.name}-{self._started:03d}-{secrets.token_hex(4)}"
            request = training_request(self._record, name, proposal.values)
            try:
                self._check("CreateTrainingJob", request)
                self._training.create(
                    request,
                    TuningJobArn=self._record["HyperParameterTuningJobArn"],
                    TunedHyperParameters=proposal.values,
                )
            except SageMakerError as error:
                proposal.failed()
                return Ending("Failed", f"ClientError: CreateTrainingJob {name}: {error.message}")
            self._running[name] = _Running(self._training.running(name), proposal)
        return None

    def _look(self, name: str) -> None:
        running = self._running[name]
        record = self._host.store.find("TrainingJob", name)
        status = record["TrainingJobStatus"] if record is not None else "Failed"
        poor = self._report(running, record or {})
        if status in FINAL:
            del self._running[name]
            self._tell(running, record or {}, status)
        elif poor and status == "InProgress":
            self._stop(name)

    def _report(self, running: _Running, record: Record) -> bool:
        """Takes the objective's new values; whether one of them gives the job up."""
        values: list[float] = record.get("objectiveValues", [])
        if not values and running.job is not None and running.job.metrics is not None:
            values = running.job.metrics.values(self._plan.metric)
        poor = False
        for value in values[len(running.reported) :]:
            running.reported.append(value)
            poor = running.proposal.report(value) or poor
            if self._plan.stops_early:
                epoch, maximize = len(running.reported), self._plan.maximize
                poor = is_behind(value, epoch, self._curves, maximize=maximize) or poor
        return poor

    def _tell(self, running: _Running, record: Record, status: str) -> None:
        value = final_value(record, self._plan.metric) if record else None
        self._statuses.append(status)
        self._with_objective += value is not None
        if status == "Failed" and not self._first_failure:
            self._first_failure = record.get("FailureReason", "")
        if value is None:
            running.proposal.failed()
        elif status == "Completed":
            self._curves.append(running.reported)
            running.proposal.completed(value)
        else:
            running.proposal.stopped()

    def _ending(self) -> Ending | None:
        if self.stopping.is_set():
            return Ending("Stopped")
        over = self._plan.seconds is not None and (
            time.time() - self._record["CreationTime"] > self._plan.seconds
        )
        enough = min(_MOST_WITHOUT_OBJECTIVE, self._plan.jobs)
        if not self._with_objective and (over or len(self._statuses) >= enough):
            return Ending("Failed", self._no_objective())
        return Ending("Completed") if over else None

    def _no_objective(self) -> str:
        if self._statuses and set(self._statuses) == {"Failed"}:
            return (
                "All training jobs failed. Please take a look at the training jobs failures to get "
                f"more details. The first: {self._first_failure}"
            )[:1024]
        return (
            f"No objective metrics found after running {len(self._statuses)} training jobs. Please "
            "ensure that the custom algorithm is emitting the objective metric as defined by the "
            f"regular expression provided for {self._plan.metric!r}."
        )

    def stop_all(self) -> None:
        """Stops the training jobs that still run."""
        for name in self._running:
            record = self._host.store.find("TrainingJob", name)
            if record is not None and record["TrainingJobStatus"] == "InProgress":
                self._stop(name)

    def _stop(self, name: str) -> None:
        try:
            self._training.stop({"TrainingJobName": name})
        except SageMakerError:
            # It ended between the look and the stop; the next look sees how.
            return

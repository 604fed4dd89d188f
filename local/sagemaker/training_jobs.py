"""Training jobs: channels in, one process, model artifact out."""

from __future__ import annotations

import json
import math
import shutil
import signal
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from local.sagemaker import script_mode
from local.sagemaker.checkpoints import CheckpointSync
from local.sagemaker.containers import Container
from local.sagemaker.errors import ValidationException
from local.sagemaker.jobs import Cause, Ended, Job, JobFailed, JobKind, channel_fault
from local.sagemaker.metrics import JobMetrics
from local.sagemaker.store import Record
from local.sagemaker.training_request import CHECKPOINTS, DAY_SECONDS, channels, check, resources
from local.sagemaker.transfer import NothingFound, join, pack

_FAILURE_LENGTH = 1024
_TAIL_LINES = 30
_METRICS_SECONDS = 5.0
# As a shell and the supervisor report SIGKILL and SIGTERM.
# The kernel kills a process for memory with the same signal that stands for a spot interruption.
_MOST_INTERRUPTIONS = 5
_KILLED = (128 + signal.SIGKILL, 128 + signal.SIGTERM)
_STOPPED_AS = {
    "stopped": "Stopped",
    "max-runtime": "MaxRuntimeExceeded",
    "max-wait": "MaxWaitTimeExceeded",
}


def begin(request: Record) -> Record:
    now = time.time()
    first = {
        "Status": "Starting",
        "StartTime": now,
        "StatusMessage": "Preparing the instances for training",
    }
    limits = {"MaxRuntimeInSeconds": DAY_SECONDS, **request.get("StoppingCondition", {})}
    return {
        "SecondaryStatus": "Starting",
        "SecondaryStatusTransitions": [first],
        "StoppingCondition": limits,
        "EnableNetworkIsolation": request.get("EnableNetworkIsolation", False),
        "EnableManagedSpotTraining": request.get("EnableManagedSpotTraining", False),
        "EnableInterContainerTrafficEncryption": request.get(
            "EnableInterContainerTrafficEncryption", False
        ),
    }


def run(job: Job) -> Record:
    """The whole job; the members to end with."""
    training = _Training.of(job)
    while True:
        training.lay_out()
        training.download()
        if job.stopping.is_set():
            return {"TrainingJobStatus": "Stopped", **training.measured()}
        training.enter()
        ended = training.train()
        if ended.cause != "interrupted":
            break
        training.give_up_instance()
        if training.interruptions == _MOST_INTERRUPTIONS:
            raise JobFailed(
                f"InternalServerError: the process was killed {_MOST_INTERRUPTIONS} times: if this "
                "machine ran out of memory, lower batch_size or max_length"
            )
    members = training.measured()
    if ended.cause == "exit" and ended.status != 0:
        training.upload_output()
        job.change(**members)
        raise JobFailed(training.failure(ended.status))
    job.enter("Uploading", "Uploading generated training model")
    members["ModelArtifacts"] = {"S3ModelArtifacts": training.upload_model()}
    training.upload_output()
    if ended.cause == "exit":
        return {"TrainingJobStatus": "Completed", **members}
    secondary = _STOPPED_AS[ended.cause]
    return {"TrainingJobStatus": "Stopped", "SecondaryStatus": secondary, **members}


@dataclass
class _Training:
    job: Job
    request: Record
    container: Container
    metrics: JobMetrics
    tail: list[str] = field(default_factory=list)
    interruptions: int = 0
    script: list[str] | None = None
    trained_seconds: float = 0.0

    @classmethod
    def of(cls, job: Job) -> _Training:
        isolated = job.request.get("EnableNetworkIsolation", False)
        definitions = job.request["AlgorithmSpecification"].get("MetricDefinitions", [])
        job.metrics = JobMetrics(job.name, definitions)
        return cls(
            job=job,
            request=job.request,
            container=Container(job.host, job.directory, isolated=isolated),
            metrics=job.metrics,
        )

    @property
    def ml(self) -> Path:
        return self.container.ml

    @property
    def channels(self) -> dict[str, Any]:
        return channels(self.request)

    @property
    def resources(self) -> dict[str, Any]:
        return resources(self.request)

    @property
    def hyperparameters(self) -> dict[str, str]:
        given: dict[str, str] = self.request.get("HyperParameters", {})
        return {name: self.container.rewritten(value) for name, value in given.items()}

    def lay_out(self) -> None:
        for name in ("code", "model", "output/data", "output/intermediate", "input/data"):
            (self.ml / name).mkdir(parents=True, exist_ok=True)
        config = self.ml / "input" / "config"
        config.mkdir(parents=True)
        for name, value in (
            ("hyperparameters", self.hyperparameters),
            ("inputdataconfig", self.channels),
            ("resourceconfig", self.resources),
        ):
            (config / f"{name}.json").write_text(json.dumps(value))

    def download(self) -> None:
        job = self.job
        job.enter("Downloading", "Downloading input data")
        for channel in self.request.get("InputDataConfig", []):
            source = channel["DataSource"]["S3DataSource"]["S3Uri"]
            target = self.ml / "input" / "data" / channel["ChannelName"]
            target.mkdir(parents=True)
            try:
                job.host.s3.download(source, target)
            except NothingFound:
                raise channel_fault(job, source) from None
        if self.checkpoints is not None:
            uri, directory = self.checkpoints
            directory.mkdir(parents=True, exist_ok=True)
            try:
                job.host.s3.download(join(uri, ""), directory)
            except NothingFound:
                job.log.write(f"no checkpoints under {uri} yet")

    @property
    def checkpoints(self) -> tuple[str, Path] | None:
        config = self.request.get("CheckpointConfig")
        if config is None:
            return None
        return config["S3Uri"], self.container.path(config.get("LocalPath", CHECKPOINTS))

    def enter(self) -> None:
        if not self.trained_seconds:
            self.job.change(TrainingStartTime=time.time())
        self.job.enter("Training", "Training image download completed. Training in progress.")

    def measured(self) -> Record:
        """The metrics to end with; of a tuned job also every value of the objective."""
        members: Record = {"FinalMetricDataList": self.metrics.final()}
        objective = self.request.get("HyperParameters", {}).get("_tuning_objective_metric")
        if objective is not None:
            members["objectiveValues"] = self.metrics.values(objective)
        return members

    def give_up_instance(self) -> None:
        """A spot interruption: nothing but the uploaded checkpoints outlives it."""
        job = self.job
        self.interruptions += 1
        job.enter("Interrupted", "Training job interrupted: spot instance reclaimed")
        job.log.write("the spot instance was reclaimed: the job waits for another one")
        shutil.rmtree(self.ml, ignore_errors=True)
        self.tail.clear()
        job.enter("Starting", "Preparing the instances for training")

    def _checkpoint_sync(self) -> AbstractContextManager[object]:
        if self.checkpoints is None:
            return nullcontext()
        uri, local = self.checkpoints
        return CheckpointSync(self.job.host.s3, local, uri)

    def train(self) -> Ended:
        """One process, from its start to its end."""
        command, environment, directory = self._command()
        runtime = self.request["StoppingCondition"]["MaxRuntimeInSeconds"] - self.trained_seconds
        wait = self._seconds_to_wait()
        started = time.monotonic()
        with self._checkpoint_sync():
            ended = self.job.run_command(
                command,
                environment=environment,
                usual=self.container.environment(),
                directory=directory,
                seconds=min(runtime, wait),
                on_line=_LineReader(self).read,
            )
            self.metrics.send(self.job.host.cloud)
        self.trained_seconds += time.monotonic() - started
        if ended.cause == "max-runtime" and wait < runtime:
            return Ended("max-wait", ended.status)
        return self._or_interrupted(ended)

    def _or_interrupted(self, ended: Ended) -> Ended:
        """A kill from outside reclaims a spot instance; the time left to wait bounds how often."""
        spot = self.request.get("EnableManagedSpotTraining", False)
        if not spot or ended.cause != "exit" or ended.status not in _KILLED:
            return ended
        if self.job.stopping.is_set():
            return Ended("stopped", ended.status)
        cause: Cause = "interrupted" if self._seconds_to_wait() > 0 else "max-wait"
        return Ended(cause, ended.status)

    def _seconds_to_wait(self) -> float:
        if not self.request.get("EnableManagedSpotTraining", False):
            return math.inf
        longest: float = self.request["StoppingCondition"]["MaxWaitTimeInSeconds"]
        begun: float = self.request["CreationTime"]
        return longest - (time.time() - begun)

    def _command(self) -> tuple[list[str], dict[str, str], Path]:
        algorithm = self.request["AlgorithmSpecification"]
        entrypoint = algorithm.get("ContainerEntrypoint")
        platform = {
            "TRAINING_JOB_NAME": self.job.name,
            "TRAINING_JOB_ARN": self.job.arn,
            "SAGEMAKER_BASE_DIR": str(self.ml),
        }
        own = self.request.get("Environment", {})
        if entrypoint:
            words = [*entrypoint, *algorithm.get("ContainerArguments", [])]
            environment = self.container.environment(platform, own)
            directory = self.container.directory
        else:
            words, toolkit, directory = self._script()
            environment = self.container.environment(platform, toolkit, own)
            self.script = words
        return self.container.command(words), environment, directory

    def _script(self) -> tuple[list[str], dict[str, str], Path]:
        values = script_mode.decoded(self.hyperparameters)
        own, toolkit = script_mode.split_hyperparameters(values)
        program = toolkit.get("sagemaker_program") or self.request.get("Environment", {}).get(
            "SAGEMAKER_PROGRAM"
        )
        try:
            code = script_mode.fetch_code(
                self.container,
                self.job.host.s3,
                toolkit.get("sagemaker_submit_directory"),
                isolated=self.request.get("EnableNetworkIsolation", False),
            )
            words = script_mode.command(
                code,
                program,
                script_mode.user_arguments(own),
                distributed=script_mode.is_distributed(toolkit),
            )
        except script_mode.FrameworkError as error:
            self.job.log.write(f"Framework Error: {error}")
            raise JobFailed(f"AlgorithmError: Framework Error: {error}, exit code: 1") from None
        variables = script_mode.variables(
            self.container,
            code=code,
            program=str(program),
            values=values,
            channels=self.channels,
            resources=self.resources,
            job_name=self.job.name,
        )
        return words, variables, code

    def failure(self, status: int) -> str:
        """AWS's reason: the failure file, or in script mode what the toolkit writes into it."""
        file = self.ml / "output" / "failure"
        if file.is_file():
            text = file.read_text(errors="replace")
        elif self.script is not None:
            text = (
                f"ExecuteUserScriptError:\nExitCode {status}\n"
                f'ErrorMessage "{_last_error(self.tail)}"\n'
                f'Command "{" ".join(self.script)}"'
            )
        else:
            text = ""
        ending = f", exit code: {status}"
        room = _FAILURE_LENGTH - len("AlgorithmError: ") - len(ending)
        return f"AlgorithmError: {text[:room]}{ending}"

    def upload_model(self) -> str:
        output = self.request["OutputDataConfig"]
        target = join(output["S3OutputPath"], self.job.name, "output")
        if output.get("CompressionType") == "NONE":
            self.job.host.s3.upload_directory(self.ml / "model", join(target, "model"))
            return join(target, "model", "")
        archive = self.container.directory / "model.tar.gz"
        pack(self.ml / "model", archive)
        self.job.host.s3.upload(archive, join(target, "model.tar.gz"))
        return join(target, "model.tar.gz")

    def upload_output(self) -> None:
        data = self.ml / "output" / "data"
        if not data.is_dir() or not any(data.iterdir()):
            return
        archive = self.container.directory / "output.tar.gz"
        pack(data, archive)
        target = join(self.request["OutputDataConfig"]["S3OutputPath"], self.job.name, "output")
        self.job.host.s3.upload(archive, join(target, "output.tar.gz"))


class _LineReader:
    """Reads metrics as they appear, keeps the last lines for the failure reason."""

    def __init__(self, training: _Training) -> None:
        self._training = training
        self._sent = time.monotonic()

    def read(self, line: str) -> None:
        training = self._training
        training.tail.append(line)
        del training.tail[:-_TAIL_LINES]
        training.metrics.read(line)
        if time.monotonic() - self._sent > _METRICS_SECONDS:
            self._sent = time.monotonic()
            training.metrics.send(training.job.host.cloud)


def _last_error(lines: list[str]) -> str:
    for position in range(len(lines) - 1, -1, -1):
        if lines[position].startswith("Traceback (most recent call last)"):
            return "\n".join(lines[position:])[-600:]
    return "\n".join(lines[-5:])[-600:]


KIND = JobKind(
    name="TrainingJob",
    arn_path="training-job",
    directory="training",
    log_group="/aws/sagemaker/TrainingJobs",
    check=check,
    begin=begin,
    run=run,
    missing=lambda name: ValidationException("Requested resource not found."),
    duplicate=(
        "Training job names must be unique within an AWS account and region, "
        "and a training job with this name already exists"
    ),
)

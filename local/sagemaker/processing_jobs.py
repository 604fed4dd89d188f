"""Processing jobs: inputs laid out, one process, outputs uploaded."""

from __future__ import annotations

import json
import time

from local.sagemaker.containers import (
    INFERENCE_REPOSITORY,
    TRAINING_REPOSITORY,
    Container,
    check_image,
    check_one_instance,
)
from local.sagemaker.errors import ValidationException
from local.sagemaker.host import Host
from local.sagemaker.jobs import Ended, Job, JobFailed, JobKind, channel_fault
from local.sagemaker.store import Record
from local.sagemaker.transfer import NothingFound

_DAY_SECONDS = 86_400
_ROOT = "/opt/ml/processing"
_MESSAGE_LENGTH = 1024


def check(host: Host, request: Record) -> None:
    """Refuses what this machine cannot run."""
    check_image(request["AppSpecification"]["ImageUri"], TRAINING_REPOSITORY, INFERENCE_REPOSITORY)
    if not request["AppSpecification"].get("ContainerEntrypoint"):
        raise ValidationException(
            "AppSpecification.ContainerEntrypoint is missing: the Hugging Face images have no "
            "processing command of their own, so name one"
        )
    check_one_instance(request["ProcessingResources"]["ClusterConfig"]["InstanceCount"])
    for item in request.get("ProcessingInputs", []):
        source = item.get("S3Input")
        if source is None:
            raise ValidationException(
                f"processing input {item['InputName']!r}: the local AWS reads S3Input only"
            )
        if (
            source["S3DataType"] != "S3Prefix"
            or source.get("S3InputMode", "File") != "File"
            or source.get("S3CompressionType", "None") != "None"
        ):
            raise ValidationException(
                f"processing input {item['InputName']!r}: the local AWS reads S3DataType S3Prefix, "
                "S3InputMode File, S3CompressionType None only"
            )
        _check_path(item["InputName"], source.get("LocalPath", ""))
    for item in _outputs(request):
        target = item.get("S3Output")
        if target is None or "LocalPath" not in target:
            raise ValidationException(
                f"processing output {item['OutputName']!r}: the local AWS writes S3Output with a "
                "LocalPath only"
            )
        _check_path(item["OutputName"], target["LocalPath"])


def begin(request: Record) -> Record:
    limits = {"MaxRuntimeInSeconds": _DAY_SECONDS, **request.get("StoppingCondition", {})}
    return {"StoppingCondition": limits}


def run(job: Job) -> Record:
    """The whole job; the members to end with."""
    request = job.request
    isolated = request.get("NetworkConfig", {}).get("EnableNetworkIsolation", False)
    container = Container(job.host, job.directory, isolated=isolated)
    _lay_out(job, container)
    _download(job, container)
    if job.stopping.is_set():
        return {"ProcessingJobStatus": "Stopped"}
    job.change(ProcessingStartTime=time.time())
    ended = _process(job, container)
    message = container.ml / "output" / "message"
    exit_message = message.read_text(errors="replace")[:_MESSAGE_LENGTH] if message.exists() else ""
    members: Record = {"ExitMessage": exit_message} if exit_message else {}
    succeeded = ended.cause == "exit" and ended.status == 0
    _upload(job, container, succeeded=succeeded)
    if succeeded:
        return {"ProcessingJobStatus": "Completed", **members}
    if ended.cause == "stopped":
        return {"ProcessingJobStatus": "Stopped", **members}
    job.change(**members)
    if ended.cause == "max-runtime":
        seconds = request["StoppingCondition"]["MaxRuntimeInSeconds"]
        raise JobFailed(f"ClientError: Job exceeded MaxRuntimeInSeconds of {seconds}")
    reason = exit_message or "See job logs for more information"
    raise JobFailed(f"AlgorithmError: {reason}, exit code: {ended.status}")


def _outputs(request: Record) -> list[Record]:
    outputs: list[Record] = request.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return outputs


def _check_path(name: str, path: str) -> None:
    if not path.startswith(_ROOT):
        raise ValidationException(
            f"{name!r}: LocalPath {path!r} is not allowed: use a path under {_ROOT}"
        )


def _lay_out(job: Job, container: Container) -> None:
    for directory in ("config", "output", "processing"):
        (container.ml / directory).mkdir(parents=True)
    for item in _outputs(job.request):
        container.path(item["S3Output"]["LocalPath"]).mkdir(parents=True, exist_ok=True)
    configuration = {
        name: value for name, value in job.request.items() if name[0].isupper() and name != "Tags"
    }
    (container.ml / "config" / "processingjobconfig.json").write_text(json.dumps(configuration))
    resources = {"current_host": "algo-1", "hosts": ["algo-1"]}
    (container.ml / "config" / "resourceconfig.json").write_text(json.dumps(resources))


def _download(job: Job, container: Container) -> None:
    for item in job.request.get("ProcessingInputs", []):
        source = item["S3Input"]
        target = container.path(source["LocalPath"])
        target.mkdir(parents=True, exist_ok=True)
        try:
            job.host.s3.download(source["S3Uri"], target)
        except NothingFound:
            raise channel_fault(job, source["S3Uri"]) from None


def _process(job: Job, container: Container) -> Ended:
    application = job.request["AppSpecification"]
    words = [*application["ContainerEntrypoint"], *application.get("ContainerArguments", [])]
    return job.run_command(
        container.command(words),
        environment=container.environment(
            {"PROCESSING_JOB_ARN": job.arn}, job.request.get("Environment", {})
        ),
        usual=container.environment(),
        directory=container.directory,
        seconds=job.request["StoppingCondition"]["MaxRuntimeInSeconds"],
        on_line=lambda line: None,
    )


def _upload(job: Job, container: Container, *, succeeded: bool) -> None:
    for item in _outputs(job.request):
        output = item["S3Output"]
        if succeeded or output["S3UploadMode"] == "Continuous":
            job.host.s3.upload_directory(container.path(output["LocalPath"]), output["S3Uri"])


KIND = JobKind(
    name="ProcessingJob",
    arn_path="processing-job",
    directory="processing",
    log_group="/aws/sagemaker/ProcessingJobs",
    check=check,
    begin=begin,
    run=run,
    missing=lambda name: ValidationException(f"Could not find requested job with name: {name}"),
    duplicate=(
        "Job name must be unique within an AWS account and region, "
        "and a job with this name already exists"
    ),
)

"""Transform jobs: S3 objects cut into payloads, sent to a model, answers put together."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from local.processes.children import ChildrenClosed
from local.sagemaker.containers import check_one_instance
from local.sagemaker.errors import ValidationException
from local.sagemaker.fleet import (
    Fleet,
    FleetFailed,
    FleetPlan,
    FleetRetired,
    NoWorker,
    TimedOut,
    WorkerDied,
)
from local.sagemaker.host import Host
from local.sagemaker.jobs import Job, JobFailed, JobKind, channel_fault
from local.sagemaker.models import MODEL, find_plain, serving_container
from local.sagemaker.store import Record
from local.sagemaker.transfer import Found, NothingFound, join

_MEGABYTE = 1024 * 1024
_TRIED_AGAIN = (429, 500, 502, 503, 504)
_LINE = re.compile(rb"[^\n]*\n|[^\n]+")
_WATCH_SECONDS = 0.5


class _FileFailed(Exception):
    """One input's transform failed; the others go on."""


class _Stopped(Exception):
    """The job was asked to stop."""


def check(host: Host, request: Record) -> None:
    """Refuses what this machine cannot run, and models that do not exist."""
    model = find_plain(host, MODEL, request["ModelName"])
    serving_container(host, model)
    check_one_instance(request["TransformResources"]["InstanceCount"])
    processing = request.get("DataProcessing", {})
    for member, plain in (("InputFilter", "$"), ("OutputFilter", "$"), ("JoinSource", "None")):
        if processing.get(member, plain) != plain:
            raise _not_run(f"DataProcessing.{member} {processing[member]!r}")
    if request.get("DataCaptureConfig"):
        raise _not_run("DataCaptureConfig")
    source = request["TransformInput"]
    if source["DataSource"]["S3DataSource"]["S3DataType"] != "S3Prefix":
        raise _not_run("S3DataType other than S3Prefix")
    if source.get("CompressionType", "None") != "None":
        raise _not_run(f"CompressionType {source['CompressionType']}")
    if source.get("SplitType", "None") not in ("None", "Line"):
        raise _not_run(f"SplitType {source['SplitType']}")
    if _payload_megabytes(request) * _concurrency(request) > 100:
        raise ValidationException("MaxConcurrentTransforms * MaxPayloadInMB must not exceed 100 MB")


def begin(request: Record) -> Record:
    return {
        "MaxPayloadInMB": _payload_megabytes(request),
        "DataProcessing": request.get("DataProcessing")
        or {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None"},
    }


def run(job: Job) -> Record:
    """The whole job; the members to end with."""
    uri = job.request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    try:
        inputs = job.host.s3.under(uri)
    except NothingFound:
        raise channel_fault(job, uri) from None
    fleet = _fleet(job)
    done = threading.Event()
    try:
        fleet.stage()
        fleet.start()
        job.host.background(f"fleet of {job.name}", _watch, job, fleet, done)
        job.change(TransformStartTime=time.time())
        return _transform_all(job, fleet, inputs)
    except FleetFailed as failure:
        raise JobFailed(f"ClientError: {failure}") from None
    finally:
        done.set()
        fleet.remove()


def _watch(job: Job, fleet: Fleet, done: threading.Event) -> None:
    """Restarts what dies; ends the processes, and so the request under way, when the job stops."""
    while not done.wait(_WATCH_SECONDS):
        if job.stopping.is_set():
            fleet.stop()
        fleet.watch()


def _fleet(job: Job) -> Fleet:
    request = job.request
    model = find_plain(job.host, MODEL, request["ModelName"])
    plan = FleetPlan(
        container=serving_container(job.host, model),
        isolated=model.get("EnableNetworkIsolation", False),
        variables={
            "SAGEMAKER_BATCH": "true",
            "SAGEMAKER_MAX_PAYLOAD_IN_MB": str(request["MaxPayloadInMB"]),
            "SAGEMAKER_BATCH_STRATEGY": _strategy(request),
            "SAGEMAKER_MAX_CONCURRENT_TRANSFORMS": str(_concurrency(request)),
            **request.get("Environment", {}),
        },
        label=f"transform job {job.name}",
    )
    return Fleet(job.host, plan, job.directory / "container", job.log)


def _transform_all(job: Job, fleet: Fleet, inputs: list[Found]) -> Record:
    target = job.request["TransformOutput"]["S3OutputPath"]
    failures = []
    for item in inputs:
        try:
            output = _transform(job, fleet, item)
        except _FileFailed as failure:
            job.log.write(f"{item.uri}: {failure}")
            failures.append(f"{item.relative}: {failure}")
        except _Stopped:
            return {"TransformJobStatus": "Stopped"}
        else:
            job.host.s3.write(join(target, f"{item.relative}.out"), output)
    if failures:
        raise JobFailed(f"ClientError: See job logs for more information. {'; '.join(failures)}")
    return {"TransformJobStatus": "Completed"}


def _transform(job: Job, fleet: Fleet, item: Found) -> bytes:
    payloads = _payloads(job.request, job.host.s3.read(item.uri))
    with ThreadPoolExecutor(_concurrency(job.request)) as pool:
        answers = list(pool.map(lambda payload: _ask(job, fleet, payload), payloads))
    if job.request["TransformOutput"].get("AssembleWith", "None") == "None":
        return b"".join(answers)
    return b"".join(a if a.endswith(b"\n") else a + b"\n" for a in answers)


def _payloads(request: Record, content: bytes) -> Iterator[bytes]:
    """The request bodies of one input: whole, one line each, or as many lines as fit."""
    limit = request["MaxPayloadInMB"] * _MEGABYTE or float("inf")
    split = request["TransformInput"].get("SplitType", "None") == "Line"
    records = _LINE.findall(content) if split else [content]
    several = split and _strategy(request) == "MultiRecord"
    waiting: list[bytes] = []
    size = 0
    for record in records:
        if len(record) > limit:
            raise _FileFailed(
                f"a record of {len(record)} bytes is larger than MaxPayloadInMB "
                f"{request['MaxPayloadInMB']}"
            )
        if waiting and (not several or size + len(record) > limit):
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(record)
        size += len(record)
    if waiting:
        yield b"".join(waiting)


def _ask(job: Job, fleet: Fleet, payload: bytes) -> bytes:
    headers = {}
    if "ContentType" in job.request["TransformInput"]:
        headers["Content-Type"] = job.request["TransformInput"]["ContentType"]
    if "Accept" in job.request["TransformOutput"]:
        headers["Accept"] = job.request["TransformOutput"]["Accept"]
    client = job.request.get("ModelClientConfig", {})
    seconds = client.get("InvocationsTimeoutInSeconds", 600)
    fault = ""
    for _ in range(1 + client.get("InvocationsMaxRetries", 3)):
        if job.host.closing.is_set():
            raise ChildrenClosed("the local AWS is stopping")
        if job.stopping.is_set():
            raise _Stopped
        try:
            response = fleet.post(payload, headers, seconds=seconds, patience=seconds)
        except TimedOut:
            fault = f"no answer within InvocationsTimeoutInSeconds {seconds}"
            continue
        except (NoWorker, WorkerDied):
            fault = "the model's process died"
            continue
        except FleetRetired:
            continue
        if response.status < 400:
            return response.data
        text = response.data[:500].decode("utf-8", "replace")
        fault = f"Bad HTTP status received from algorithm: {response.status}: {text}"
        if response.status not in _TRIED_AGAIN:
            break
    raise _FileFailed(fault)


def _payload_megabytes(request: Record) -> int:
    megabytes: int = request.get("MaxPayloadInMB", 6)
    return megabytes


def _concurrency(request: Record) -> int:
    concurrency: int = request.get("MaxConcurrentTransforms", 0)
    return concurrency or 1


def _strategy(request: Record) -> str:
    # AWS's documented default depends on the container; MultiRecord is what the API uses.
    strategy: str = request.get("BatchStrategy", "MultiRecord")
    return strategy


def _not_run(what: str) -> ValidationException:
    return ValidationException(f"{what} is not implemented by the local SageMaker")


KIND = JobKind(
    name="TransformJob",
    arn_path="transform-job",
    directory="transform",
    log_group="/aws/sagemaker/TransformJobs",
    check=check,
    begin=begin,
    run=run,
    missing=lambda name: ValidationException(f"Could not find requested job with name: {name}"),
    duplicate=(
        "Job name must be unique within an AWS account and region, "
        "and a job with this name already exists"
    ),
)

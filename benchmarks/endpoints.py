"""Endpoints of the local AWS under many clients: stock handler and ours, one worker and two."""

from __future__ import annotations

import http.client
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import model_server
from benchmarks import serving_models as models
from benchmarks.contenders import JSON, Contender, request
from benchmarks.race import ENGINES, MODEL_SERVER, STOCK, Race
from benchmarks.serving_models import with_onnx
from tests.road.walk import Road, free_port

IMAGE = (
    "763104351884.dkr.ecr.us-east-1.amazonaws.com/huggingface-pytorch-inference:"
    "2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04"
)
# The local AWS routes by the credential scope and does not check signatures.
SIGNED = {
    "Authorization": (
        "AWS4-HMAC-SHA256 Credential=123456789012/20260101/us-east-1/sagemaker/aws4_request, "
        "SignedHeaders=host, Signature=none"
    ),
    "Content-Type": "application/json",
}
LOAD_SECONDS = 4.0
CLIENTS = (8, 32)


@dataclass(frozen=True)
class Target:
    """Where one contender answers."""

    name: str
    port: int
    path: str
    headers: Mapping[str, str]


def clients(folder: Path, rounds: int) -> Iterator[Race | str]:
    """Short texts from 8 and 32 clients at once; a figure is the seconds per request."""
    model_dir = with_onnx(models.distilbert(folder / "model", ("bad", "good")))
    contenders = [
        Contender(name, model_dir, "text-classification", folder) for name in (STOCK, *ENGINES)
    ]
    bodies = [request(text, truncation=True) for text in models.short_texts(60)]
    with tempfile.TemporaryDirectory(prefix="lectern-benchmark-") as state:
        road = Road(state=Path(state), port=free_port())
        road.start()
        try:
            _upload(road, contenders)
            for workers in (1, 2):
                with _targets(road, contenders, workers, folder) as targets:
                    for count in CLIENTS:
                        yield from _measured(targets, bodies, count, workers, rounds)
        finally:
            road.lectern("local", "stop")


@contextmanager
def _targets(
    road: Road, contenders: list[Contender], workers: int, folder: Path
) -> Iterator[list[Target]]:
    """An endpoint for each contender and, where Java is, the real model server beside them."""
    with ExitStack() as stack:
        targets = []
        for contender in contenders:
            name = _endpoint(road, contender, workers)
            delete = road.client("sagemaker").delete_endpoint
            stack.callback(delete, EndpointName=name)
            path = f"/endpoints/{name}/invocations"
            targets.append(Target(contender.name, road.port, path, SIGNED))
        if model_server.is_there():
            stock = contenders[0]
            port = stack.enter_context(
                model_server.model_server(stock.artifact, stock.task, workers, folder)
            )
            targets.append(Target(MODEL_SERVER, port, model_server.PATH, JSON))
        yield targets


def _measured(
    targets: list[Target], bodies: list[bytes], count: int, workers: int, rounds: int
) -> Iterator[Race]:
    name = f"{count} clients, {workers} worker{'s' if workers > 1 else ''}"
    race, tails = Race(f"{name}: time per request"), Race(f"{name}: p99 of the waits")
    for _ in range(rounds):
        for target in targets:
            spent, waits = _load(target, bodies, count)
            race.note(target.name, spent / len(waits))
            tails.note(target.name, statistics.quantiles(waits, n=100)[98])
    for found in (race, tails):
        yield found
        if MODEL_SERVER in found.taken:
            yield Race(f"{found.name}, against the model server", found.taken, MODEL_SERVER)


def _upload(road: Road, contenders: list[Contender]) -> None:
    road.client("s3").create_bucket(Bucket="benchmark")
    for contender in contenders:
        archive = contender.archive()
        road.client("s3").upload_file(str(archive), "benchmark", archive.name)
        archive.unlink()


def _endpoint(road: Road, contender: Contender, workers: int) -> str:
    """Create an endpoint with so many workers and wait until it answers."""
    sagemaker, name = road.client("sagemaker"), f"{contender.name}-{workers}"
    sagemaker.create_model(
        ModelName=name,
        ExecutionRoleArn="arn:aws:iam::123456789012:role/benchmark",
        PrimaryContainer={
            "Image": IMAGE,
            "ModelDataUrl": f"s3://benchmark/{contender.name}.tar.gz",
            "Environment": contender.variables | {"SAGEMAKER_MODEL_SERVER_WORKERS": str(workers)},
        },
    )
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": name,
        "InstanceType": "ml.m5.large",
        "InitialInstanceCount": 1,
    }
    sagemaker.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
    sagemaker.get_waiter("endpoint_in_service").wait(
        EndpointName=name, WaiterConfig={"Delay": 1, "MaxAttempts": 300}
    )
    target = Target(contender.name, road.port, f"/endpoints/{name}/invocations", SIGNED)
    for _ in range(2 * workers):
        _ask(http.client.HTTPConnection("127.0.0.1", road.port), target, request("hello"))
    return name


def _load(target: Target, bodies: list[bytes], count: int) -> tuple[float, list[float]]:
    """Ask from `count` clients, each as soon as it is answered; seconds in all and per answer."""
    waits: list[list[float]] = [[] for _ in range(count)]
    started = time.perf_counter()

    def client(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=120)
        asked = number
        while time.perf_counter() - started < LOAD_SECONDS:
            sent = time.perf_counter()
            _ask(connection, target, bodies[asked % len(bodies)])
            waits[number].append(time.perf_counter() - sent)
            asked += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started, [wait for each in waits for wait in each]


def _ask(connection: http.client.HTTPConnection, target: Target, body: bytes) -> None:
    connection.request("POST", target.path, body, dict(target.headers))
    response = connection.getresponse()
    answer = response.read()
    if response.status != 200:
        raise RuntimeError(f"{target.name}: {response.status} {answer[:300]!r}")

"""One endpoint of the local AWS under many clients: through the API, and asked directly."""

from __future__ import annotations

import http.client
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import psutil
from botocore.config import Config

from benchmarks.api_function import TEXT
from benchmarks.endpoints import SIGNED
from benchmarks.measure import HEADER, Comparison, seconds
from tests.api.served import PREFIX, Served, stage_file
from tests.road.walk import Road, free_port

CLIENTS = (1, 8, 32)
LOAD_SECONDS = 4.0
MODEL = "sorts"
SHARERS = ("client", "local AWS", "function", "endpoint")
BODY = json.dumps({"inputs": TEXT}).encode()
# What a client's thread makes for itself: a function that asks once.
Way = Callable[[], Callable[[], object]]


def road(rounds: int) -> Iterator[str]:
    """A tiny classifier, so that what is measured is the road and not the model."""
    with tempfile.TemporaryDirectory(prefix="lectern-benchmark-") as folder:
        stages = stage_file(Path(folder, "stages"), MODEL)
        local = Road(state=Path(folder, "state"), port=free_port())
        local.state.mkdir()
        local.start()
        try:
            served = Served.by(local, stages)
            yield HEADER
            for count in CLIENTS:
                # Rounds are long here, so a third as many must do.
                yield from _compared(served, count, max(1, rounds // 3))
            yield from ("", *_works(served))
        finally:
            local.lectern("local", "stop")


def _compared(served: Served, count: int, rounds: int) -> Iterator[str]:
    ways = _ways(served, count)
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            spent, waits = _load(way, count)
            points = statistics.quantiles(waits, n=100)
            if number:  # the first round starts the functions' processes
                found[name].append((spent / len(waits), points[49], points[98]))
    rates = {name: 1 / statistics.median(each[0] for each in found[name]) for name in found}
    for reference, words in (("boto3", "boto3's `invoke_endpoint`"), ("HTTP", "plain HTTP")):
        clients = f"{count} client{'s' if count > 1 else ''}, API / {words}"
        told = f"time per request ({rates['API']:.0f} and {rates[reference]:.0f} requests/s)"
        for at, figure in enumerate((told, "p50 of the waits", "p99 of the waits")):
            ours, theirs = ([each[at] for each in found[name]] for name in ("API", reference))
            yield Comparison(f"{clients}: {figure}", ours, theirs).row()


def _works(served: Served) -> Iterator[str]:
    """Which processes work for a request, and how long."""
    yield f"| CPU per request, {CLIENTS[1]} clients | {' | '.join(SHARERS)} |"
    yield f"|---|{'---|' * len(SHARERS)}"
    for name, way in _ways(served, CLIENTS[1]).items():
        before = _cpu(served.road)
        _, waits = _load(way, CLIENTS[1])
        after = _cpu(served.road)
        spent = [seconds((after[who] - before[who]) / len(waits)) for who in SHARERS]
        yield f"| {name} | {' | '.join(spent)} |"


def _cpu(local: Road) -> dict[str, float]:
    """Seconds of CPU so far, by who works."""
    found = dict.fromkeys(SHARERS, 0.0) | {"client": time.process_time()}
    server, *children = local.processes()
    for process in (server, *children):
        try:
            serves = "local.serving" in process.cmdline()
            spent = process.cpu_times()
        except psutil.NoSuchProcess:  # a function's process that was idle for long
            continue
        who = "local AWS" if process is server else "endpoint" if serves else "function"
        found[who] += spent.user + spent.system
    return found


def _ways(served: Served, count: int) -> dict[str, Way]:
    """Through the API, and the endpoint itself by a client with and without boto3's own work."""
    direct = f"{served.road.endpoint_url}/endpoints/{PREFIX}-{MODEL}/invocations"
    return {
        "API": _over_http(f"{served.url}/v1/models/{MODEL}", {"x-api-key": served.key}),
        "boto3": _by_boto3(served, count),
        "HTTP": _over_http(direct, SIGNED),
    }


def _over_http(url: str, headers: Mapping[str, str]) -> Way:
    parts = urlsplit(url)
    given = {"Content-Type": "application/json", **headers}

    def make() -> Callable[[], object]:
        connection = http.client.HTTPConnection(parts.netloc, timeout=120)

        def ask() -> None:
            connection.request("POST", parts.path, BODY, given)
            response = connection.getresponse()
            answer = response.read()
            if response.status != 200:
                raise RuntimeError(f"{url}: {response.status} {answer[:300]!r}")

        return ask

    return make


def _by_boto3(served: Served, count: int) -> Way:
    client: Any = boto3.client(
        "sagemaker-runtime",
        endpoint_url=served.road.endpoint_url,
        region_name="us-east-1",
        aws_access_key_id="123456789012",
        aws_secret_access_key="local",
        config=Config(max_pool_connections=count),
    )

    def ask() -> None:
        answer = client.invoke_endpoint(
            EndpointName=f"{PREFIX}-{MODEL}", ContentType="application/json", Body=BODY
        )
        answer["Body"].read()

    return lambda: ask


def _load(way: Way, count: int) -> tuple[float, list[float]]:
    """Ask from `count` clients, each as soon as it is answered; seconds in all and per answer."""
    waits: list[list[float]] = [[] for _ in range(count)]
    failures: list[Exception] = []
    started = time.perf_counter()

    def client(number: int) -> None:
        ask = way()
        try:
            while time.perf_counter() - started < LOAD_SECONDS:
                sent = time.perf_counter()
                ask()
                waits[number].append(time.perf_counter() - sent)
        except Exception as failure:  # noqa: BLE001 - raised below, out of the thread
            failures.append(failure)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.perf_counter() - started, [wait for each in waits for wait in each]

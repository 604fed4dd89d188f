"""What the road costs: synth, deploy, the local endpoint's overhead, memory.

    .venv/bin/python -m benchmarks.road [synth] [deploy] [endpoint] [memory]

Each figure is a ratio of two things measured in turn in this run. It uses a local AWS of its own,
in a temporary folder and on a free port.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from benchmarks.measure import HEADER, Comparison, interleave, timed
from local.sagemaker.transfer import unpack
from local.serving import Context, RequestProcessor, handler_service
from tests.road.walk import ROOT, Road, free_port

TEXT = json.dumps({"inputs": "My parcel was due on Monday and still has not arrived"}).encode()
PLAIN = {"Content-Type": "application/json", "Accept": "application/json"}
# The local AWS routes by the credential scope and does not check signatures.
SIGNED = (
    "AWS4-HMAC-SHA256 Credential=123456789012/20260101/us-east-1/sagemaker/aws4_request, "
    "SignedHeaders=host, Signature=none"
)
ROUNDS = 200


def main(chosen: list[str]) -> None:
    print(HEADER, flush=True)
    if "synth" in chosen:
        print(synth().row(), flush=True)
    if "deploy" in chosen:
        print(deploy().row(), flush=True)
    if {"endpoint", "memory"} & set(chosen):
        with deployed_model() as road:
            if "endpoint" in chosen:
                for comparison in endpoint(road):
                    print(comparison.row(), flush=True)
            if "memory" in chosen:
                print(f"\n{memory(road)}", flush=True)


def synth() -> Comparison:
    """`cdk synth` of the local stage against starting Python and importing aws_cdk."""
    cdk = [str(ROOT / ".venv/bin/cdk"), "synth", "--context", "stage=local", "--quiet"]
    bare = [sys.executable, "-c", "import aws_cdk"]
    return interleave("synth, local stage / `import aws_cdk`", run(cdk), run(bare), rounds=3)


def deploy() -> Comparison:
    """All stacks onto an empty, bootstrapped local AWS against the same CLI's synth alone."""
    cdk = [str(ROOT / ".venv/bin/cdk"), "synth", "--context", "stage=local", "--quiet"]
    ours, reference = [], []
    for _ in range(3):
        with empty_local_aws() as road:
            road.lectern("cdk", "--local", "bootstrap", "aws://123456789012/us-east-1")
            ours.append(timed(lambda road=road: road.deploy("--all")))
        reference.append(timed(run(cdk)))
    return Comparison("deploy of all stacks / synth alone", ours, reference)


def endpoint(road: Road) -> Iterator[Comparison]:
    """One short text: the serving process, the local AWS, boto3, each against the bare handler."""
    handle = handler_in_process(road)
    port = serving_port(road, "lectern-local-tickets")
    direct, through = requests.Session(), requests.Session()
    runtime = road.client("sagemaker-runtime")
    name = "lectern-local-tickets"
    url = f"{road.endpoint_url}/endpoints/{name}/invocations"
    signed = {"Authorization": SIGNED, "Content-Type": "application/json"}

    def to_process() -> None:
        direct.post(f"http://127.0.0.1:{port}/invocations", TEXT, headers=PLAIN).raise_for_status()

    def to_local_aws() -> None:
        through.post(url, TEXT, headers=signed).raise_for_status()

    def by_boto3() -> None:
        answer = runtime.invoke_endpoint(
            EndpointName=name, ContentType="application/json", Body=TEXT
        )
        answer["Body"].read()

    yield interleave("serving process over HTTP / handler in process", to_process, handle, ROUNDS)
    yield interleave("local AWS over HTTP / handler in process", to_local_aws, handle, ROUNDS)
    yield interleave("boto3 invoke_endpoint / handler in process", by_boto3, handle, ROUNDS)


def memory(road: Road) -> str:
    """Resident memory of the whole process tree while one MiniLM endpoint answers."""
    road.ask("tickets", "one answer, so that everything is loaded")
    rows = [
        (p.memory_full_info().pss / 2**20, " ".join(p.cmdline())[:60]) for p in road.processes()
    ]
    listing = "\n".join(f"  {size:7.0f} MiB  {command}" for size, command in sorted(rows)[::-1])
    return f"Memory of the local AWS: {sum(size for size, _ in rows):.0f} MiB\n{listing}"


def handler_in_process(road: Road) -> Callable[[], object]:
    """The toolkit's handler over the deployed artifact, loaded here as the local AWS loads it."""
    # As its containers have it: spinning threads here would slow the process measured in turn.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    folder = Path(tempfile.mkdtemp(prefix="lectern-benchmark-"))
    record = road.client("ssm").get_parameter(Name="/lectern/local/models/tickets")
    uri = json.loads(record["Parameter"]["Value"])["model_data"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    road.client("s3").download_file(bucket, key, str(folder / "model.tar.gz"))
    unpack(folder / "model.tar.gz", folder / "model")
    sys.path.insert(0, str(folder / "model" / "code"))
    os.environ["HF_TASK"] = "text-classification"
    service, context = handler_service(), Context(folder / "model", gpu_id=None)
    service.initialize(context)

    def handle() -> object:
        context.request_processor = [RequestProcessor(PLAIN)]
        return service.handle([{"body": bytearray(TEXT)}], context)

    return handle


def serving_port(road: Road, endpoint: str) -> int:
    """Where the endpoint's own process listens."""
    for process in road.processes():
        words = process.cmdline()
        if "local.serving" in words and any(f"/{endpoint}/" in word for word in words):
            return int(words[words.index("--port") + 1])
    raise LookupError(f"no serving process of {endpoint}")


@contextmanager
def empty_local_aws() -> Iterator[Road]:
    with tempfile.TemporaryDirectory(prefix="lectern-benchmark-") as folder:
        road = Road(state=Path(folder), port=free_port())
        road.start()
        try:
            yield road
        finally:
            road.lectern("local", "stop")


@contextmanager
def deployed_model() -> Iterator[Road]:
    """The local stage deployed, with the model of examples/tickets in service."""
    with empty_local_aws() as road:
        data = ROOT / "examples" / "tickets" / "named.csv"
        road.lectern("deploy", "--local")
        road.lectern(
            *("train", "tickets", "--local", "--data", str(data)),
            *("--text-column", "message", "--label-column", "category"),
        )
        road.lectern("approve", "tickets", "--local")
        yield road


def run(command: list[str]):  # noqa: ANN201
    return lambda: subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


if __name__ == "__main__":
    main(sys.argv[1:] or ["synth", "deploy", "endpoint", "memory"])

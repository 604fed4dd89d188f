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
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.measure import HEADER, Comparison, interleave, timed
from local.sagemaker.transfer import unpack
from tests.road.walk import ROOT, Road, free_port

TEXT = json.dumps({"inputs": "My parcel was due on Monday and still has not arrived"}).encode()


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
    """The local endpoint through boto3, against the toolkit's handler called in this process."""
    handle = handler_in_process(road)
    runtime = road.client("sagemaker-runtime")

    def over_http() -> None:
        answer = runtime.invoke_endpoint(
            EndpointName="lectern-local-tickets", ContentType="application/json", Body=TEXT
        )
        answer["Body"].read()

    rounds = 200
    yield interleave("one text, local endpoint / handler in process", over_http, handle, rounds)


def memory(road: Road) -> str:
    """Resident memory of the whole process tree while one MiniLM endpoint answers."""
    road.ask("tickets", "one answer, so that everything is loaded")
    rows = [
        (p.memory_full_info().pss / 2**20, " ".join(p.cmdline())[:60]) for p in road.processes()
    ]
    listing = "\n".join(f"  {size:7.0f} MiB  {command}" for size, command in sorted(rows)[::-1])
    return f"Memory of the local AWS: {sum(size for size, _ in rows):.0f} MiB\n{listing}"


def handler_in_process(road: Road):  # noqa: ANN201
    """The stock toolkit's handler over the deployed artifact, loaded here."""
    import torch
    from sagemaker_huggingface_inference_toolkit.handler_service import HuggingFaceHandlerService

    torch.set_num_threads(psutil.cpu_count(logical=True) or 1)
    folder = Path(tempfile.mkdtemp(prefix="lectern-benchmark-"))
    uri = json.loads(
        road.client("ssm").get_parameter(Name="/lectern/local/models/tickets")["Parameter"]["Value"]
    )["model_data"]
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    road.client("s3").download_file(bucket, key, str(folder / "model.tar.gz"))
    unpack(folder / "model.tar.gz", folder / "model")
    sys.path.insert(0, str(folder / "model" / "code"))
    os.environ["HF_TASK"] = "text-classification"
    service = HuggingFaceHandlerService()
    context = Context(str(folder / "model"))
    service.initialize(context)
    return lambda: service.handle([{"body": TEXT}], context)


class Context:
    """What multi-model-server hands the handler with each request."""

    def __init__(self, model_dir: str) -> None:
        self.system_properties = {"model_dir": model_dir, "gpu_id": None}
        self.request_processor = [self]
        self.manifest: dict[str, object] = {}

    def get_request_properties(self) -> dict[str, str]:
        return {"Content-Type": "application/json", "Accept": "application/json"}

    def get_request_header(self, _index: int, name: str) -> str | None:
        return self.get_request_properties().get(name)

    def set_response_content_type(self, _index: int, _value: str) -> None:
        return None

    def report_status(self, *_args: object, **_kwargs: object) -> None:
        return None


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

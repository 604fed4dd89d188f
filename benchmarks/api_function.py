"""The API's function as it is packaged, a bare one beside it, and what both are asked."""

from __future__ import annotations

import compileall
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.api_stub import ENDPOINT, stub
from infra.lambda_bundle import function_zip

TEXT = "My parcel was due on Monday and still has not arrived"
EVENT = {
    "resource": "/v1/models/{model}",
    "path": "/v1/models/tickets",
    "httpMethod": "POST",
    "headers": {
        "Accept": "*/*",
        "Accept-Encoding": "gzip, deflate",
        "Content-Type": "application/json",
        "Host": "abcdefghij.execute-api.us-east-1.amazonaws.com",
        "User-Agent": "python-requests/2.32.5",
        "X-Amzn-Trace-Id": "Root=1-5759e988-bd862e3fe1be46a994272793",
        "X-Forwarded-For": "192.0.2.1",
        "X-Forwarded-Port": "443",
        "X-Forwarded-Proto": "https",
        "x-api-key": "0123456789012345678901234567890123456789",
    },
    "multiValueHeaders": {},
    "queryStringParameters": None,
    "pathParameters": {"model": "tickets"},
    "requestContext": {
        "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        "identity": {"apiKeyId": "abcdefghij", "sourceIp": "192.0.2.1"},
    },
    "body": json.dumps({"inputs": TEXT}),
    "isBase64Encoded": False,
}
MODEL = {
    "task": "text-classification",
    "endpoint": ENDPOINT,
    "kind": "real-time",
    "pipeline": None,
    "parameter": "record",
}
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "123456789012",
    "AWS_SECRET_ACCESS_KEY": "local",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
    "POWERTOOLS_SERVICE_NAME": "api",
    "READ_TIMEOUT_SECONDS": "20",
    "ENDPOINT": ENDPOINT,
    "MODELS": json.dumps({"tickets": MODEL}),
    # A package on Lambda cannot be written to: what was compiled there is not kept.
    "PYTHONDONTWRITEBYTECODE": "1",
}
# With what Lambda sets, without which the X-Ray SDK does nothing.
TRACES = {
    "TRACES": "on",
    "LAMBDA_TASK_ROOT": "/var/task",
    "_X_AMZN_TRACE_ID": (
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=557abcec3ee5a047;Sampled=1"
    ),
}
# As with `api.function.snap_start`, where the import is done before anybody asks.
PREPARED = {"AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start"}


@dataclass(frozen=True)
class Functions:
    """Folders with a `handler.py`, an event for it, and the environment it runs in."""

    bare: Path
    packaged: Path
    """As it is shipped: without bytecode, while boto3, of the runtime, has its own."""
    compiled: Path
    event: Path
    environment: Mapping[str, str]


@contextmanager
def functions() -> Iterator[Functions]:
    """All of it, with a stand-in for AWS behind the environment."""
    with tempfile.TemporaryDirectory(prefix="lectern-benchmark-") as name, stub() as url:
        folder = Path(name)
        found = Functions(
            bare=folder / "bare",
            packaged=folder / "packaged",
            compiled=folder / "compiled",
            event=folder / "event.json",
            environment=_of_this_machine() | ENVIRONMENT | {"AWS_ENDPOINT_URL": url},
        )
        found.bare.mkdir()
        shutil.copy(Path(__file__).with_name("bare_handler.py"), found.bare / "handler.py")
        with (
            function_zip("api", extras=["traces"], with_compiled=False) as code,
            zipfile.ZipFile(code) as archive,
        ):
            archive.extractall(found.packaged)
        shutil.copytree(found.packaged, found.compiled)
        compileall.compile_dir(found.compiled, quiet=2)
        found.event.write_text(json.dumps(EVENT))
        yield found


def _of_this_machine() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}

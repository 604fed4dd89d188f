"""What the tests of the functions and of the command line run against.

MiniStack answers for AWS. SageMaker, which it lacks, is a small HTTP server with scripted answers.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ACCESS_KEY_ID = "123456789012"
SECRET_ACCESS_KEY = "local"


class SageMaker:
    """SageMaker over HTTP: every operation and invocation is what the test says it is."""

    def __init__(self) -> None:
        self.operations: dict[str, Callable[[dict[str, Any]], Any]] = {}
        self.invocations: list[dict[str, Any]] = []
        self.invoke: Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]] | None = None
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                try:
                    status, headers, answer = stand_in.answer(self.path, dict(self.headers), body)
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.send_header("content-length", str(len(answer)))
                    self.end_headers()
                    self.wfile.write(answer)
                except (BrokenPipeError, ConnectionResetError):
                    pass

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        serve(self._server)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def answer(
        self, path: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, dict[str, str], bytes]:
        headers = {name.lower(): value for name, value in headers.items()}
        if path.startswith("/endpoints/"):
            _, _, endpoint, action = path.split("/")
            call = {"endpoint": endpoint, "action": action, "headers": headers, "body": body}
            self.invocations.append(call)
            assert self.invoke is not None
            return self.invoke(call)
        operation = headers["x-amz-target"].partition(".")[2]
        try:
            answer = self.operations[operation](json.loads(body))
        except Refusal as refusal:
            error = {"__type": refusal.code, "message": refusal.message}
            return 400, {"x-amzn-errortype": refusal.code}, json.dumps(error).encode()
        return 200, {"content-type": "application/x-amz-json-1.1"}, json.dumps(answer).encode()

    def reset(self) -> None:
        self.operations.clear()
        self.invocations.clear()
        self.invoke = None

    def close(self) -> None:
        self._server.shutdown()


def serve(server: ThreadingHTTPServer) -> None:
    """Serve in the background; the short poll makes `shutdown` quick."""
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()


class Refusal(Exception):
    """An error that SageMaker answers."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def answers(
    body: object, *, attributes: str | None = None
) -> Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]]:
    """An endpoint that always answers this, and sets the one header that a container can."""
    headers = {"content-type": "application/json"}
    if attributes is not None:
        headers["x-amzn-sagemaker-custom-attributes"] = attributes
    return lambda _: (200, headers, json.dumps(body).encode())


def refuses(
    code: str, message: str = "", *, status: int = 400, **more: object
) -> Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]]:
    """An endpoint that always answers this error."""
    body = json.dumps({"message": message, "Message": message} | more).encode()
    return lambda _: (status, {"x-amzn-errortype": code}, body)


def model_error(
    message: str, *, original_status: int = 400
) -> Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]]:
    """An endpoint whose container fails: the toolkit's own envelope around `message`."""
    original = json.dumps({"code": 400, "type": "InternalServerException", "message": message})
    return refuses(
        "ModelError",
        f"Received client error ({original_status}) from primary",
        status=424,
        OriginalStatusCode=original_status,
        OriginalMessage=original,
        LogStreamArn="arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/x",
    )


def queues(
    s3: Any,
    bucket: str,
    invoke: Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]] | None,
) -> Callable[[dict[str, Any]], tuple[int, dict[str, str], bytes]]:
    """An async endpoint that answers in S3 what `invoke` answers at once; None: not yet."""

    def take(call: dict[str, Any]) -> tuple[int, dict[str, str], bytes]:
        headers = call["headers"]
        own = "x-amzn-sagemaker-"
        given = headers[f"{own}inputlocation"].removeprefix(f"s3://{bucket}/")
        call["body"] = s3.get_object(Bucket=bucket, Key=given)["Body"].read()
        name = uuid.uuid4().hex
        places = {
            "OutputLocation": f"results/answers/queue/{name}.out",
            "FailureLocation": f"results/failures/queue/{name}-error.out",
        }
        if invoke is not None:
            status, _, answer = invoke(call)
            if status < 300:
                s3.put_object(Bucket=bucket, Key=places["OutputLocation"], Body=answer)
            else:
                told = json.loads(answer)
                words = (
                    f"Received client error ({told['OriginalStatusCode']}) from primary with "
                    f'message "{told["OriginalMessage"]}". See the log.'
                )
                s3.put_object(Bucket=bucket, Key=places["FailureLocation"], Body=words.encode())
        named = {f"{own}{place}": f"s3://{bucket}/{key}" for place, key in places.items()}
        answer = json.dumps({"InferenceId": headers.get(f"{own}inference-id")}).encode()
        return 202, {"content-type": "application/json", **named}, answer

    return take


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def ministack(folder: Path) -> Iterator[str]:
    """A MiniStack of its own; yields its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "GATEWAY_PORT": str(port),
        "MINISTACK_HOST": "127.0.0.1",
        "STATE_DIR": str(folder),
        "S3_DATA_DIR": str(folder / "s3"),
        "LAMBDA_EXECUTOR": "local",
        # With these it checks signed URLs.
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
    }
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ministack"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 30
        while not _answers(f"{url}/_ministack/health"):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "MiniStack did not start"
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)


def credentials(url: str, sagemaker: SageMaker) -> dict[str, str]:
    """The environment in which boto3 reaches the stand-ins."""
    return {
        "AWS_ENDPOINT_URL": url,
        "AWS_ENDPOINT_URL_SAGEMAKER": sagemaker.url,
        "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": sagemaker.url,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY_ID,
        "AWS_SECRET_ACCESS_KEY": SECRET_ACCESS_KEY,
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def function(name: str) -> Iterator[ModuleType]:
    """`lambda/{name}/handler.py` afresh; while it lasts, the folder's modules can be imported."""
    folder = ROOT / "lambda" / name
    own = [path.stem for path in folder.glob("*.py")]
    hidden = {module: sys.modules.pop(module) for module in own if module in sys.modules}
    sys.path.insert(0, str(folder))
    try:
        yield importlib.import_module("handler")
    finally:
        sys.path.remove(str(folder))
        for module in own:
            sys.modules.pop(module, None)
        sys.modules.update(hidden)


class Context:
    """Lambda's context."""

    function_name = "function"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id = "lambda-request"

    def __init__(self, seconds_left: float = 60) -> None:
        self._deadline = time.monotonic() + seconds_left

    def get_remaining_time_in_millis(self) -> int:
        return int((self._deadline - time.monotonic()) * 1000)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except OSError:
        return False
